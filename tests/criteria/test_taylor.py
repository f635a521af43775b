import pytest
import torch

from pruning.criteria import Taylor
from pruning.granularities import Channels, Weights
from tests.criteria.by_hand import calibration, scored

X = calibration([1.0, 2.0])


def test_a_weight_scores_the_square_of_weight_times_gradient():
    # dL/dv = h / 2 = (.5, 2, 0); dL/dW = v x / 2 where the neuron is on: (2.5, 5), (.25, .5), (0, 0)
    assert scored(Taylor(), Weights(), X) == {
        "0": [(3 * 2.5) ** 2, (-1 * 5) ** 2, 0, (2 * 0.5) ** 2, 0, 0],
        "2": [(5 * 0.5) ** 2, (0.5 * 2) ** 2, 0],
    }


def test_a_neuron_scores_the_square_of_the_sum_so_that_signs_cancel():
    assert scored(Taylor(), Channels(), X) == {"0": [(3 * 2.5 - 1 * 5) ** 2, (2 * 0.5) ** 2, 0]}


def test_scores_are_averaged_over_batches_after_squaring():
    # in batches of one: for x = (1, 0) neuron 0 gives (3 * 2.5)², for (0, 1) it is off; neuron 1 gives 0, (2 * .25)²
    scores = scored(Taylor(), Channels(), calibration([1.0, 0.0], [0.0, 1.0], batch=1))["0"]
    assert scores == pytest.approx([7.5**2 / 2, 0.5**2 / 2, 0])


@pytest.mark.parametrize("order", [1, 2])
def test_a_neuron_that_is_always_off_scores_zero_however_large_its_weights(order):
    assert scored(Taylor(order), Channels(), calibration([1.0, 2.0], [3.0, 1.0]))["0"][2] == 0


def test_to_second_order_a_weight_loses_half_its_curvature():
    # of one sample F = (dL/dw)², so with c = w·dL/dw as above the change is c − c²/2
    change = [7.5 - 7.5**2 / 2, -5 - 5**2 / 2, 0, 1 - 1 / 2, 0, 0]
    assert scored(Taylor(2), Weights(), X) == {
        "0": pytest.approx([c**2 for c in change]),
        "2": pytest.approx([(2.5 - 2.5**2 / 2) ** 2, (1 - 1 / 2) ** 2, 0]),
    }
    assert scored(Taylor(2), Channels(), X)["0"] == pytest.approx([(2.5 - (7.5**2 + 5**2) / 2) ** 2, 0.25, 0])


def test_curvature_is_the_mean_of_the_samples_squares_and_not_the_square_of_their_mean():
    # v[1] = .5, h[1] = 4 and 2: the mean of h/2 is 1.5, the mean of (h/2)² is (4 + 1)/2
    scores = scored(Taylor(2), Weights(), calibration([1.0, 2.0], [2.0, 1.0]))["2"]
    assert scores[1] == pytest.approx((0.5 * 1.5 - 0.5 * 2.5 * 0.5**2) ** 2)


def test_orders_agree_where_the_weights_are_small():
    # the first term shrinks with the weight, the second with its square
    model = torch.nn.Sequential(torch.nn.Linear(2, 3, bias=False))
    model[0].weight.data = 1e-4 * torch.tensor([[3.0, -1.0], [0.5, 2.0], [-1.0, -1.0]])
    first, second = (scored(Taylor(order), Weights(), X, model)["0"] for order in (1, 2))
    assert second == pytest.approx(first, rel=1e-3) and second != first
