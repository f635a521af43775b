"""The recovery ladder as a Plotly figure. The numbers stand in its table."""

from typing import Any

import plotly.graph_objects as go

from pruning.metric import Metric
from pruning.reporting.formatting import as_text, axis_title, hover_text, on_axis
from pruning.reporting.palette import CUT, GREY, PALE_GREY, STAGES, Style
from pruning.reporting.plots_run import AXIS, dressed
from pruning.reporting.recovery import Recovery, ScoreInterval

CONTROL = Style(GREY, "dash", "star")
MOST_LINES = 60


def recovery_figure(found: Recovery) -> go.Figure:
    """Test score at each rung: marks with intervals for all samples, a line for each class, the worst one darker.

    The numbers stand in the table. Of more than sixty classes those that lost most have a line.
    """
    names, metric = [rung.name for rung in found.rungs], found.metric
    figure = go.Figure()
    if found.has_classes:
        for order, place in enumerate(found.by_loss()[:MOST_LINES]):
            _add_class(figure, found, place, order)
    for rung in found.rungs:
        style = CONTROL if rung.name == "control" else STAGES[rung.name]
        figure.add_scatter(
            x=[rung.name],
            y=[on_axis(rung.score.score, metric)],
            error_y=_error(rung.score, metric, style),
            name=f"{rung.name}, all",
            mode="markers",
            marker={"symbol": style.mark, "size": 11, "color": style.hue},
            showlegend=False,
            hovertemplate=f"{rung.name}: {hover_text('y', metric)}<extra></extra>",
        )
    figure.update_xaxes(categoryorder="array", categoryarray=names, **AXIS)
    figure.update_yaxes(title={"text": axis_title(metric, "test")}, **AXIS)
    return dressed(figure, 320)


def _add_class(figure: go.Figure, found: Recovery, place: int, order: int) -> None:
    """The class that lost most is named; the others are one entry of the legend."""
    name, worst = found.classes[place], order == 0
    figure.add_scatter(
        x=[rung.name for rung in found.rungs],
        y=[on_axis(rung.classes[place].score, found.metric) for rung in found.rungs],
        name=as_text(name) if worst else "other classes",
        legendgroup="worst" if worst else "others",
        showlegend=order < 2,
        mode="lines",
        line={"color": CUT if worst else PALE_GREY, "dash": "dot" if worst else "solid", "width": 2 if worst else 1},
        hovertemplate=f"{name}, %{{x}}: {hover_text('y', found.metric)}<extra></extra>",
    )


def _error(found: ScoreInterval, metric: Metric, style: Style) -> dict[str, Any] | None:
    if found.low is None or found.high is None:
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [on_axis(found.high - found.score, metric)],
        "arrayminus": [on_axis(found.score - found.low, metric)],
        "color": style.hue,
        "thickness": 1.5,
    }
