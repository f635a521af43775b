"""The Lab: the strip of numbers, the layer panel, the heatmap, the units of a layer."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import streamlit as st

from pruning.evaluation.estimate import Estimate
from pruning.events import PrunedValues
from pruning.interactive.responses import BINS, AccuracyPreview, CutPreview, Heatmap, LayerView, ModelView
from pruning.metric import ACCURACY, Metric
from pruning.model.descriptions import Costs, LayerRow
from pruning.reporting.plots_run import unit_matrix_figure, units_figure
from views.gallery.states import LONG, Draw, States
from views.lab import components
from views.lab.layer_panel import heatmap_data, panel_data
from views.shared import strip
from views.shared.language import _

SHAPES = {"conv1": (16, 1, 3, 3), "conv2": (32, 16, 3, 3), "fc": (10, 1568)}
REASON = "its output is the model's output"
DENSE = Costs(20_490, 20_490, 82_444, 76_012, 1_130_000)
LARGE = Costs(25_557_032, 25_557_032, 102_228_128, 94_801_223, 4_089_184_256)


MSE = Metric("MSE", "lower", low=0.0)


def model(
    rows: Sequence[LayerRow], costs: Costs = DENSE, score: float = 0.9158, metric: Metric = ACCURACY
) -> ModelView:
    return ModelView("fashion_cnn", "Fashion-MNIST", "cpu", tuple(rows), (), score, 10_000, costs, metric=metric)


def layer(name: str, shape: tuple[int, ...], why_not: str = "") -> LayerRow:
    kind = "Conv2d" if len(shape) == 4 else "Linear"
    return LayerRow(name, kind, shape, int(np.prod(shape)), int(np.prod(shape)) * 49, why_not)


def view(row: LayerRow, pruned: float, follows: str = "", whole: bool = False) -> LayerView:
    """A layer with bell-shaped importance, of which the lowest share is pruned."""
    bell = np.exp(-((np.linspace(0, 3, BINS) - 0.6) ** 2))
    bins = np.zeros(BINS, dtype=np.int64) if row.why_not else (bell / bell.sum() * row.parameters).astype(np.int64)
    below = bins.cumsum() <= pruned * bins.sum()
    cuts = (3 * float(below.sum()) / BINS,) if bins.any() and pruned else ()
    units = 0 if row.why_not else row.parameters
    return LayerView(
        row.name, follows or row.name, units, round(pruned * units), whole, row.why_not, 0.0, 3.0,
        np.where(below, 0, bins), np.where(below, bins, 0), cuts,
    )  # fmt: skip


def cut(views: Sequence[LayerView], costs: Costs = DENSE, removed: bool = False) -> CutPreview:
    units, pruned = sum(view.units for view in views), sum(view.pruned_units for view in views)
    kept = costs.parameters - pruned
    after = (kept, 4 * kept, costs.macs // 3) if removed else (costs.parameters, costs.bytes, costs.macs)
    values = PrunedValues(pruned, units, costs.parameters)
    return CutPreview(tuple(views), units, pruned, pruned, 0.1, after[0], kept, 0, after[1], after[2], values)


ROWS = [layer(name, shape) for name, shape in SHAPES.items()]
UNPRUNABLE = [
    layer("head", (10, 32), REASON),
    replace(layer("positions", (1, 197, 32), "a parameter of no layer of its own"), type="ViT", macs=None),
]
HALF = cut([view(row, 0.5) for row in ROWS])


def _strip(
    outcome: AccuracyPreview | None,
    waiting: str = "",
    stale: bool = False,
    look: CutPreview = HALF,
    costs: Costs = DENSE,
    score: float = 0.9158,
    metric: Metric = ACCURACY,
) -> Draw:
    def draw(key: str) -> None:
        before = model(ROWS, costs, score, metric)
        strip.show(
            [strip.score(before, outcome, _(waiting) if waiting else ""), *strip.sizes(before, look, outcome)], stale
        )

    return draw


def _panel(rows: Sequence[LayerRow], look: CutPreview, stale: bool = False, logy: bool = False) -> Draw:
    def draw(key: str) -> None:
        data = panel_data(model(rows), look, logy, stale)
        components.layers(data, _nothing, _nothing, key=f"{key}_component")

    return draw


def _nothing(sent: object) -> None:
    """A click in the gallery changes nothing."""


def _all_sorts() -> CutPreview:
    """A row that is pruned, one that follows it, one that is kept whole and two that may not be pruned."""
    views = [view(ROWS[0], 0.3), view(ROWS[1], 0.3, "conv1"), view(ROWS[2], 0.0, whole=True)]
    return cut([*views, *(view(row, 0.0) for row in UNPRUNABLE)])


def _image(values: np.ndarray, pruned: np.ndarray, shape: tuple[int, int], name: str = "conv2") -> Heatmap:
    lowest, highest = min(0.0, float(values.min())), float(values.max())
    return Heatmap(
        name, shape, 0, shape[0], 0, shape[1], values.astype(np.float32), pruned.astype(np.uint8), False, lowest, highest
    )  # fmt: skip


def _heatmap(make: Callable[[], Heatmap], stale: bool = False) -> Draw:
    def draw(key: str) -> None:
        components.heatmap(heatmap_data(make(), stale), _nothing, key=f"{key}_component")

    return draw


def _noise(
    rows: int, columns: int, shape: tuple[int, int] | None = None, below: float = 0.5, low: float = 0.0
) -> Heatmap:
    values = np.random.default_rng(0).gamma(2.0, 0.02, (rows, columns)) + low
    return _image(values, 255 * (values < np.quantile(values, below)), shape or (rows, columns))


def _flat(value: float, pruned: int) -> Heatmap:
    return _image(np.full((32, 144), value), np.full((32, 144), pruned), (32, 144), LONG)


def _units(count: int, pruned: int, names: Sequence[str] = ()) -> Draw:
    def draw(key: str) -> None:
        scores = np.random.default_rng(1).gamma(2.0, 0.1, count).round(4)
        order = scores.argsort().argsort()
        figure = units_figure(scores.tolist(), (order < pruned).tolist(), names)
        st.plotly_chart(figure, key=f"{key}_chart", width="stretch", config={"displayModeBar": False}, alt=_("units"))

    return draw


def _heads(key: str) -> None:
    scores = np.random.default_rng(2).random((4, 8)).round(3)
    scores[3, 6:] = np.nan
    figure = unit_matrix_figure(scores.tolist(), (scores < 0.3).tolist(), [LONG, "b.1", "b.2", "b.3"], _("head"))
    st.plotly_chart(figure, key=f"{key}_chart", width="stretch", config={"displayModeBar": False}, alt=_("heads"))


ESTIMATED = AccuracyPreview(Estimate(0.908, 0.004, -0.008, 2_400, 10_000), None)
MEASURED = AccuracyPreview(Estimate(0.9083, 0.0, -0.0075, 10_000, 10_000), 41_200)
WORSE = AccuracyPreview(Estimate(0.0854, 0.0061, 0.0142, 2_400, 10_000), None)
WORSE_MEASURED = AccuracyPreview(Estimate(0.08627, 0.0, 0.01507, 10_000, 10_000), 41_200)
LONG_ROWS = [layer(f"{LONG}.{place}", (768, 768)) for place in range(3)]
NOTHING_ROWS = [layer(name, shape, REASON) for name, shape in SHAPES.items()]
LARGE_ROWS = [layer("fc1", (4096, 4096)), layer("fc2", (10_000, 1_001))]

STATES: States = {
    "strip": {
        "before the first samples": _strip(None, "evaluating the first samples"),
        "estimated": _strip(ESTIMATED),
        "measured": _strip(MEASURED),
        "units removed": _strip(MEASURED, look=cut([view(row, 0.5) for row in ROWS], removed=True)),
        "some units removed": _strip(
            MEASURED, look=replace(cut([view(row, 0.5) for row in ROWS], removed=True), zeroed=REASON)
        ),
        "many weights": _strip(ESTIMATED, look=cut([view(row, 0.9) for row in LARGE_ROWS], LARGE), costs=LARGE),
        "all pruned": _strip(MEASURED, look=cut([view(row, 1.0) for row in ROWS])),
        "refused, stale": _strip(None, "not measured: the choices do not fit together", stale=True),
        "an error, estimated": _strip(WORSE, score=0.0712, metric=MSE),
        "an error, measured": _strip(WORSE_MEASURED, score=0.0712, metric=MSE),
    },
    "layers": {
        "half pruned": _panel(ROWS, HALF),
        "all sorts of rows": _panel([*ROWS, *UNPRUNABLE], _all_sorts()),
        "long names": _panel(LONG_ROWS, cut([view(row, 0.4) for row in LONG_ROWS])),
        "nothing can be pruned": _panel(NOTHING_ROWS, cut([view(row, 0.0) for row in NOTHING_ROWS])),
        "nothing is pruned": _panel(ROWS, cut([view(row, 0.0) for row in ROWS])),
        "all pruned": _panel(ROWS, cut([view(row, 1.0) for row in ROWS])),
        "10⁷ weights, log y": _panel(LARGE_ROWS, cut([view(row, 0.7) for row in LARGE_ROWS]), logy=True),
        "stale": _panel(ROWS, HALF, stale=True),
    },
    "heatmap": {
        "half pruned": _heatmap(partial(_noise, 32, 144)),
        "single weights": _heatmap(partial(_noise, 4, 8)),
        "negative scores": _heatmap(partial(_noise, 16, 64, low=-0.05)),
        "all pruned, all equal, a long name": _heatmap(partial(_flat, 0.0, 255)),
        "nothing is pruned": _heatmap(partial(_noise, 32, 144, below=0.0)),
        "10⁷ weights": _heatmap(partial(_noise, 128, 128, (4096, 4096))),
        "one weight": _heatmap(partial(_noise, 1, 1)),
        "stale": _heatmap(partial(_noise, 32, 144), stale=True),
    },
    "units": {
        "half pruned": _units(32, 16),
        "all pruned": _units(16, 16),
        "many": _units(2048, 700),
        "long names": _units(6, 2, [f"{LONG}.{place}" for place in range(6)]),
        "heads, of layers that differ": _heads,
    },
}
