"""Accuracy over the level as a chart that keeps its place while the map sharpens.

Drawn by Altair, with the points and the looks of `pruning.reporting.plots_sensitivity.curves_figure`: Streamlit mounts
a Plotly chart anew whenever its numbers change (counted in Chromium: 13 times in 13 polls, with a key and a
`uirevision`), which here would blank it four times a second. A keyed Altair chart stays.
"""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from pruning.reporting.palette import DASH_LENGTHS, LAYERS, STAGES
from pruning.reporting.plots_sensitivity import CurvePoint
from views.shared.language import _

HEIGHT = 300


def curves_chart(points: Sequence[CurvePoint], dense: float) -> alt.LayerChart | alt.FacetChart:
    """Lines with their 95 % bands over the level; the dense score is a dashed line. The axes stay while points move."""
    frame = pd.DataFrame(points, columns=["layer", "level", "score", "low", "high"])
    layers = list(dict.fromkeys(point.layer for point in points))
    looks = LAYERS[: len(layers)]
    key = alt.Legend(title=None, orient="top", symbolOpacity=1, symbolSize=90)
    colour = alt.Color("layer:N", scale=alt.Scale(domain=layers, range=[look.hue for look in looks]), legend=key)
    dashed = alt.Scale(domain=layers, range=[list(DASH_LENGTHS[look.dash]) for look in looks])
    marked = alt.Scale(domain=layers, range=[look.mark for look in looks])
    whole = alt.Scale(domain=[0, 100])
    x = alt.X("level:Q", title=_("share of the layer that is pruned, %"), scale=whole)
    y = alt.Y("score:Q", title=_("accuracy, % (validation)"), scale=whole)
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
    rule = uncut.mark_rule(
        color=STAGES["dense"].hue, strokeDash=list(DASH_LENGTHS[STAGES["dense"].dash])
    ).encode(y="dense:Q")  # fmt: skip
    return alt.layer(rule, band, line, point).properties(
        height=HEIGHT, width="container", padding={"left": 5, "right": 14, "top": 5, "bottom": 5}
    )
