"""Learning rates worked out by hand, equal to torch's own curves; what is not said is as it always was."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR

from pruning.training import fine_tuning
from pruning.training.fine_tuning import Training, tune
from pruning.training.optimisers import FALLS, learning_rate_of, optimiser_of, share_of_top
from pruning.training.tuning import Tuning
from pruning.workload import shuffled
from tests.networks import CPU, tiny

FAST = Tuning(epochs=2, batch_size=64, learning_rate=0.05)


def rates(tuning: Tuning, total: int) -> list[float]:
    """The learning rate of each step."""
    optimiser = optimiser_of(tuning, nn.Linear(2, 2))
    curve, found = learning_rate_of(tuning, optimiser, total), []
    for _ in range(total):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        curve.step()
    return found


@pytest.mark.parametrize(
    "curve, shares",
    [
        ("constant", [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        ("linear", [0.25, 0.5, 0.75, 1, 0.8, 0.6, 0.4, 0.2]),
        ("cosine", [0.25, 0.5, 0.75, 1, 0.904508, 0.654508, 0.345492, 0.095492]),  # (1 + cos 36°) / 2, ...
    ],
)
def test_the_learning_rate_rises_in_a_straight_line_and_falls_along_its_curve(curve, shares):
    assert rates(replace(FAST, curve=curve, warm_up=3 / 8), 8) == pytest.approx([0.05 * s for s in shares], abs=1e-7)


@pytest.mark.parametrize("total", [1, 2, 7, 40])
def test_without_warm_up_the_curves_are_torchs(total):
    def theirs(make) -> list[float]:
        optimiser = SGD([nn.Parameter(torch.zeros(1))], lr=0.05)
        curve, found = make(optimiser), []
        for _ in range(total):
            found.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            curve.step()
        return found

    cosine = theirs(lambda optimiser: CosineAnnealingLR(optimiser, total))
    linear = theirs(lambda optimiser: LinearLR(optimiser, 1.0, 0.0, total))
    assert rates(replace(FAST, curve="cosine", warm_up=0.0), total) == pytest.approx(cosine)
    assert rates(replace(FAST, curve="linear", warm_up=0.0), total) == pytest.approx(linear)


@pytest.mark.parametrize("curve", ["one_cycle", *FALLS])
@pytest.mark.parametrize("warm_up", [0.0, 0.2, 0.9])
@pytest.mark.parametrize("total", [1, 2, 3, 10])
def test_every_curve_takes_trainings_of_any_length_and_stays_below_its_top(curve, warm_up, total):
    found = rates(replace(FAST, curve=curve, warm_up=warm_up), total)
    assert len(found) == total and all(0 < rate <= 0.05 + 1e-9 for rate in found)
    if curve != "one_cycle":
        assert max(found) == pytest.approx(0.05 if round(warm_up * total) < total else 0.05 * total / (total + 1))


def test_a_longer_warm_up_moves_the_top_of_the_cycle():
    tops = [found.index(max(found)) for found in (rates(replace(FAST, warm_up=w), 100) for w in (0.1, 0.2, 0.5))]
    assert tops == [9, 19, 49]


def test_the_table_of_curves_is_what_a_recipe_may_say():
    from typing import get_args

    from pruning.options.constraints import field_types

    assert get_args(field_types(Tuning)["curve"]) == ("one_cycle", *FALLS)
    assert share_of_top(replace(FAST, curve="linear", warm_up=0.0), 12, 10) == 0.0  # never below


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_what_is_not_said_is_bitwise_as_it_always_was(optimiser, monkeypatch):
    monkeypatch.setattr(fine_tuning, "mixed_precision", lambda _: nullcontext())
    work = tiny("conv_bn")
    ours = work.build()
    list(tune(ours, work, replace(FAST, optimiser=optimiser), {}, CPU, 5))
    model = work.build()
    steps = SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, fused=True)
    if optimiser == "adamw":
        steps = AdamW(model.parameters(), lr=0.05, weight_decay=1e-4, fused=True)
    cycle = OneCycleLR(steps, max_lr=0.05, total_steps=10, pct_start=0.2)
    generator = torch.Generator().manual_seed(5)
    model.train()
    for _ in range(2):
        for inputs, targets in shuffled(work.train, 64, CPU, generator):
            steps.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            steps.step()
            cycle.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), model.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    "how, wanted",
    [
        ({}, {"lr": 0.05, "betas": (0.9, 0.999), "weight_decay": 1e-4}),
        ({"weight_decay": 0.0, "momentum": 0.5}, {"betas": (0.5, 0.999), "weight_decay": 0.0}),
        ({"optimiser": "sgd"}, {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0}),
        ({"optimiser": "sgd", "weight_decay": 5e-4, "momentum": 0.5}, {"momentum": 0.5, "weight_decay": 5e-4}),
        ({"optimiser": "sgd", "momentum": 0.0}, {"momentum": 0.0, "nesterov": False}),
    ],
)
def test_the_optimiser_is_what_is_said(how, wanted):
    (group,) = optimiser_of(replace(FAST, **how), nn.Linear(2, 2)).param_groups
    assert {name: group[name] for name in wanted} == wanted


@pytest.mark.parametrize("momentum, seen", [(None, {0.85, 0.95}), (0.8, {0.8})])
def test_one_cycle_moves_the_momentum_unless_it_is_given(momentum, seen):
    tuning = replace(FAST, optimiser="sgd", momentum=momentum)
    optimiser = optimiser_of(tuning, nn.Linear(2, 2))
    curve, found = learning_rate_of(tuning, optimiser, 10), list[float]()
    for _ in range(10):
        found.append(optimiser.param_groups[0]["momentum"])
        optimiser.step()
        curve.step()
    assert {round(min(found), 6), round(max(found), 6)} == seen


def test_a_decay_of_weights_makes_them_smaller():
    work, norms = tiny("mlp"), list[float]()
    for decay in (None, 1.0):
        model = work.build()
        list(Training(model, work, replace(FAST, weight_decay=decay), 10, CPU, 0).steps(10, {}))
        norms.append(sum(float(p.detach().square().sum()) for p in model.parameters()))
    assert norms[1] < 0.9 * norms[0]
