import pytest
import torch
from torch import nn

from pruning.criteria.calibration import Calibration, captured_inputs, features_last, input_sums
from pruning.errors import WorkloadError
from tests.networks import CPU, Tied, seeded, tiny, workload


def test_the_same_seed_gives_the_same_training_samples():
    work = tiny("mlp")
    first, again, other = (torch.cat([x for x, _ in Calibration(work, CPU, seed).batches()]) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(first.sum(1).sort().values, work.train.inputs.sum(1).sort().values)


def test_as_many_samples_as_asked_in_batches():
    assert [len(x) for x, _ in Calibration(tiny("mlp"), CPU, samples=250).batches()] == [128, 122]


def test_every_sample_once_where_there_are_fewer():
    assert sum(len(x) for x, _ in Calibration(tiny("mlp", count=100), CPU).batches()) == 100


class Stream(nn.Module):
    """Changes its input in place, and calls one layer twice, once by keyword. A second layer is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.idle = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        x += self.layer(x)
        return self.layer(input=x)


def test_captured_inputs_are_what_the_layer_saw_at_every_call_before_any_change_in_place():
    model, seen = Stream(), []
    model.layer.weight.data, model.layer.bias.data = torch.eye(2), torch.zeros(2)
    with captured_inputs(model, ["layer"], lambda name, x: seen.append((name, x.tolist()))), torch.no_grad():
        model(torch.ones(1, 2))
    assert seen == [("layer", [[1.0, 1.0]]), ("layer", [[2.0, 2.0]])]


def test_a_layer_that_is_never_called_is_named():
    model = Stream()
    with (
        pytest.raises(WorkloadError, match=r"^idle: the network never calls this layer"),
        captured_inputs(model, ["layer", "idle"], lambda *_: None),
    ):
        model(torch.ones(1, 2))
    assert not model.idle._forward_pre_hooks


def test_hooks_come_off_also_after_an_error():
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ZeroDivisionError), captured_inputs(model, ["0"], lambda *_: None):
        assert model[0]._forward_pre_hooks
        raise ZeroDivisionError
    assert not model[0]._forward_pre_hooks


def test_sums_go_over_all_batches_and_over_every_layer_that_holds_the_weight():
    work = workload(lambda: seeded(Tied), (6,), count=300)
    model = work.build()
    sums = input_sums(model, ["first.weight"], Calibration(work, CPU), lambda _, x: x.sum(dim=0))
    with torch.no_grad():
        hidden = model.first(work.train.inputs).relu()
    assert torch.allclose(sums["first.weight"], (work.train.inputs + hidden).sum(dim=0), rtol=1e-4)


def test_features_are_the_channels_of_a_convolution_and_the_last_dimension_of_a_linear_layer():
    image = torch.arange(12.0).reshape(1, 3, 2, 2)
    assert features_last(nn.Conv2d(3, 1, 1), image).tolist()[1] == [1.0, 5.0, 9.0]
    assert features_last(nn.Linear(2, 1), image).tolist()[1] == [2.0, 3.0]
