import torch

from pruning.criteria import Largest, Magnitude, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.granularities import Channels, Weights
from pruning.model.preparation import open_model
from tests.criteria.by_hand import calibration, scored
from tests.networks import CPU, tiny

DATA = calibration([1.0, 2.0])


def test_a_weight_scores_minus_its_size():
    assert scored(Largest(), Weights(), DATA) == {"0": [-3, -1, 0, -2, -1, -1], "2": [-5, -0.5, -6]}


def test_a_neuron_scores_minus_the_sum_of_its_weights_sizes():
    assert scored(Largest(), Channels(), DATA) == {"0": [-(3 + 1), -(0 + 2), -(1 + 1)]}


def test_the_order_is_that_of_magnitude_turned_round():
    work = tiny("residual")
    model = open_model(work, CPU)
    for granularity in (Weights(), Channels()):
        groups = granularity.sorted_out(model, work.example)[0]
        scores, sizes = (unit_scores(c, model, groups, Calibration(work, CPU)) for c in (Largest(), Magnitude(1)))
        for name in scores:
            assert torch.equal(scores[name].argsort(), sizes[name].argsort(descending=True))
