"""What is asked of the cells of a row, worked out by hand."""

import pytest
import torch

from pruning.evaluation.estimate import Estimate
from pruning.granularities import Weights
from pruning.layer_sensitivity.cell_progress import CellProgress, RowProgress
from pruning.layer_sensitivity.layer_cuts import LayerCut, RowCuts
from pruning.metric import ACCURACY, Metric
from tests.networks import tiny

TOTAL = 1000
DENSE = 0.9


def row_of(*estimates: tuple[float, float, int]) -> RowProgress:
    """A row with a cell for each (score, half-width, samples), the smallest cut first."""
    work = tiny("mlp", count=20)
    group = Weights().sorted_out(work.build(), work.example)[0][0]
    cuts = [LayerCut(pruned + 1) for pruned in range(len(estimates))]
    cells = [
        CellProgress(cut, torch.zeros(TOTAL), Estimate(score, width, score - DENSE, samples, TOTAL), samples)
        for cut, (score, width, samples) in zip(cuts, estimates, strict=True)
    ]
    return RowProgress(RowCuts(group, cuts, list(range(len(cuts))), None, "", {}), cells)


def test_cells_beyond_the_first_that_is_surely_at_chance_have_collapsed_and_that_one_has_not():
    """Chance is 0.2, and a point more counts as chance: 0.15 + 0.05 is, 0.18 + 0.05 is not yet sure to be."""
    row = row_of((0.8, 0.05, 100), (0.18, 0.05, 100), (0.15, 0.05, 100), (0.2, 0.05, 100), (0.0, 1.0, 0))
    assert [row.collapsed(cell, 0.2) for cell in row.cells] == [False, False, False, True, True]


def test_a_cell_without_samples_is_at_chance_for_nobody():
    row = row_of((0.0, 0.0, 0), (0.8, 0.05, 100))
    assert not row.collapsed(row.cells[1], 0.2)


def test_nothing_collapses_where_nobody_knows_what_chance_is():
    row = row_of((0.1, 0.05, 100), (0.1, 0.05, 100))
    assert not row.collapsed(row.cells[1], None)


def test_where_lower_is_better_the_same_changes_the_other_way_decide_the_same():
    """Errors of 0.03 and 0.2 more than dense, within 0.01 and 0.1: the second costs 0.1 to 0.3."""
    error = Metric("error", better="lower")
    row = row_of((DENSE + 0.03, 0.01, 100), (DENSE + 0.2, 0.1, 100))
    assert row.deciding(0.15, error) is row.cells[1] and row.deciding(0.35, error) is None
    assert row.deciding(0.05, error) is None  # the second surely costs more
    assert row.deciding(0.15, ACCURACY) is None  # a gain decides nothing


@pytest.mark.parametrize("half_width", [0.5, 1.0, 7.0])
def test_a_cell_without_samples_is_never_narrow_enough_and_always_decides(half_width):
    """In an error's own unit the half-width that stands in its place, 1, may be narrower than asked."""
    row = row_of((0.0, 1.0, 0))
    assert row.cells[0].wide(half_width) and row.deciding(half_width, Metric("error", better="lower")) is row.cells[0]


@pytest.mark.parametrize(
    "max_drop, deciding",
    [
        (0.005, None),  # the first costs 0.02 to 0.04: surely more
        (0.03, 0),  # the first may cost 0.04, and may cost less than 0.03
        (0.05, None),  # the first surely fits, the second costs 0.06 to 0.08
        (0.07, 1),
        (0.15, 2),  # the second surely fits, the third costs 0.1 to 0.3
        (0.31, None),  # all surely fit
    ],
)
def test_the_smallest_cut_that_may_or_may_not_cost_too_much_decides(max_drop, deciding):
    row = row_of((0.87, 0.01, 100), (0.83, 0.01, 100), (0.7, 0.1, 100))
    found = row.deciding(max_drop, ACCURACY)
    assert found is (None if deciding is None else row.cells[deciding])
