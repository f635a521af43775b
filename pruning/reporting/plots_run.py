"""Plotly figures of one run. Lines differ in hue, dash and mark, all from the palette: never in hue alone."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pruning.metric import ACCURACY, Metric
from pruning.pipeline.comparison import Compared
from pruning.reporting.formatting import axis_ends, axis_title, hover_text, on_axis
from pruning.reporting.palette import (
    CUT,
    GREY,
    GRID,
    KEPT,
    LIGHT,
    LIGHT_INK,
    MAGNITUDES,
    PRUNED,
    SERIES,
    STAGES,
    TRANSPARENT,
)
from pruning.reporting.run_summary import Curve, SizePoint

MOST_LABELS = 8
MOST_NUMBERS = 14  # rows of a matrix; with more there is no room for numbers in the cells
LONGEST_TICK = 18  # letters
MOST_BARS = 128
MOST_UNITS = 32  # bars; with more there is no room for labels below them


def curve_figure(curve: Curve) -> go.Figure:
    """Validation score, sparsity and training loss over optimiser steps, in three panels; vertical lines: rounds."""
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.05, row_heights=[0.5, 0.25, 0.25])
    accuracy, sparsity, loss, rounds = (SERIES[name] for name in ("accuracy", "sparsity", "loss", "round"))
    steps, metric = [point.step for point in curve.scores], curve.metric
    figure.add_scatter(
        x=steps,
        y=[on_axis(point.score, metric) for point in curve.scores],
        name="while tuning",
        mode="lines+markers",
        line={"color": accuracy.hue, "dash": accuracy.dash},
        marker={"symbol": accuracy.mark, "size": 6},
        hovertemplate=f"step %{{x}}: {hover_text('y', metric)}<extra></extra>",
        row=1,
        col=1,
    )
    if curve.dense is not None:
        dense = STAGES["dense"]
        figure.add_scatter(
            x=[0, max([curve.steps, *steps])],
            y=[on_axis(curve.dense, metric)] * 2,
            name="dense",
            mode="lines",
            line={"color": dense.hue, "dash": dense.dash, "width": 1.5},
            hovertemplate=f"dense: {hover_text('y', metric)}<extra></extra>",
            row=1,
            col=1,
        )
    figure.add_scatter(
        x=[0, *steps],
        y=[0.0, *(100 * point.sparsity for point in curve.scores)],
        name="sparsity",
        mode="lines",
        line={"color": sparsity.hue, "dash": sparsity.dash, "shape": "hv"},
        showlegend=False,
        hovertemplate="step %{x}: %{y:.1f} % pruned<extra></extra>",
        row=2,
        col=1,
    )
    if curve.near_zero:
        near = SERIES["near zero"]
        figure.add_scatter(
            x=[point.step for point in curve.near_zero],
            y=[100 * point.share for point in curve.near_zero],
            name="near zero",
            mode="lines",
            line={"color": near.hue, "dash": near.dash},
            hovertemplate="step %{x}: %{y:.1f} % of the units near zero<extra></extra>",
            row=2,
            col=1,
        )
    figure.add_scatter(
        x=[point.step for point in curve.losses],
        y=[point.loss for point in curve.losses],
        name="training loss",
        mode="lines",
        line={"color": loss.hue, "dash": loss.dash, "width": 1.2},
        showlegend=False,
        hovertemplate="step %{x}: %{y:.3f}<extra></extra>",
        row=3,
        col=1,
    )
    for cut in curve.cuts:
        figure.add_vline(x=cut.step, line={"color": rounds.hue, "dash": rounds.dash, "width": 1}, row="all", col="all")
    for cut in curve.cuts[:: -(-len(curve.cuts) // MOST_LABELS) or 1]:
        figure.add_annotation(
            x=cut.step,
            y=1,
            yref="y domain",
            text=f"round {cut.round}" if cut.round == 1 else str(cut.round),
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            font={"size": 11, "color": GREY},
            row=1,
            col=1,
        )
    titles = (axis_title(metric, "validation"), "pruned, %", "training loss")
    for row, title in enumerate(titles, start=1):
        figure.update_yaxes(title={"text": title}, row=row, col=1, **AXIS)
    figure.update_xaxes(**AXIS)
    figure.update_xaxes(title={"text": "optimiser steps"}, row=3, col=1)
    return dressed(figure, 560)


def size_figure(points: Sequence[SizePoint], metric: Metric = ACCURACY) -> go.Figure:
    """Test score over file size: for each stage a large mark for the file and a small one for the gzipped file."""
    figure = go.Figure()
    for point in points:
        style = STAGES[point.stage]
        figure.add_scatter(
            x=[point.bytes / 1000, point.gzip_bytes / 1000],
            y=[on_axis(point.score, metric)] * 2,
            name=point.stage,
            mode="lines+markers",
            line={"color": style.hue, "dash": style.dash, "width": 1.5},
            marker={
                "symbol": style.mark,
                "size": [12, 7],
                "opacity": 1,
                "line": {"width": 1.5 * ("open" in style.mark), "color": style.hue},
            },
            text=["file", "gzipped"],
            hovertemplate=f"{point.stage}, %{{text}}: %{{x:.1f}} kB, {hover_text('y', metric)}<extra></extra>",
        )
    figure.update_xaxes(title={"text": "kB: large mark the file, small mark gzipped"}, rangemode="tozero", **AXIS)
    figure.update_yaxes(title={"text": axis_title(metric, "test")}, **AXIS)
    return dressed(figure, 340)


def comparison_figure(rows: Sequence[Compared], dense: float, metric: Metric = ACCURACY) -> go.Figure:
    """Validation score of each criterion's cut, with its interval while that is estimated.

    A vertical line is the dense network.
    """
    known = [(row.kind, row.estimate) for row in rows if row.estimate is not None]
    pruned, whole = STAGES["pruned"], STAGES["dense"]
    figure = go.Figure()
    figure.add_scatter(
        x=[on_axis(estimate.score, metric) for _, estimate in known],
        y=[kind.replace("_", " ") for kind, _ in known],
        error_x={
            "type": "data",
            "array": [on_axis(e.half_width, metric) for _, e in known],
            "color": SERIES["interval"].hue,
            "thickness": 1.5,
        },
        mode="markers",
        marker={"symbol": pruned.mark, "size": 9, "color": pruned.hue},
        hovertemplate=f"%{{y}}: {hover_text('x', metric)}<extra></extra>",
        showlegend=False,
    )
    figure.add_vline(x=on_axis(dense, metric), line={"color": whole.hue, "dash": whole.dash, "width": 1.5})
    figure.update_yaxes(
        type="category",  # plotly would take an axis without points for one of numbers
        categoryorder="array",
        categoryarray=[row.kind.replace("_", " ") for row in reversed(rows)],
        automargin=True,
    )
    figure.update_xaxes(
        title={"text": f"{axis_title(metric, 'validation')}; dashed: dense"}, range=axis_ends(metric), **AXIS
    )
    figure = dressed(figure, 90 + 24 * len(rows))
    figure.update_layout(margin={"t": 10})
    figure.update_yaxes(range=[-0.6, len(rows) - 0.4])
    return figure


def agreement_figure(kinds: Sequence[str], values: Sequence[Sequence[float]], low: float) -> go.Figure:
    """A matrix of agreement, `values[row][column]`, on a scale from `low` to 1; with numbers if they fit."""
    names = [kind.replace("_", " ") for kind in kinds]
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=names,
            y=names,
            zmin=low,
            zmax=1,
            colorscale=MAGNITUDES,
            texttemplate="%{z:.2f}" if len(names) <= MOST_NUMBERS else None,
            hovertemplate="%{y} and %{x}: %{z:.3f}<extra></extra>",
            colorbar={"thickness": 10, "outlinewidth": 0},
            xgap=1,
            ygap=1,
        )
    )
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_xaxes(tickangle=-40, automargin=True)
    figure = dressed(figure, 130 + 26 * len(names))
    figure.update_layout(margin={"t": 10})
    return figure


def units_figure(scores: Sequence[float], pruned: Sequence[bool], names: Sequence[str] = ()) -> go.Figure:
    """Scores of a layer's units as bars, the highest first; pruned units are lighter and hatched.

    The label of a bar is the number of its unit, or the name where there are names.
    """
    order = sorted(range(len(scores)), key=lambda unit: -scores[unit])
    ordered = [pruned[unit] for unit in order]
    figure = go.Figure(
        go.Bar(
            x=list(range(1, len(order) + 1)),
            y=[scores[unit] for unit in order],
            customdata=[[unit, "pruned" if gone else "kept"] for unit, gone in zip(order, ordered, strict=True)],
            marker={
                "color": [PRUNED if gone else KEPT for gone in ordered],
                "pattern": {"shape": ["/" if gone else "" for gone in ordered], "fgcolor": CUT, "size": 5},
                "line": {"width": 0},
            },
            hovertemplate="unit %{customdata[0]}: %{y:.4g}, %{customdata[1]}<extra></extra>",
        )
    )
    figure.update_xaxes(title={"text": "units by importance; hatched: pruned"}, **AXIS)
    if len(order) <= MOST_UNITS:
        figure.update_xaxes(
            tickvals=list(range(1, len(order) + 1)),
            ticktext=[_short(names[unit]) if names else str(unit) for unit in order],
        )
    figure.update_yaxes(title={"text": "importance"}, **AXIS)
    figure.update_layout(bargap=0.15 if len(order) <= MOST_BARS else 0)
    figure = dressed(figure, 260)
    figure.update_layout(margin={"t": 10})
    return figure


def unit_matrix_figure(
    scores: Sequence[Sequence[float]], pruned: Sequence[Sequence[bool]], rows: Sequence[str], title: str
) -> go.Figure:
    """Scores of units that lie in rows, such as heads by layer or gates by unit; a cross marks a pruned unit."""
    figure = go.Figure(
        go.Heatmap(
            z=scores,
            y=list(rows),
            colorscale=MAGNITUDES,
            colorbar={"thickness": 10, "outlinewidth": 0},
            hovertemplate="%{y}, %{x}: %{z:.4g}<extra></extra>",
            xgap=1,
            ygap=1,
        )
    )
    gone = [(row, column) for row, cells in enumerate(pruned) for column, cell in enumerate(cells) if cell]
    figure.add_scatter(
        x=[column for _, column in gone],
        y=[rows[row] for row, _ in gone],
        mode="markers",
        marker={"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": LIGHT_INK}},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.update_xaxes(title={"text": title})
    figure.update_yaxes(autorange="reversed", automargin=True, type="category")
    figure.update_yaxes(tickvals=list(rows), ticktext=[_short(row) for row in rows])
    figure = dressed(figure, 110 + 34 * len(rows))
    figure.update_layout(margin={"t": 10})
    return figure


def _short(name: str) -> str:
    """The name, cut in its middle if it is long: as a label it would take the chart's room on a narrow screen."""
    return name if len(name) <= LONGEST_TICK else f"{name[:7]}…{name[8 - LONGEST_TICK :]}"


AXIS: dict[str, Any] = {"gridcolor": GRID, "zeroline": False, "linecolor": GREY, "ticks": "outside", "tickcolor": GREY}


def dressed(figure: go.Figure, height: int) -> go.Figure:
    """The figure with the layout that all figures share; transparent, for it stands on a light or a dark page."""
    figure.update_layout(
        height=height,
        margin={"l": 64, "r": 12, "t": 52, "b": 48},
        paper_bgcolor=TRANSPARENT,
        plot_bgcolor=TRANSPARENT,
        font={"family": "system-ui, sans-serif", "size": 12, "color": GREY},
        legend={"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
        hoverlabel={"font": {"color": LIGHT.ink}, "bgcolor": LIGHT.ground},
    )
    return figure
