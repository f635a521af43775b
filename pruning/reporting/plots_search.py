"""How the front of a search is drawn: what a cut leaves of the cost, and what it loses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from pruning.level_search.result import FrontPoint, Searched
from pruning.metric import Metric
from pruning.reporting.formatting import COST_NAMES, axis_title, hover_text, on_axis
from pruning.reporting.palette import GREY, STAGES
from pruning.reporting.plots_run import AXIS, dressed


@dataclass(frozen=True)
class PlottedPoint:
    """A point of the front as axes count: the cost in percent of the dense one, the score and its half-width."""

    cost: float
    score: float
    half_width: float
    measured: bool
    best: bool


def plotted(found: Searched) -> list[PlottedPoint]:
    """The points of the front, the cheapest first."""
    scale = on_axis(1.0, found.metric)
    return [
        PlottedPoint(
            100 * point.cost,
            on_axis(score_of(point, found.dense, found.metric), found.metric),
            scale * point.half_width,
            point.provenance == "measured",
            point == found.best,
        )
        for point in found.front
    ]


def score_of(point: FrontPoint, dense: float, metric: Metric) -> float:
    """The score of a cut that loses so much."""
    return dense - point.drop if metric.better == "higher" else dense + point.drop


def front_figure(found: Searched, height: int = 360) -> go.Figure:
    """Score over cost: estimated cuts are hollow and have intervals, measured ones are filled, the best is ringed."""
    points, metric = plotted(found), found.metric
    figure = go.Figure()
    uncut, look = STAGES["dense"], STAGES["repaired"]
    figure.add_scatter(
        x=[0, 100], y=[on_axis(found.dense, metric)] * 2, name="dense", mode="lines",
        line={"color": uncut.hue, "dash": uncut.dash, "width": 1.5},
        hovertemplate=f"dense: {hover_text('y', metric)}<extra></extra>",
    )  # fmt: skip
    for name, measured in (("estimated", False), ("measured", True)):
        own = [point for point in points if point.measured == measured]
        rings = [STAGES["tuned"].hue if point.best else look.hue for point in own]
        widths = [3 if point.best else 1 for point in own]
        left = f"%{{x:.1f}} % of the {COST_NAMES[found.goal.cost]} left"
        figure.add_scatter(
            x=[point.cost for point in own],
            y=[point.score for point in own],
            name=name,
            mode="markers",
            customdata=[points.index(point) for point in own],
            error_y=None if measured else _interval(own),
            marker={
                "symbol": look.mark if measured else f"{look.mark}-open",
                "color": look.hue,
                "size": 10,
                "line": {"width": widths, "color": rings},
            },
            hovertemplate=f"{name}: {hover_text('y', metric)}, {left}<extra></extra>",
        )
    if found.goal.budget is not None:
        figure.add_vline(x=100 * found.goal.budget, line={"color": GREY, "dash": "dot", "width": 1})
    if found.goal.max_drop is not None:
        lowest = score_of(FrontPoint({}, 1.0, found.goal.max_drop, 0.0, "estimated"), found.dense, metric)
        figure.add_hline(y=on_axis(lowest, metric), line={"color": GREY, "dash": "dot", "width": 1})
    figure.update_xaxes(title={"text": f"{COST_NAMES[found.goal.cost]} left, % of dense"}, range=[0, 102], **AXIS)
    shown = [point.score for point in points if point.measured or point.cost > 25] or [on_axis(found.dense, metric)]
    top = on_axis(found.dense, metric)
    room = max(abs(top - min(shown)), abs(top - max(shown)), 0.5) * 1.15
    ends = [top - room, top + 0.1 * room] if metric.better == "higher" else [top - 0.1 * room, top + room]
    figure.update_yaxes(title={"text": axis_title(metric, "validation")}, range=ends, **AXIS)
    return dressed(figure, height)


def _interval(points: Sequence[PlottedPoint]) -> dict[str, Any]:
    return {"type": "data", "array": [point.half_width for point in points], "color": GREY, "thickness": 1}
