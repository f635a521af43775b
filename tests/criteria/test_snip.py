import pytest

from pruning.criteria import Snip
from pruning.granularities import Channels, Weights
from tests.criteria.by_hand import calibration, scored, two_layers


def test_a_weight_scores_the_size_of_weight_times_gradient():
    # dL/dW = (2.5, 5), (.25, .5), (0, 0); dL/dv = (.5, 2, 0)
    assert scored(Snip(), Weights(), calibration([1.0, 2.0])) == {
        "0": [3 * 2.5, 1 * 5, 0, 2 * 0.5, 0, 0],
        "2": [5 * 0.5, 0.5 * 2, 0],
    }


def test_the_sizes_of_a_neuron_add_up_and_do_not_cancel():
    assert scored(Snip(), Channels(), calibration([1.0, 2.0])) == {"0": [7.5 + 5, 1, 0]}


def test_the_gradient_is_that_of_all_samples_in_whatever_batches():
    samples = [1.0, 2.0], [2.0, 1.0], [0.5, 3.0]
    whole, parts = (scored(Snip(), Weights(), calibration(*samples, batch=batch)) for batch in (3, 2))
    assert all(parts[name] == pytest.approx(whole[name]) for name in whole)
    # h[1] = 4, 2, 6: dL/dv[1] = 4 / 2
    assert whole["2"][1] == pytest.approx(0.5 * 4 / 2)


def test_what_batches_want_in_opposite_directions_cancels():
    # neuron 1 is on for (1, 2) and for (-1, 2); the weight on the first input gains in one and loses in the other
    model = two_layers()
    model[0].weight.data[1] = 1.0
    scores = scored(Snip(), Weights(), calibration([1.0, 2.0], [-1.0, 2.0], batch=1), model)["0"]
    assert scores[2] == 0 and scores[3] == pytest.approx(1 * 0.5 * 2 / 2)
