from dataclasses import replace

import pytest
import torch
from torch import nn

from pruning.criteria import Distribution, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.granularities import Channels, Weights
from pruning.model.units import Slice, UnitGroup
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Threshold
from pruning.selection.scopes import WithinLayer
from pruning.training.schedules import Linear, OneShot
from pruning.training.tuning import Tuning
from tests.criteria.by_hand import calibration, one_layer, scored
from tests.networks import CPU, carried_out, tiny

DATA = calibration([1.0, 2.0])
SIGMA = 5**0.5


def test_a_weight_scores_its_distance_from_the_mean_in_standard_deviations():
    # mean 4, variance (3² + 3² + 1² + 1²) / 4 = 5
    scores = scored(Distribution(), Weights(), DATA, one_layer([1.0, 7.0], [3.0, 5.0]))
    assert scores["0"] == pytest.approx([3 / SIGMA, 3 / SIGMA, 1 / SIGMA, 1 / SIGMA])


def test_a_neuron_scores_the_mean_so_that_its_score_too_is_in_standard_deviations():
    model = nn.Sequential(*one_layer([1.0, 5.0], [3.0, 7.0]), nn.Linear(2, 1))
    assert scored(Distribution(), Channels(), DATA, model)["0"] == pytest.approx([(3 + 1) / 2 / SIGMA] * 2)


def test_moving_or_scaling_a_layer_changes_no_score():
    work = tiny("conv")
    model = work.build()
    groups = Weights().sorted_out(model, work.example)[0]
    before = unit_scores(Distribution(), model, groups, Calibration(work, CPU))
    model[0].weight.data.mul_(-3).add_(0.5)
    after = unit_scores(Distribution(), model, groups, Calibration(work, CPU))
    assert torch.allclose(before["0"], after["0"], atol=1e-5)


# 0.1 is no binary fraction: the mean of many is not exactly 0.1
@pytest.mark.parametrize("rows", [[[0.1] * 7] * 3, [[0.0] * 2], [[5.0]], [[0.1, 0.0, 0.1]]])
def test_where_all_weights_are_equal_every_score_is_zero(rows):
    assert scored(Distribution(), Weights(), calibration(rows[0]), one_layer(*rows))["0"] == [0.0] * sum(map(len, rows))


def test_half_precision_is_widened_before_the_mean_is_taken():
    model = one_layer([60000.0] * 3 + [-60000.0], [60000.0] * 3 + [-60000.0]).half()  # the sum is beyond float16
    group = UnitGroup("0", ("0",), (2,), (Slice("0.weight", 0, torch.arange(2)[:, None]),))
    scores = unit_scores(Distribution(), model, [group], DATA)["0"].tolist()
    # of a share of 3/4: σ = √(3/4 · 1/4) of the 120000 between them, the distances are 1/4 and 3/4 of it
    assert scores == pytest.approx([(3 * 0.25 + 0.75) / 4 / (3 / 16) ** 0.5] * 2, rel=1e-5)


def test_zeros_have_been_pruned_and_do_not_move_the_mean_of_the_live_weights():
    # as without the zeros: mean 4, variance 5
    scores = scored(Distribution(), Weights(), DATA, one_layer([1.0, 0.0, 7.0], [3.0, 5.0, 0.0]))
    assert scores["0"] == pytest.approx([3 / SIGMA, 0, 3 / SIGMA, 1 / SIGMA, 1 / SIGMA, 0])


def test_a_threshold_is_reached_in_rounds_too():
    """What one cut takes is pruned in rounds too, and more as σ grows: with the zeros counted in, σ shrank instead."""
    data = tiny("mlp")
    recipe = Recipe("mlp", Distribution(), Weights(), WithinLayer(), Threshold(1.0), tuning=Tuning(epochs=0))
    (_, once), (_, rounds) = (carried_out(data, replace(recipe, schedule=how)) for how in (OneShot(), Linear(4)))
    for name, stays in once.keep.items():
        assert not bool((rounds.keep[name] & ~stays).any()), name
