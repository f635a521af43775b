from pruning.criteria import SignedSquare
from pruning.granularities import Channels, Weights
from tests.criteria.by_hand import calibration, scored

DATA = calibration([1.0, 2.0])


def test_a_weight_scores_its_square_with_its_sign():
    assert scored(SignedSquare(), Weights(), DATA) == {"0": [9, -1, 0, 4, -1, -1], "2": [25, 0.25, -36]}


def test_the_weights_of_a_neuron_add_up_and_cancel():
    assert scored(SignedSquare(), Channels(), DATA) == {"0": [9 - 1, 0 + 4, -1 - 1]}
