"""A run's curves as a chart that keeps its place while the run goes on.

A Vega-Lite description in the looks of the report's figure. Streamlit mounts a Plotly chart anew whenever its numbers
change, which at every poll would blank it and lose the zoom; a keyed Vega-Lite chart stays. It is written as a plain
mapping because Altair would bring pandas and pyarrow, 100 MB, into the server's process.
"""

from collections.abc import Sequence
from typing import Any

from pruning.reporting.palette import DASH_LENGTHS, SERIES
from pruning.reporting.run_summary import Curve
from views.shared.language import _


def curves_spec(points: Curve) -> dict[str, Any]:
    """Accuracy and sparsity above, loss below, over optimiser steps."""
    shares = [(p.step, "accuracy", 100 * p.score) for p in points.scores]
    shares += [(p.step, "sparsity", 100 * p.sparsity) for p in points.scores]
    losses = [(p.step, "loss", p.loss) for p in points.losses]
    return {
        "vconcat": [
            _lines(shares, ["accuracy", "sparsity"], _("%, validation"), None, 150),
            _lines(losses, ["loss"], _("training loss"), _("optimiser steps"), 70),
        ],
        "spacing": 8,
        "resolve": {"scale": {"x": "shared", "color": "independent", "strokeDash": "independent"}},
    }


def _lines(
    rows: Sequence[tuple[int, str, float]], names: Sequence[str], y_title: str, x_title: str | None, height: int
) -> dict[str, Any]:
    """A line for each of the series `names`; with points where there are several, for they are measured seldom."""
    hues, dashes = [SERIES[name].hue for name in names], [DASH_LENGTHS[SERIES[name].dash] for name in names]
    legend = {"title": None, "orient": "top", "symbolType": "stroke", "symbolSize": 300}
    series = {"field": "series", "type": "nominal"}
    return {
        "data": {"values": [{"step": step, "series": name, "value": value} for step, name, value in rows]},
        "mark": {"type": "line", "clip": True, "point": len(names) > 1},
        "encoding": {
            "x": {"field": "step", "type": "quantitative", "title": x_title},
            "y": {"field": "value", "type": "quantitative", "title": y_title, "scale": {"zero": False}},
            "color": {**series, "scale": {"domain": names, "range": hues}, "legend": legend},
            "strokeDash": {**series, "scale": {"domain": names, "range": dashes}, "legend": None},
        },
        "height": height,
        "width": "container",
    }
