import pytest
import torch
from torch import nn

from pruning.calibration import Calibration, captured_inputs
from tests.networks import CPU, tiny


def test_the_same_seed_gives_the_same_training_samples():
    work = tiny("mlp")
    first, again, other = (torch.cat([x for x, _ in Calibration(work, CPU, seed).batches()]) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(first.sum(1).sort().values, work.train.inputs.sum(1).sort().values)


def test_as_many_samples_as_asked_in_batches():
    assert [len(x) for x, _ in Calibration(tiny("mlp"), CPU, samples=250).batches()] == [128, 122]


def test_every_sample_once_where_there_are_fewer():
    assert sum(len(x) for x, _ in Calibration(tiny("mlp", count=100), CPU).batches()) == 100


def test_captured_inputs_are_what_the_layer_saw_even_if_changed_in_place_later():
    class Stream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            x += self.layer(x)
            return x

    model = Stream()
    with captured_inputs(model, ["layer"]) as seen, torch.no_grad():
        model(torch.ones(1, 2))
    assert seen["layer"].tolist() == [[1.0, 1.0]]


def test_hooks_come_off_also_after_an_error():
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ZeroDivisionError), captured_inputs(model, ["0"]):
        assert model[0]._forward_pre_hooks
        raise ZeroDivisionError
    assert not model[0]._forward_pre_hooks
