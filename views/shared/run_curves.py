"""A run's curves as a chart that keeps its place while the run goes on.

A Vega-Lite description in the looks of the report's figure. Streamlit mounts a Plotly chart anew whenever its numbers
change, which at every poll would blank it and lose the zoom; a keyed Vega-Lite chart stays. It is written as a plain
mapping because Altair would bring pandas and pyarrow, 100 MB, into the server's process.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pruning.metric import Metric
from pruning.reporting.formatting import axis_title
from pruning.reporting.palette import DASH_LENGTHS, SERIES, Style
from pruning.reporting.run_summary import Curve
from views.shared.language import _


def curves_spec(points: Curve) -> dict[str, Any]:
    """Score and sparsity above, loss below, over optimiser steps. A score that is not in percent has its own panel."""
    sparsity = [(p.step, "sparsity", 100 * p.sparsity) for p in points.scores]
    sparsity += [(p.step, "near zero", 100 * p.share) for p in points.near_zero]
    losses = [(p.step, "loss", p.loss) for p in points.losses]
    return {
        "vconcat": [
            *_scores_and_sparsity(points, points.metric, sparsity),
            _lines(losses, {"loss": SERIES["loss"]}, _("training loss"), _("optimiser steps"), 70),
        ],
        "spacing": 8,
        "resolve": {"scale": {"x": "shared", "color": "independent", "strokeDash": "independent"}},
    }


def _scores_and_sparsity(points: Curve, metric: Metric, sparsity: list[tuple[int, str, float]]) -> list[dict[str, Any]]:
    shown = ["sparsity", "near zero"] if points.near_zero else ["sparsity"]
    score, share = {metric.name: SERIES["accuracy"]}, {name: SERIES[name] for name in shown}
    if metric.percent:
        shares = [(p.step, metric.name, 100 * p.score) for p in points.scores]
        return [_lines(shares + sparsity, score | share, _("%, validation"), None, 150)]
    scores = [(p.step, metric.name, p.score) for p in points.scores]
    return [
        _lines(scores, score, _(axis_title(metric, "validation")), None, 150, marked=True),
        _lines(sparsity, share, _("pruned, %"), None, 50, marked=True, ends=(0, 100)),
    ]


def _lines(
    rows: Sequence[tuple[int, str, float]],
    styles: Mapping[str, Style],
    y_title: str,
    x_title: str | None,
    height: int,
    marked: bool = False,
    ends: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """A line for each of the series of `styles`; with points where they are `marked` or several: measured seldom."""
    names, scale = list(styles), {"zero": False} if ends is None else {"domain": ends}
    hues, dashes = [style.hue for style in styles.values()], [DASH_LENGTHS[style.dash] for style in styles.values()]
    legend = {"title": None, "orient": "top", "symbolType": "stroke", "symbolSize": 300}
    series = {"field": "series", "type": "nominal"}
    return {
        "data": {"values": [{"step": step, "series": name, "value": value} for step, name, value in rows]},
        "mark": {"type": "line", "clip": True, "point": marked or len(names) > 1},
        "encoding": {
            "x": {"field": "step", "type": "quantitative", "title": x_title},
            "y": {"field": "value", "type": "quantitative", "title": y_title, "scale": scale},
            "color": {**series, "scale": {"domain": names, "range": hues}, "legend": legend},
            "strokeDash": {**series, "scale": {"domain": names, "range": dashes}, "legend": legend},
        },
        "height": height,
        "width": "container",
    }
