"""Plotly figures of the numbers in `pruning.curves`. A stage has hue (Okabe-Ito), dash and mark: never hue alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pruning.curves import Curve, SizePoint


@dataclass(frozen=True)
class Style:
    """How a stage looks in every chart: its hue, the dash of its line and the mark of its points."""

    hue: str
    dash: str
    mark: str


STAGE_STYLES: Mapping[str, Style] = {
    "dense": Style("#0072B2", "dash", "circle"),
    "pruned": Style("#D55E00", "dot", "x"),
    "tuned": Style("#009E73", "solid", "square"),
    "exported": Style("#CC79A7", "dashdot", "diamond-open"),
}
GREY = "#7a828a"  # lies between the inks of the light and of the dark page, and can be read on both
MOST_LABELS = 8
GRID = "rgba(122, 130, 138, 0.28)"


def curve_figure(curve: Curve) -> go.Figure:
    """Validation accuracy, sparsity and training loss over optimiser steps, one under the other; rounds are marked."""
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.05, row_heights=[0.5, 0.25, 0.25])
    tuned = STAGE_STYLES["tuned"]
    steps = [point.step for point in curve.scores]
    figure.add_scatter(
        x=steps,
        y=[100 * point.score for point in curve.scores],
        name="while tuning",
        mode="lines+markers",
        line={"color": tuned.hue, "dash": tuned.dash},
        marker={"symbol": tuned.mark, "size": 6},
        hovertemplate="step %{x}: %{y:.2f} %<extra></extra>",
        row=1,
        col=1,
    )
    if curve.dense is not None:
        dense = STAGE_STYLES["dense"]
        figure.add_scatter(
            x=[0, max([curve.steps, *steps])],
            y=[100 * curve.dense] * 2,
            name="dense",
            mode="lines",
            line={"color": dense.hue, "dash": dense.dash, "width": 1.5},
            hovertemplate="dense: %{y:.2f} %<extra></extra>",
            row=1,
            col=1,
        )
    figure.add_scatter(
        x=[0, *steps],
        y=[0.0, *(100 * point.sparsity for point in curve.scores)],
        name="sparsity",
        mode="lines",
        line={"color": GREY, "shape": "hv"},
        showlegend=False,
        hovertemplate="step %{x}: %{y:.1f} % fallen<extra></extra>",
        row=2,
        col=1,
    )
    figure.add_scatter(
        x=[point.step for point in curve.losses],
        y=[point.loss for point in curve.losses],
        name="training loss",
        mode="lines",
        line={"color": GREY, "width": 1.2},
        showlegend=False,
        hovertemplate="step %{x}: %{y:.3f}<extra></extra>",
        row=3,
        col=1,
    )
    for cut in curve.cuts:
        figure.add_vline(x=cut.step, line={"color": GREY, "dash": "dot", "width": 1}, row="all", col="all")
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
    titles = ("accuracy, % (validation)", "fallen, %", "training loss")
    for row, title in enumerate(titles, start=1):
        figure.update_yaxes(title={"text": title}, row=row, col=1, **_AXIS)
    figure.update_xaxes(**_AXIS)
    figure.update_xaxes(title={"text": "optimiser steps"}, row=3, col=1)
    return _dressed(figure, 560)


def size_figure(points: Sequence[SizePoint]) -> go.Figure:
    """Test accuracy over the size of the file, a mark for each stage; small marks are the file gzipped."""
    figure = go.Figure()
    for point in points:
        style = STAGE_STYLES[point.stage]
        figure.add_scatter(
            x=[point.bytes / 1000, point.gzip_bytes / 1000],
            y=[100 * point.score] * 2,
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
            hovertemplate=f"{point.stage}, %{{text}}: %{{x:.1f}} kB, %{{y:.2f}} %<extra></extra>",
        )
    figure.update_xaxes(title={"text": "kB: large mark the file, small mark gzipped"}, rangemode="tozero", **_AXIS)
    figure.update_yaxes(title={"text": "accuracy, % (test)"}, **_AXIS)
    return _dressed(figure, 340)


_AXIS: dict[str, Any] = {"gridcolor": GRID, "zeroline": False, "linecolor": GREY, "ticks": "outside", "tickcolor": GREY}


def _dressed(figure: go.Figure, height: int) -> go.Figure:
    """Transparent, so that the page's own light or dark ground shows through."""
    figure.update_layout(
        height=height,
        margin={"l": 64, "r": 12, "t": 52, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 12, "color": GREY},
        legend={"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
        hoverlabel={"font": {"color": "#1d2125"}, "bgcolor": "#ffffff"},
    )
    return figure
