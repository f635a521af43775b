import pytest
import torch

from pruning.criteria import Change
from pruning.errors import RecipeError, WorkloadError
from pruning.granularities import Channels, Weights
from tests.criteria.by_hand import calibration, scored, two_layers

BEFORE = {
    "0.weight": torch.tensor([[1.0, -1.0], [0.5, -2.0], [0.0, -4.0]]),
    "2.weight": torch.tensor([[5.0, 0.0, 1.0]]),
}


def data(**states):
    return calibration([1.0, 2.0], checkpoints={name: lambda state=state: state for name, state in states.items()})


def test_a_weight_scores_how_far_it_has_moved():
    # from the state above to [[3, -1], [0, 2], [-1, -1]] and [[5, .5, -6]]
    assert scored(Change(), Weights(), data(initial=BEFORE)) == {"0": [2, 0, 0.5, 4, 1, 3], "2": [0, 0.5, 7]}


def test_a_neuron_scores_the_sum_of_its_moves():
    assert scored(Change(), Channels(), data(initial=BEFORE)) == {"0": [2 + 0, 0.5 + 4, 1 + 3]}


def test_the_reference_says_which_state():
    states = data(initial=BEFORE, now=two_layers().state_dict())
    assert scored(Change("now"), Weights(), states) == {"0": [0] * 6, "2": [0] * 3}


def test_a_state_in_half_precision_is_widened():
    half = {name: tensor.half() for name, tensor in BEFORE.items()}
    assert scored(Change(), Channels(), data(initial=half)) == {"0": [2, 4.5, 4]}


def test_a_workload_without_that_state_is_said_which_there_are_and_how_to_give_one():
    with pytest.raises(RecipeError, match=r"reference is initial, and hand has no .*it has epoch_1, epoch_2"):
        scored(Change(), Weights(), data(epoch_2=BEFORE, epoch_1=BEFORE))
    with pytest.raises(RecipeError, match=r"it has none.*Workload\(checkpoints=\{'initial': maker"):
        scored(Change(), Weights(), data())


def test_a_state_of_another_network_is_refused():
    with pytest.raises(WorkloadError, match=r"hand: its checkpoint initial holds no 2\.weight; give"):
        scored(Change(), Weights(), data(initial={"0.weight": BEFORE["0.weight"]}))
    # it would broadcast without a word
    with pytest.raises(WorkloadError, match=r"has 0\.weight of shape \[1, 2\] and not \[3, 2\]"):
        scored(Change(), Weights(), data(initial=BEFORE | {"0.weight": torch.zeros(1, 2)}))
