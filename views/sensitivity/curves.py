"""Accuracy over the level as a chart that keeps its place while the map sharpens.

A Vega-Lite description, with the points and the looks of `pruning.reporting.plots_sensitivity.curves_figure`: Streamlit
mounts a Plotly chart anew whenever its numbers change (counted in Chromium: 13 times in 13 polls, with a key and a
`uirevision`), which here would blank it four times a second. A keyed Vega-Lite chart stays. It is written as a plain
mapping because Altair would bring pandas and pyarrow, 100 MB, into the server's process.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pruning.metric import ACCURACY, Metric
from pruning.reporting.formatting import axis_ends, axis_title, on_axis
from pruning.reporting.palette import DASH_LENGTHS, LAYERS, STAGES
from pruning.reporting.plots_sensitivity import CurvePoint
from views.shared.language import _

HEIGHT = 300
WHOLE = {"domain": [0, 100]}


def curves_spec(points: Sequence[CurvePoint], dense: float, metric: Metric = ACCURACY) -> dict[str, Any]:
    """Lines with their 95 % bands over the level; the dense score is a dashed line.

    The axes stay while points move, but for that of a score without bounds.
    """
    ends = axis_ends(metric)
    scale = {"zero": False} if ends is None else {"domain": ends}
    layers = list(dict.fromkeys(point.layer for point in points))
    looks = LAYERS[: len(layers)]
    data = {"values": [asdict(point) for point in points]}
    key = {"title": None, "orient": "top", "symbolOpacity": 1, "symbolSize": 90}
    colour = _by_layer(layers, [look.hue for look in looks], key)
    x = {"field": "level", "type": "quantitative", "title": _("share of the layer that is pruned, %"), "scale": WHOLE}
    y = {"field": "score", "type": "quantitative", "title": _(axis_title(metric, "validation")), "scale": scale}
    low = {"field": "low", "type": "quantitative", "scale": scale}
    digits = ".2f" if metric.percent else ".4"
    numbers = [{"field": f, "type": "quantitative", "format": digits} for f in ("level", "score", "low", "high")]
    dashed = _by_layer(layers, [DASH_LENGTHS[look.dash] for look in looks], key)
    marked = _by_layer(layers, [look.mark for look in looks], key)
    at_rest = STAGES["dense"]
    rule = {
        "data": {"values": [{"dense": on_axis(dense, metric)}]},
        "mark": {"type": "rule", "color": at_rest.hue, "strokeDash": DASH_LENGTHS[at_rest.dash]},
        "encoding": {"y": {"field": "dense", "type": "quantitative"}},
    }
    band = {
        "data": data,
        "mark": {"type": "area", "opacity": 0.22},
        "encoding": {"x": x, "y": low, "y2": {"field": "high"}, "color": colour},
    }
    line = {"data": data, "mark": "line", "encoding": {"x": x, "y": y, "color": colour, "strokeDash": dashed}}
    point = {
        "data": data,
        "mark": {"type": "point", "filled": True, "size": 40, "opacity": 1},
        "encoding": {
            "x": x, "y": y, "color": colour, "shape": marked,
            "tooltip": [{"field": "layer", "type": "nominal"}, *numbers],
        },
    }  # fmt: skip
    return {
        "layer": [rule, band, line, point],
        "height": HEIGHT,
        "padding": {"left": 5, "right": 14, "top": 5, "bottom": 5},
    }


def _by_layer(layers: Sequence[str], looks: Sequence[Any], legend: dict[str, Any] | None) -> dict[str, Any]:
    """An encoding that gives each layer its own look."""
    scale = {"domain": list(layers), "range": list(looks)}
    return {"field": "layer", "type": "nominal", "scale": scale, "legend": legend}
