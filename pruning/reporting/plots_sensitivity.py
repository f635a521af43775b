"""How a sensitivity map is drawn: a colour for each cell, and curves of the score over the level with their bands."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import plotly.graph_objects as go
from plotly.colors import sample_colorscale, unlabel_rgb

from pruning.layer_sensitivity.result import Sensitivity, SensitivityRow
from pruning.metric import ACCURACY, Metric
from pruning.reporting.formatting import as_text, axis_ends, axis_title, hover_text, on_axis
from pruning.reporting.palette import DARK_INK, LAYERS, LIGHT_INK, MAGNITUDES, STAGES
from pruning.reporting.plots_run import AXIS, dressed

STEPS = 64  # shades: as many as an eye can distinguish, so that a page sends few different colours
MOST_CURVES = len(LAYERS)


@dataclass(frozen=True)
class Shade:
    """The background of a cell, and the colour of text that can be read on it, both as #rrggbb."""

    ground: str
    ink: str

    @property
    def light(self) -> bool:
        return self.ink == DARK_INK


def shade(drop: float, worst: float) -> Shade:
    """The shade of a cell whose score is worse by `drop`: light for none, dark for `worst`, both in the score's unit.

    A gain is as light as no loss. Shades follow the square root of the drop: small losses, among which a person
    decides, differ visibly, and large ones hardly.
    """
    share = min(max(drop, 0.0) / worst, 1.0) ** 0.5 if worst > 0 else 0.0
    return _shades()[round((1.0 - share) * (STEPS - 1))]


def worst_drop(sensed: Sensitivity) -> float:
    """The drop that is drawn darkest: down to where the metric's range ends, else the largest of the map."""
    metric, dense = sensed.metric, sensed.dense
    if metric.bounded:
        return abs(dense - metric.ends[0 if metric.better == "higher" else 1])
    drops = [metric.drop(cell.estimate.change) for row in sensed.rows for cell in row.cells if cell.estimate.samples]
    return max([metric.tolerance(dense), *drops])


@cache
def _shades() -> tuple[Shade, ...]:
    """All shades, from dark to light."""
    sampled: Any = sample_colorscale(MAGNITUDES, [step / (STEPS - 1) for step in range(STEPS)])
    return tuple(_shade(*(round(part) for part in unlabel_rgb(colour))) for colour in sampled)


def _shade(red: int, green: int, blue: int) -> Shade:
    """A background with black or white text, whichever has more contrast: always at least 4.5 (WCAG 2.2, 1.4.3)."""
    light = luminance(red, green, blue)
    return Shade(f"#{red:02x}{green:02x}{blue:02x}", DARK_INK if light + 0.05 > 0.05**0.5 * 1.05**0.5 else LIGHT_INK)


def luminance(red: int, green: int, blue: int) -> float:
    """Relative luminance, in [0, 1], of an sRGB colour with channels from 0 to 255 (WCAG 2.2)."""
    parts = [part / 255 for part in (red, green, blue)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@dataclass(frozen=True)
class CurvePoint:
    """A row of the map at a level, in percent: its score, and the ends of the interval, as an axis counts them."""

    layer: str
    level: float
    score: float
    low: float
    high: float


def curve_points(rows: Sequence[SensitivityRow], dense: float, metric: Metric = ACCURACY) -> list[CurvePoint]:
    """The points of every row, the first at level 0: the dense network. Cells without an estimate yet are left out."""
    points: list[CurvePoint] = []
    lowest, highest = metric.ends
    for row in rows:
        points.append(CurvePoint(row.name, 0.0, *[on_axis(dense, metric)] * 3))
        for cell in row.cells:
            seen = cell.estimate
            if seen.samples:
                low, high = max(seen.score - seen.half_width, lowest), min(seen.score + seen.half_width, highest)
                scores = (on_axis(each, metric) for each in (seen.score, low, high))
                points.append(CurvePoint(row.name, 100 * cell.level, *scores))
    return points


def curves_figure(
    points: Sequence[CurvePoint], dense: float, height: int = 300, metric: Metric = ACCURACY
) -> go.Figure:
    """Score over the level: a line with its 95 % band for each layer, and a dashed line for the dense network.

    The axes of a metric with bounds are fixed, so that they do not move while estimates do. Only the first
    `MOST_CURVES` layers are drawn.
    """
    figure = go.Figure()
    uncut = STAGES["dense"]
    figure.add_scatter(
        x=[0, 100],
        y=[on_axis(dense, metric)] * 2,
        name="dense",
        mode="lines",
        line={"color": uncut.hue, "dash": uncut.dash, "width": 1.5},
        hovertemplate=f"dense: {hover_text('y', metric)}<extra></extra>",
    )
    digits = ".2f" if metric.percent else ".4g"
    ends = f"%{{customdata[0]:{digits}}} to %{{customdata[1]:{digits}}}"
    layers = list(dict.fromkeys(point.layer for point in points))
    for layer, style in zip(layers, LAYERS, strict=False):
        own = [point for point in points if point.layer == layer]
        levels = [point.level for point in own]
        figure.add_scatter(
            x=levels + levels[::-1],
            y=[point.high for point in own] + [point.low for point in own[::-1]],
            mode="lines",
            fill="toself",
            line={"color": style.hue, "width": 0},
            opacity=0.4,
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_scatter(
            x=levels,
            y=[point.score for point in own],
            customdata=[[point.low, point.high] for point in own],
            name=as_text(layer),
            mode="lines+markers",
            line={"color": style.hue, "dash": style.dash},
            marker={"symbol": style.mark, "size": 7},
            hovertemplate=f"{hover_text('y', metric)} ({ends}) at %{{x:.0f}} % pruned",
        )
    figure.update_xaxes(title={"text": "share of the layer that is pruned, %"}, range=[0, 100], **AXIS)
    figure.update_yaxes(title={"text": axis_title(metric, "validation")}, range=axis_ends(metric), **AXIS)
    return dressed(figure, height)
