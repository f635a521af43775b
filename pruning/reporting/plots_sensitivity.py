"""How a sensitivity map is drawn: the shade of a cell, and accuracy over the level as curves with bands."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt
import pandas as pd
from plotly.colors import sample_colorscale, unlabel_rgb

from pruning.layer_sensitivity.result import SensitivityRow
from pruning.reporting.plots_run import GREY, STAGE_STYLES

STEPS = 64  # shades that can be told apart, and no more: a page sends few distinct colours
DARK_INK, LIGHT_INK = "#000000", "#ffffff"
# what is pruned first, then Okabe-Ito hues that no stage has; each with a dash and a mark of its own
SERIES = (
    (STAGE_STYLES["pruned"].hue, (1, 0), "circle"),
    ("#56B4E9", (6, 3), "cross"),
    ("#E69F00", (2, 2), "square"),
    (GREY, (8, 3, 2, 3), "triangle-up"),
)
MOST_CURVES = len(SERIES)


@dataclass(frozen=True)
class Shade:
    """The ground of a cell and the ink that can be read on it, both as #rrggbb."""

    ground: str
    ink: str

    @property
    def light(self) -> bool:
        return self.ink == DARK_INK


def shade(drop: float, worst: float) -> Shade:
    """Cividis from light (nothing lost) to dark (`worst` lost, both in [0, 1]); a gain is as light as no loss.

    Goes with the square root: what a point costs near the decision shows, and the collapsed end needs no detail.
    """
    share = min(max(drop, 0.0) / worst, 1.0) ** 0.5 if worst > 0 else 0.0
    return _shades()[round((1.0 - share) * (STEPS - 1))]


@cache
def _shades() -> tuple[Shade, ...]:
    """Dark to light."""
    sampled: Any = sample_colorscale("Cividis", [step / (STEPS - 1) for step in range(STEPS)])
    return tuple(_shade(*(round(part) for part in unlabel_rgb(colour))) for colour in sampled)


def _shade(red: int, green: int, blue: int) -> Shade:
    """With the ink of the higher contrast, which is never below 4.5 (WCAG 2.2, 1.4.3)."""
    light = luminance(red, green, blue)
    return Shade(f"#{red:02x}{green:02x}{blue:02x}", DARK_INK if light + 0.05 > 0.05**0.5 * 1.05**0.5 else LIGHT_INK)


def luminance(red: int, green: int, blue: int) -> float:
    """Relative luminance in [0, 1] of an sRGB colour of parts 0 to 255 (WCAG 2.2)."""
    parts = [part / 255 for part in (red, green, blue)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@dataclass(frozen=True)
class CurvePoint:
    """One row at one level: its score with the ends of the interval, all in percent."""

    layer: str
    level: float
    score: float
    low: float
    high: float


def curve_points(rows: Sequence[SensitivityRow], dense: float) -> list[CurvePoint]:
    """Every row from the uncut network on, which is known; levels of which nothing is known yet are left out."""
    points: list[CurvePoint] = []
    for row in rows:
        points.append(CurvePoint(row.name, 0.0, 100 * dense, 100 * dense, 100 * dense))
        for cell in row.cells:
            seen = cell.estimate
            if seen.samples:
                low, high = max(seen.score - seen.half_width, 0.0), min(seen.score + seen.half_width, 1.0)
                points.append(CurvePoint(row.name, 100 * cell.level, 100 * seen.score, 100 * low, 100 * high))
    return points


def curves_chart(points: Sequence[CurvePoint], dense: float, height: int = 300) -> alt.LayerChart | alt.FacetChart:
    """Lines with their 95 % bands over the level; the dense score is a dashed line. The axes stay while points move."""
    frame = pd.DataFrame(points, columns=["layer", "level", "score", "low", "high"])
    layers = list(dict.fromkeys(point.layer for point in points))
    hues, dashes, marks = zip(*SERIES[: len(layers)], strict=True)
    hue = alt.Scale(domain=layers, range=list(hues))
    key = alt.Legend(title=None, orient="top", symbolOpacity=1, symbolSize=90)
    colour = alt.Color("layer:N", scale=hue, legend=key)
    dashed = alt.Scale(domain=layers, range=[list(each) for each in dashes])
    marked = alt.Scale(domain=layers, range=list(marks))
    whole = alt.Scale(domain=[0, 100])
    x = alt.X("level:Q", title="share of the layer that is pruned, %", scale=whole)
    y = alt.Y("score:Q", title="accuracy, % (validation)", scale=whole)
    hints = [alt.Tooltip("layer:N")] + [
        alt.Tooltip(f"{name}:Q", format=".2f") for name in ("level", "score", "low", "high")
    ]
    base = alt.Chart(frame)
    band = base.mark_area(opacity=0.22).encode(x=x, y=alt.Y("low:Q", scale=whole), y2="high:Q", color=colour)
    line = base.mark_line().encode(
        x=x, y=y, color=colour,
        strokeDash=alt.StrokeDash("layer:N", scale=dashed, legend=None),
    )  # fmt: skip
    point = base.mark_point(filled=True, size=40, opacity=1).encode(
        x=x, y=y, color=colour,
        shape=alt.Shape("layer:N", scale=marked, legend=key), tooltip=hints,
    )  # fmt: skip
    uncut = alt.Chart(pd.DataFrame({"dense": [100 * dense]}))
    rule = uncut.mark_rule(color=STAGE_STYLES["dense"].hue, strokeDash=[4, 4]).encode(y="dense:Q")
    return alt.layer(rule, band, line, point).properties(
        height=height, width="container", padding={"left": 5, "right": 14, "top": 5, "bottom": 5}
    )
