"""Plotly figures that compare runs. Each run has its own hue, dash and mark in every chart, so never a hue alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from pruning.metric import ACCURACY, Metric
from pruning.reporting.formatting import as_text, axis_title, hover_text, on_axis
from pruning.reporting.palette import run_style
from pruning.reporting.plots_run import AXIS, dressed
from pruning.reporting.run_history import Placed, Size
from pruning.reporting.run_summary import Curve

AXIS_TITLES: Mapping[Size, tuple[str, float]] = {
    "gzip_bytes": ("size of the file, gzipped, kB", 1e3),
    "bytes": ("size of the file, kB", 1e3),
    "macs": ("MACs per sample, millions", 1e6),
    "nonzero": ("parameters that are not zero, thousands", 1e3),
}


@dataclass(frozen=True)
class Drawn:
    """What the charts show of a run: its name, its curve, and its dense and tuned networks against size."""

    name: str
    curve: Curve
    placed: tuple[Placed, ...]


def score_figure(runs: Sequence[Drawn], metric: Metric = ACCURACY) -> go.Figure:
    """Validation score over optimiser steps, one line for each run. All runs are scored by the metric."""
    figure = go.Figure()
    for place, run in enumerate(runs):
        style = run_style(place)
        figure.add_scatter(
            x=[point.step for point in run.curve.scores],
            y=[on_axis(point.score, metric) for point in run.curve.scores],
            customdata=[100 * point.sparsity for point in run.curve.scores],
            name=as_text(run.name),
            mode="lines+markers",
            line={"color": style.hue, "dash": style.dash, "width": 1.8},
            marker={"symbol": style.mark, "size": 7},
            cliponaxis=False,
            hovertemplate=f"{hover_text('y', metric)} after step %{{x}}, %{{customdata:.1f}} % pruned",
        )
    figure.update_xaxes(title={"text": "optimiser steps"}, rangemode="tozero", **AXIS)
    figure.update_yaxes(title={"text": axis_title(metric, "validation")}, **AXIS)
    return dressed(figure, 380)


def score_size_figure(runs: Sequence[Drawn], size: Size, metric: Metric = ACCURACY) -> go.Figure:
    """Test score against size: a line for each run, from its dense network (hollow mark) to its tuned one."""
    title, unit = AXIS_TITLES[size]
    figure = go.Figure()
    for place, run in enumerate(runs):
        style = run_style(place)
        points = run.placed[::-1]  # the legend shows the mark of the first point: the tuned network
        hollow = [point.stage == "dense" for point in points]
        figure.add_scatter(
            x=[point.size / unit for point in points],
            y=[on_axis(point.score, metric) for point in points],
            text=[point.stage for point in points],
            name=as_text(run.name),
            mode="lines+markers",
            line={"color": style.hue, "dash": style.dash, "width": 1},
            marker={
                "symbol": [f"{style.mark}-open" if open_ else style.mark for open_ in hollow],
                "size": [9 if open_ else 12 for open_ in hollow],
                "opacity": 1,
                "line": {"width": 1.5, "color": style.hue},
            },
            cliponaxis=False,
            hovertemplate=f"%{{text}}: {hover_text('y', metric)} at %{{x:.4g}}",
        )
    figure.update_xaxes(title={"text": f"{title}; hollow: dense"}, rangemode="tozero", **AXIS)
    figure.update_yaxes(title={"text": axis_title(metric, "test")}, **AXIS)
    return dressed(figure, 380)
