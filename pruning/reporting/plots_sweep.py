"""Plotly figures of a sweep: score against compression, and parallel coordinates. The numbers stand in its table."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from pruning.metric import ACCURACY, Metric
from pruning.reporting.formatting import axis_title, hover_text, on_axis
from pruning.reporting.literature import Published
from pruning.reporting.palette import GREY, MAGNITUDES, SERIES, STAGES, TRANSPARENT, Style, run_style
from pruning.reporting.plots_run import AXIS, dressed
from pruning.reporting.run_history import Setting, Size, settings
from pruning.reporting.sweep_table import MEASURES, Mean, Trial, sweep_table, title
from pruning.reporting.tradeoff import COMPRESSIONS, TradeoffPoint, series_of

DENSE = "dense control"
RANDOM = Style(GREY, "dot", "cross")
PUBLISHED = Style(GREY, "", "diamond")
MOST_DIMENSIONS = 9
MOST_TICKS = 8
TICKS = [digit * 10**power for power in range(5) for digit in (1, 2, 5)]
"""Of an axis of compression, which is logarithmic."""


def style_of(series: str, place: int) -> Style:
    """How the points of a series look; `place` counts the series of the grid from 0."""
    return RANDOM if series == "random control" else run_style(place)


def score_ends(points: Sequence[TradeoffPoint], metric: Metric) -> list[float] | None:
    """Where the axis of scores ends: no interval reaches out of the range of the metric. None without points."""
    if not points:
        return None
    low = min(point.score.value - (point.score.half_width or 0.0) for point in points)
    high = max(point.score.value + (point.score.half_width or 0.0) for point in points)
    lowest, highest = metric.ends
    margin = 0.05 * (min(high, highest) - max(low, lowest)) or 0.01
    return [on_axis(max(low, lowest) - margin, metric), on_axis(min(high, highest) + margin, metric)]


def tradeoff_figure(
    points: Sequence[TradeoffPoint],
    size: Size = "nonzero",
    metric: Metric = ACCURACY,
    published: Sequence[Published] = (),
) -> go.Figure:
    """Test score against compression, with 95 % intervals over seeds and the Pareto front; hollow: published results.

    Published results count compression in parameters: they are only drawn against that.
    """
    figure = go.Figure()
    best = sorted((point for point in points if point.front), key=lambda point: point.compression)
    if len(best) > 1:
        line = SERIES["interval"]
        figure.add_scatter(
            x=[point.compression for point in best],
            y=[on_axis(point.score.value, metric) for point in best],
            name="Pareto front",
            mode="lines",
            line={"color": line.hue, "dash": line.dash, "width": 1.2},
            hoverinfo="skip",
        )
    for place, series in enumerate(series_of(points)):
        of_series = [point for point in points if point.series == series]
        if series == DENSE:
            _add_dense(figure, points, of_series, metric)
        else:
            _add_series(figure, series, of_series, style_of(series, place), metric)
    if published and size == "nonzero":
        _add_published(figure, published, metric)
    title = f"compression: {COMPRESSIONS[size]}"
    figure.update_xaxes(title={"text": title}, type="log", tickvals=TICKS, **AXIS)
    shown = [*points, *(as_point(result) for result in published if size == "nonzero")]
    figure.update_yaxes(title={"text": axis_title(metric, "test")}, range=score_ends(shown, metric), **AXIS)
    return dressed(figure, 440)


def as_point(result: Published) -> TradeoffPoint:
    return TradeoffPoint(
        result.method, "published", "published", result.compression, Mean(result.score, None, 1), False
    )


def _add_dense(
    figure: go.Figure, points: Sequence[TradeoffPoint], dense: Sequence[TradeoffPoint], metric: Metric
) -> None:
    """The dense control is a dashed line, as the dense network is in every chart."""
    style, ends = STAGES["dense"], [1.0, max(point.compression for point in points)]
    for number, point in enumerate(dense):
        figure.add_scatter(
            x=ends,
            y=[on_axis(point.score.value, metric)] * 2,
            name=DENSE,
            showlegend=not number,
            legendgroup=DENSE,
            mode="lines",
            line={"color": style.hue, "dash": style.dash, "width": 1.5},
            hovertemplate=f"{DENSE}: {hover_text('y', metric)}, {point.runs} seeds<extra></extra>",
        )


def _add_series(figure: go.Figure, series: str, points: Sequence[TradeoffPoint], style: Style, metric: Metric) -> None:
    figure.add_scatter(
        x=[point.compression for point in points],
        y=[on_axis(point.score.value, metric) for point in points],
        error_y={
            "type": "data",
            "array": [on_axis(point.score.half_width or 0.0, metric) for point in points],
            "color": style.hue,
            "thickness": 1.2,
            "width": 4,
        },
        customdata=[[point.label, point.runs] for point in points],
        name=series,
        mode="markers",
        marker={"symbol": style.mark, "size": 9, "color": style.hue},
        cliponaxis=False,
        hovertemplate=f"%{{customdata[0]}}: {hover_text('y', metric)} at %{{x:.3g}} times, %{{customdata[1]}} seeds",
    )


def _add_published(figure: go.Figure, results: Sequence[Published], metric: Metric) -> None:
    figure.add_scatter(
        x=[result.compression for result in results],
        y=[on_axis(result.score, metric) for result in results],
        customdata=[[result.method, f"{result.error:.2f}", result.source] for result in results],
        name="published",
        mode="markers",
        marker={
            "symbol": f"{PUBLISHED.mark}-open", "size": 10, "color": PUBLISHED.hue,
            "line": {"width": 1.5, "color": PUBLISHED.hue},
        },
        cliponaxis=False,
        hovertemplate="%{customdata[0]}: error %{customdata[1]} % at %{x:.3g} times<br>%{customdata[2]}",
    )  # fmt: skip


def parallel_figure(trials: Sequence[Trial], metric: Metric = ACCURACY) -> go.Figure:
    """A line for each run through its settings, its compression and its test score, which also shades it.

    At most seven settings have an axis: those with the most values, in the recipe's order.
    """
    columns = (*sweep_table(trials).columns, "seed")
    differ = [s for s in settings([trial.recipe for trial in trials]) if s.name in columns and len(set(s.values)) > 1]
    most = sorted(differ, key=lambda setting: -len(set(setting.values)))[: MOST_DIMENSIONS - 2]
    scores = [on_axis(trial.tuned.score, metric) for trial in trials]
    dimensions = [
        *(_dimension(setting) for setting in differ if setting in most),
        {"label": "compression", "values": [MEASURES["compression"](trial) for trial in trials]},
        {"label": axis_title(metric, "test"), "values": scores},
    ]
    figure = go.Figure(
        go.Parcoords(
            dimensions=dimensions,
            line={"color": scores, "colorscale": MAGNITUDES, "showscale": False},
            labelangle=-12,
            tickfont={"color": GREY, "shadow": "none"},  # plotly's own is white, for a white page
            rangefont={"color": TRANSPARENT},  # the ends stand beside ticks that say more
        )
    )
    figure = dressed(figure, 420)
    figure.update_layout(margin={"l": 90, "r": 60, "t": 80, "b": 24})
    return figure


def _dimension(setting: Setting) -> dict[str, Any]:
    """An axis: of numbers as they are, of words with a place for each."""
    numbers = [_number(value) for value in setting.values]
    if None not in numbers:
        ticks = sorted(set(numbers), key=lambda number: number or 0.0)
        few = {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]} if len(ticks) <= MOST_TICKS else {}
        return {"label": title(setting.name), "values": numbers, **few}
    words = sorted({value or "–" for value in setting.values})
    return {
        "label": title(setting.name),
        "values": [words.index(value or "–") for value in setting.values],
        "tickvals": list(range(len(words))),
        "ticktext": [word.replace("_", " ") for word in words],
    }


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
