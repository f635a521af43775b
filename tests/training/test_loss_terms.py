"""What is added to the task's loss: when it is asked, what it is told, and that an interrupted training goes on."""

import copy
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.training import fine_tuning
from pruning.training.fine_tuning import Training, tune
from pruning.training.loss_terms import LossTerm, Moment
from pruning.training.tuning import Tuning
from tests.networks import CPU, tiny

PLAIN = Tuning(epochs=1, batch_size=100, optimiser="sgd", learning_rate=0.05)
"""Three steps of 100 samples."""


class Weighted(LossTerm):
    """A weighted sum of squares of all parameters."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def added(self, moment: Moment) -> Tensor:
        return self.weight * sum(p.square().sum() for p in moment.model.parameters())


class Noted(LossTerm):
    """Writes down what happens."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    @contextmanager
    def around(self, model: nn.Module) -> Generator[None]:
        with_hook = model.register_forward_hook(lambda *_: self.seen.append("forward"))
        self.seen.append("enter")
        yield
        with_hook.remove()
        self.seen.append("leave")

    def added(self, moment: Moment) -> Tensor:
        self.seen.append(("added", moment.step, moment.steps, len(moment.batch[1])))
        return torch.zeros(())

    def after_step(self, model: nn.Module) -> None:
        self.seen.append("after")


class Learning(LossTerm):
    """Pulls the parameters to a value that is itself learnt, by an optimiser of its own."""

    def __init__(self) -> None:
        self.value = torch.zeros((), requires_grad=True)
        self.optimiser = torch.optim.Adam([self.value], lr=0.1)

    def added(self, moment: Moment) -> Tensor:
        return sum((p - self.value).square().mean() for p in moment.model.parameters())

    def after_step(self, model: nn.Module) -> None:
        self.optimiser.step()
        self.optimiser.zero_grad()

    def state(self) -> Mapping[str, Any]:
        return {"value": self.value.detach(), "optimiser": self.optimiser.state_dict()}

    def load(self, state: Mapping[str, Any]) -> None:
        self.value.data.copy_(state["value"])
        self.optimiser.load_state_dict(state["optimiser"])


def ends(*terms: LossTerm, weight_in_loss: float = 0.0) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and weights of a short training; `weight_in_loss` has the task itself add the squares."""
    work = tiny("mlp")
    task = work.task

    class Own:
        classes = task.classes
        judge = staticmethod(task.judge)

        @staticmethod
        def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
            return task.loss(model, batch) + weight_in_loss * sum(p.square().sum() for p in model.parameters())

    work = replace(work, task=Own())
    model = work.build()
    losses = [step.loss for step in tune(model, work, PLAIN, {}, CPU, 0, every=1, terms=terms)]
    return losses, dict(model.state_dict())


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine_tuning, "mixed_precision", lambda _: nullcontext())


def test_a_term_is_worth_what_it_would_be_in_the_tasks_own_loss() -> None:
    losses, weights = ends(Weighted(0.3), Weighted(0.2))
    wanted_losses, wanted = ends(weight_in_loss=0.5)
    assert losses == pytest.approx(wanted_losses, rel=1e-5)
    assert all(torch.allclose(weights[name], wanted[name], atol=1e-6) for name in wanted)
    without = ends()[1]
    assert not any(torch.allclose(weights[name], without[name], atol=1e-3) for name in wanted)


def test_a_term_surrounds_the_forward_pass_and_is_told_where_the_training_is() -> None:
    noted = Noted()
    ends(noted)
    tried = ["enter", "forward", ("added", 0, 3, 2), "leave"]
    steps = [["enter", "forward", ("added", step, 3, 100), "leave", "after"] for step in range(3)]
    assert noted.seen == [*tried, *(each for step in steps for each in step)]


def test_what_is_pruned_stays_zero_whatever_a_term_does_after_a_step() -> None:
    class Growing(Weighted):
        def after_step(self, model: nn.Module) -> None:
            for parameter in model.parameters():
                parameter.data += 1.0

    work = tiny("mlp")
    model = work.build()
    masks = {"0.weight": torch.arange(30).reshape(5, 6) % 2 == 0}
    list(tune(model, work, PLAIN, masks, CPU, 0, terms=[Growing(0.0)]))
    assert int(model[0].weight[~masks["0.weight"]].count_nonzero()) == 0
    assert float(model[0].weight.detach()[masks["0.weight"]].min()) > 1.0


@pytest.mark.parametrize("before", [0, 2, 4])
def test_a_term_that_learns_goes_on_bitwise(before: int) -> None:
    work = tiny("mlp")
    tuning = Tuning(epochs=2, batch_size=100, learning_rate=0.02)
    whole = work.build()
    learnt = Learning()
    list(Training(whole, work, tuning, 6, CPU, 7, [learnt]).steps(6, {}))
    model = work.build()
    first = Training(model, work, tuning, 6, CPU, 7, [Learning()])
    list(first.steps(before, {}))
    again = Learning()
    second = Training(model, work, tuning, 6, CPU, 7, [again])
    second.load(copy.deepcopy(first.state()))
    list(second.steps(6 - before, {}))
    assert torch.equal(again.value, learnt.value) and float(learnt.value.detach().abs()) > 0.001
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), model.state_dict().values(), strict=True))
