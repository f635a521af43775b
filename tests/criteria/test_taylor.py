import pytest
import torch
from torch import nn

from pruning.calibration import Calibration
from pruning.criteria import Taylor, unit_scores
from pruning.granularities import Channels, Weights
from pruning.workload import TensorSplit, Workload
from tests.networks import CPU


class Halved:
    """Loss: half the mean of the outputs, whose gradients one can do in one's head."""

    classes = ()

    def loss(self, model, batch):
        return model(batch[0]).mean() / 2

    def judge(self, output, target):
        return torch.zeros(len(output))


def two_layers() -> nn.Module:
    """x -> relu(W x) -> v; for x = (1, 2) the hidden values are (1, 4, -3)."""
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 1, bias=False))
    model[0].weight.data = torch.tensor([[3.0, -1.0], [0.0, 2.0], [-1.0, -1.0]])
    model[2].weight.data = torch.tensor([[5.0, 0.5, -6.0]])
    return model


def calibration(*inputs: list[float], batch: int = 128) -> Calibration:
    split = TensorSplit(torch.tensor(inputs), torch.zeros(len(inputs), dtype=torch.long))
    return Calibration(Workload("hand", two_layers, split.inputs[:1], split, split, split, Halved()), CPU, batch=batch)


def scored(granularity, data: Calibration) -> dict[str, list[float]]:
    model = two_layers()
    scores = unit_scores(Taylor(), model, granularity.groups(model, torch.zeros(1, 2)), data)
    return {name: values.tolist() for name, values in scores.items()}


def test_a_weight_scores_the_square_of_weight_times_gradient():
    # dL/dv = h / 2 = (.5, 2, 0); dL/dW = v x / 2 where the neuron is on: (2.5, 5), (.25, .5), (0, 0)
    assert scored(Weights(), calibration([1.0, 2.0])) == {
        "0": [(3 * 2.5) ** 2, (-1 * 5) ** 2, 0, (2 * 0.5) ** 2, 0, 0],
        "2": [(5 * 0.5) ** 2, (0.5 * 2) ** 2, 0],
    }


def test_a_neuron_scores_the_square_of_the_sum_so_that_signs_cancel():
    assert scored(Channels(), calibration([1.0, 2.0])) == {"0": [(3 * 2.5 - 1 * 5) ** 2, (2 * 0.5) ** 2, 0]}


def test_scores_are_averaged_over_batches_after_squaring():
    # in batches of one: for x = (1, 0) neuron 0 gives (3 * 2.5)², for (0, 1) it is off; neuron 1 gives 0, (2 * .25)²
    scores = scored(Channels(), calibration([1.0, 0.0], [0.0, 1.0], batch=1))["0"]
    assert scores == pytest.approx([7.5**2 / 2, 0.5**2 / 2, 0])


def test_a_neuron_that_is_always_off_scores_zero_however_large_its_weights():
    assert scored(Channels(), calibration([1.0, 2.0], [3.0, 1.0]))["0"][2] == 0
