"""Maps of scores in their own unit and direction: worked out by hand, mirrored, and estimates beside the exact map."""

import json

import pytest
import torch
from torch import nn

from pruning.layer_sensitivity.analysis import analysis_of, map_sensitivity
from pruning.layer_sensitivity.result import Sensitivity, largest_cuts, to_dict
from pruning.recipe.recipe import Recipe
from pruning.workload import TensorSplit, Workload
from tests.linear_regression import COST, DENSE, MSE, NEGATIVE, SquaredError, mse, negative
from tests.networks import CPU, seeded

LEVELS = tuple(COST)


def exact(workload: Workload, levels: tuple[float, ...] = LEVELS) -> Sensitivity:
    return analysis_of(workload, Recipe(workload.name), levels, CPU).advance(60.0, 0.0)


def changes(sensed: Sensitivity) -> list[float]:
    return [cell.estimate.change for row in sensed.rows for cell in row.cells]


def test_a_linear_regression_costs_the_squares_of_its_weights():
    lower, higher = exact(mse()), exact(negative())
    assert lower.dense == DENSE and changes(lower) == list(COST.values())
    assert higher.dense == -DENSE and changes(higher) == [-cost for cost in COST.values()]


@pytest.mark.parametrize("limit, cut", [(0.9, 0.0), (1.0, 0.25), (5.5, 0.5), (14.0, 0.75)])
def test_the_largest_cut_costs_no_more_than_the_limit_whichever_way_is_better(limit, cut):
    """Limits above 1 too, which of accuracy there are none."""
    for workload in (mse(), negative()):
        assert largest_cuts(exact(workload), limit) == {"0": cut}
        decided = analysis_of(workload, Recipe("linear"), LEVELS, CPU).advance(60.0, 20.0, limit)
        assert decided.done and largest_cuts(decided, limit) == {"0": cut}


def curved(metric_first: bool) -> Workload:
    """A small network as it was drawn, with what it gives and noise as its targets: every cut costs something."""
    task = SquaredError(MSE if metric_first else NEGATIVE)

    def build() -> nn.Module:
        return seeded(lambda: nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1)))

    draw = torch.Generator().manual_seed(0)
    inputs = 2 * torch.randn(3000, 6, generator=draw)
    with torch.no_grad():
        targets = build()(inputs) + 0.5 * torch.randn(3000, 1, generator=draw)
    samples = TensorSplit(inputs, targets)
    return Workload("curved", build, inputs[:1], samples, samples, samples, task)


def test_estimated_and_exact_maps_agree_and_are_mirrored():
    levels, asked = (0.2, 0.4, 0.6, 0.8), 0.05
    truth = changes(exact(curved(True), levels))
    maps = {}
    for lower in (True, False):
        estimated = analysis_of(curved(lower), Recipe("curved"), levels, CPU).advance(60.0, asked)
        cells = [cell.estimate for row in estimated.rows for cell in row.cells]
        assert estimated.done and all(cell.half_width <= asked for cell in cells)
        assert any(not cell.measured for cell in cells) and max(truth) > asked  # there was something to estimate
        sign = 1 if lower else -1
        assert all(
            abs(cell.change - sign * cost) <= cell.half_width + 1e-6 for cell, cost in zip(cells, truth, strict=True)
        )
        maps[lower] = estimated
    one, other = (changes(maps[lower]) for lower in (True, False))
    assert one == pytest.approx([-change for change in other], abs=1e-6)
    assert largest_cuts(maps[True], 0.1) == largest_cuts(maps[False], 0.1)


def test_a_map_says_what_its_numbers_are():
    written = json.loads(json.dumps(to_dict(exact(mse())), allow_nan=False))
    assert written["metric"] == {"name": "MSE", "better": "lower", "low": 0.0, "high": None}


def test_where_nobody_says_how_narrow_the_unit_of_the_score_decides():
    """A twentieth of the dense error of 1/4, as a round number."""
    making = map_sensitivity(mse(), Recipe("linear"), LEVELS, device=CPU)
    with pytest.raises(StopIteration) as end:
        while True:
            next(making)
    assert end.value.value.half_width == 0.01
