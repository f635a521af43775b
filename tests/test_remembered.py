"""Units are remembered for networks that are the same in all that decides them, and for no others."""

import pytest
import torch
from torch import nn

from pruning.criteria import Magnitude
from pruning.granularities import Channels, Weights
from pruning.pipeline import eligibility
from tests.architectures import ARCHITECTURES, inputs_of, made
from tests.networks import seeded, tiny
from tests.remembered import Remembered, Unknown, of_model, of_tensor, remembering


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.BatchNorm1d(6), nn.Linear(6, 3)).eval()


def scaled(model: nn.Sequential) -> None:
    model[0].weight.data[0, 0] += 1e-7


def hook(model: nn.Sequential) -> None:
    model[0].register_forward_hook(lambda *_: None)


def own_forward(model: nn.Sequential) -> None:
    width = 3
    model[0].forward = lambda values: values[:, :width]


def another_class(model: nn.Sequential) -> None:
    model[1] = nn.SiLU().eval()  # which has the same attributes


CHANGES = {
    "a value": scaled,
    "a mode": lambda model: model[2].train(),
    "a frozen weight": lambda model: model[0].weight.requires_grad_(False),
    "a number": lambda model: setattr(model[2], "eps", 1e-3),
    "a buffer": lambda model: model[2].running_mean.add_(1.0),
    "a class": another_class,
    "a type": lambda model: model.double(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_network_that_differs_is_another(change):
    model, other = seeded(mlp), seeded(mlp)
    assert of_model(model) == of_model(other)
    CHANGES[change](other)
    assert of_model(model) != of_model(other)


def test_two_weights_that_share_their_memory_are_not_two_that_are_equal():
    model, other = (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(2))
    for each in (*model, *other):
        nn.init.ones_(each.weight)
        nn.init.ones_(each.bias)
    assert of_model(model) == of_model(other)
    other[1].weight.data = other[0].weight.data
    assert of_model(model) != of_model(other)


@pytest.mark.parametrize("change", [hook, own_forward], ids=["a hook", "a forward of its own"])
def test_a_network_that_code_was_hung_on_is_not_compared(change):
    model = seeded(mlp)
    change(model)
    with pytest.raises(Unknown):
        of_model(model)


def test_examples_and_granularities_are_told_apart():
    assert of_tensor(torch.zeros(1, 4)) != of_tensor(torch.ones(1, 4)) != of_tensor(torch.ones(1, 4).double())
    model, example = seeded(mlp), torch.zeros(1, 4)
    ask = remembering(lambda _criterion, granularity, *rest: granularity.sorted_out(*rest))
    assert len(ask(Magnitude(), Channels(), model, example)[0]) == 1
    assert len(ask(Magnitude(), Weights(), model, example)[0]) == 2


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_remembered_is_what_is_found_and_nobody_can_spoil_it(name):
    model, example = made(name), inputs_of(name, 1)
    groups, reasons = Remembered(Channels()).sorted_out(model, example)
    groups.clear()
    reasons.clear()
    again, fresh = Remembered(Channels()).sorted_out(made(name), example), Channels().sorted_out(model, example)
    assert again[1] == fresh[1] and [g.name for g in again[0]] == [g.name for g in fresh[0]]


def test_the_tests_do_remember():
    work = tiny("conv_bn")
    asked: list[nn.Module] = []

    class Counted(Channels):
        def sorted_out(self, model, example):
            asked.append(model)
            return super().sorted_out(model, example)

    for _ in range(2):
        eligibility.scorable_groups(Magnitude(), Counted(), work.build(), work.example)
    assert len(asked) == 1
