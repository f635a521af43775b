"""Sensitivity: the map, its key, the curves and the suggested cuts."""

from dataclasses import replace

import streamlit as st

from pruning.evaluation.estimate import Estimate
from pruning.layer_sensitivity.result import LEVELS, Sensitivity, SensitivityCell, SensitivityRow
from pruning.reporting.plots_sensitivity import curve_points
from views.gallery.lab import MSE
from views.gallery.states import LONG, Draw, States
from views.sensitivity import suggestion, table
from views.sensitivity.curves import curves_spec

DENSE, TOTAL = 0.9158, 10_000
ALONE = "its output is read twice"


def _cell(place: int, level: float, seen: int, units: int) -> SensitivityCell:
    """The deeper the cut, the larger the drop; of the last cells less is known."""
    samples = max(0, min(TOTAL, seen - 900 * place))
    drop = 0.8 * level**4
    width = 0.0 if samples == TOTAL else 0.5 / max(samples, 1) ** 0.5
    estimate = Estimate(DENSE - drop, width, -drop, samples, TOTAL)
    return SensitivityCell(level, units, round(level * units), estimate, samples > 5_000)


def _row(name: str, seen: int, units: int = 20_000, members: tuple[str, ...] = (), why: str = "") -> SensitivityRow:
    cells = tuple(_cell(place, level, seen, units) for place, level in enumerate(LEVELS))
    return SensitivityRow(name, members or (name,), units, cells, why)


def _map(*rows: SensitivityRow) -> Sensitivity:
    return Sensitivity(rows, LEVELS, DENSE, TOTAL, 0.01, 41_000, 60_000, 12.0)


def _by_error(cell: SensitivityCell) -> SensitivityCell:
    """The same cut scored by an error that grows to six times what it was."""
    seen = cell.estimate
    change = -0.5 * seen.change
    return replace(cell, estimate=replace(seen, score=0.0712 + change, change=change, half_width=0.2 * seen.half_width))


GOING_ON = _map(_row("conv1", 14_000), _row("conv2", 9_000, members=("conv2", "conv3"), why=ALONE), _row("fc", 2_000))
DONE = _map(*(_row(name, 30_000) for name in ("conv1", "conv2", "fc")))
LONG_NAMES = _map(*(_row(f"{LONG}.{place}", 9_000, 16_777_216) for place in range(3)))
BEGUN = replace(_map(_row("conv1", 0), _row("fc", 0)), spent=0)
MANY = _map(*(_row(f"layer{place}.conv", 12_000) for place in range(40)))
ERRORS = replace(
    GOING_ON,
    rows=tuple(replace(row, cells=tuple(map(_by_error, row.cells))) for row in GOING_ON.rows),
    dense=0.0712, metric=MSE,
)  # fmt: skip
CUTS = {"conv1": 0.5, "conv2": 0.3}


def _table(sensed: Sensitivity, cuts: dict[str, float], stale: bool = False) -> Draw:
    def draw(key: str) -> None:
        box = st.container(key=f"sensitivity_map_{key}")
        box.html(table.CSS + table.map_html(sensed, cuts, stale))
        st.html(table.key_html(sensed))

    return draw


def _curves(sensed: Sensitivity) -> Draw:
    def draw(key: str) -> None:
        points = curve_points(sensed.rows[:4], sensed.dense, sensed.metric)
        spec = curves_spec(points, sensed.dense, sensed.metric)
        st.vega_lite_chart(spec=spec, key=f"{key}_chart", width="stretch", alt="accuracy by level")

    return draw


def _cuts(sensed: Sensitivity, cuts: dict[str, float]) -> Draw:
    def draw(key: str) -> None:
        st.container(key=f"sensitivity_cuts_{key}").html(suggestion.CSS + suggestion.cuts_html(sensed, cuts))

    return draw


STATES: States = {
    "map": {
        "being measured": _table(GOING_ON, CUTS),
        "measured": _table(DONE, CUTS),
        "nothing is known yet": _table(BEGUN, {}),
        "long names, 10⁷ weights": _table(LONG_NAMES, {}),
        "many layers": _table(MANY, {}),
        "stale": _table(GOING_ON, {}, stale=True),
        "of an error": _table(ERRORS, CUTS),
    },
    "curves": {
        "being measured": _curves(GOING_ON),
        "long names": _curves(LONG_NAMES),
        "of an error": _curves(ERRORS),
    },
    "largest cuts": {
        "some layers": _cuts(GOING_ON, {**CUTS, "fc": 0.0}),
        "none": _cuts(BEGUN, dict.fromkeys(("conv1", "fc"), 0.0)),
        "long names": _cuts(LONG_NAMES, {f"{LONG}.{place}": 0.1 for place in range(3)}),
        "of an error": _cuts(ERRORS, {**CUTS, "fc": 0.0}),
    },
}
