import pytest
import torch
from torch import nn

from pruning.criteria import Lamp, Magnitude, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.criteria.lamp import shares_of_rest
from pruning.granularities import Channels, Weights
from pruning.model.preparation import open_model
from tests.criteria.by_hand import calibration, one_layer, scored
from tests.networks import CPU, NETWORKS, tiny

DATA = calibration([1.0, 2.0])


def test_a_weights_square_is_divided_by_the_squares_not_smaller():
    # squares 1, 4, 4, 0, 16; in ascending order the rests are 25 (of 0), 25, 24, 20, 16: of equals the later has less
    scores = scored(Lamp(), Weights(), calibration([1.0] * 5), one_layer([1.0, 2.0, -2.0, 0.0, -4.0]))
    assert scores["0"] == pytest.approx([1 / 25, 4 / 24, 4 / 20, 0, 1])


def test_a_neuron_competes_with_the_squared_norm_of_its_weights():
    # squared norms 10, 4, 2
    assert scored(Lamp(), Channels(), DATA)["0"] == pytest.approx([1, 4 / 14, 2 / 16])


def test_the_largest_of_every_layer_scores_one_and_scaling_a_layer_changes_nothing():
    work = tiny("mlp")
    model = open_model(work, CPU)
    groups = Weights().sorted_out(model, work.example)[0]
    before = unit_scores(Lamp(), model, groups, Calibration(work, CPU))
    assert all(float(values.max()) == 1 for values in before.values())
    model[2].weight.data.mul_(1000)
    after = unit_scores(Lamp(), model, groups, Calibration(work, CPU))
    assert all(torch.allclose(before[name], after[name]) for name in before)


@pytest.mark.parametrize("network", NETWORKS)
def test_within_a_layer_the_order_is_that_of_magnitude(network):
    work = tiny(network)
    model = open_model(work, CPU)
    for granularity in (Weights(), Channels()):
        groups = granularity.sorted_out(model, work.example)[0]
        ours, sizes = (unit_scores(c, model, groups, Calibration(work, CPU)) for c in (Lamp(), Magnitude(2)))
        assert all(torch.equal(ours[name].argsort(), sizes[name].argsort()) for name in ours)


def test_a_layer_of_zeros_scores_zero():
    model = nn.Sequential(*one_layer([0.0, 0.0]), nn.Linear(1, 1))
    assert scored(Lamp(), Weights(), DATA, model)["0"] == [0, 0]


def test_a_sum_of_many_keeps_its_digits():
    count = 300_000
    expected = 1 / torch.arange(count, 0, -1, dtype=torch.float64)
    assert torch.allclose(shares_of_rest(torch.full((count,), 0.1)).double(), expected, rtol=1e-6)
