"""What the schedules do in a whole run: when cuts come, what the learning rate does, when a run stops by itself."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import nn

from pruning.criteria import Magnitude, Taylor
from pruning.errors import RecipeError
from pruning.events import Event, Masked, Measured, Stage, StageMeasured, Started, TuningStep, Warned
from pruning.granularities import Channels, Weights
from pruning.pipeline import one_shot
from pruning.recipe.recipe import Recipe
from pruning.run import context, engine, trainings
from pruning.selection.amounts import Budget, RelativeThreshold, Sparsity, Threshold
from pruning.selection.scopes import Global, WithinLayer
from pruning.training.fine_tuning import tune
from pruning.training.schedules import Geometric, Linear, OneShot, Polynomial, PolynomialDecay, Until
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.networks import CPU, VECTOR, carried_out, seeded, tiny, workload

TWENTY_STEPS = Tuning(epochs=2, batch_size=30, learning_rate=0.02)
"""300 samples in batches of 30."""
CUT_ONLY = Tuning(epochs=0)


def of_type(events: Sequence[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def cuts(events: Sequence[Event]) -> list[tuple[int, int]]:
    """The optimiser step of every cut and the units that have been pruned by then."""
    return [(b.step, a.pruned) for a, b in pairwise(events) if isinstance(a, Masked) and isinstance(b, Measured)]


def bits(model: nn.Module) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in model.state_dict().values()]


def test_a_polynomial_decay_cuts_when_and_as_much_as_keras_does():
    units, final, initial = 62, 50 / 62, 10 / 62  # 50 of 62 weights are pruned, 10 of them at the begin
    begin, end, frequency, power = 4, 16, 3, 3.0
    schedule = PolynomialDecay(initial / final, begin, end, frequency, power)
    recipe = Recipe("mlp", Magnitude(), Weights(), Global(), Sparsity(final), schedule, TWENTY_STEPS)
    events, result = carried_out(tiny("mlp"), recipe)
    keras = {
        t: final + (initial - final) * (1 - (t - begin) / (end - begin)) ** power
        for t in range(begin, end + 1, frequency)
    }
    assert cuts(events) == [(0, 0), *((t, round(units * sparsity)) for t, sparsity in keras.items())]
    assert [pruned for _, pruned in cuts(events)] == [0, 10, 33, 45, 49, 50]  # 50 − 40 · (64, 27, 8, 1, 0) / 64
    (started,) = of_type(events, Started)
    assert (started.rounds, started.steps) == (6, 20)
    assert [step.step for step in of_type(events, TuningStep)][-1] == 20
    zeros = sum(int((result.model[i].weight == 0).sum()) for i in (0, 2, 4))
    assert zeros == sum(int((~stays).sum()) for stays in result.keep.values()) == 50


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every optimiser step from now on."""
    seen: list[float] = []
    step = torch.optim.AdamW.step

    def noted(self, *arguments, **named):
        seen.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    return seen


def test_one_cycle_of_the_learning_rate_goes_through_all_cuts_of_a_continuous_schedule(rates):
    def taken(schedule) -> list[float]:
        rates.clear()
        carried_out(tiny("mlp"), Recipe("mlp", schedule=schedule, tuning=TWENTY_STEPS))
        return rates.copy()

    one_cycle = taken(OneShot())
    assert len(one_cycle) == 20 and max(one_cycle) == pytest.approx(0.02) and one_cycle[-1] < 1e-3 < one_cycle[5]
    assert taken(PolynomialDecay(0.0, 4, 16, 3)) == one_cycle
    assert taken(Linear(2)) == one_cycle + one_cycle


def test_a_continuous_schedule_is_one_training_and_others_are_one_in_each_round(monkeypatch):
    made: list[tuple[int, int]] = []
    real = trainings.Training

    def counted(*arguments):
        made.append((arguments[3], arguments[5]))
        return real(*arguments)

    monkeypatch.setattr(trainings, "Training", counted)
    carried_out(tiny("mlp"), Recipe("mlp", schedule=PolynomialDecay(0.0, 4, 16, 3), tuning=TWENTY_STEPS))
    assert made == [(20, 0)]
    made.clear()
    carried_out(tiny("mlp"), Recipe("mlp", schedule=Linear(3), tuning=TWENTY_STEPS, seed=7))
    assert made == [(20, 7), (20, 8), (20, 9)]  # steps, and a seed of its own for the batches of each round


SCHEDULES = [Linear(4), Polynomial(4), PolynomialDecay(0.2, 4, 16, 3), Geometric(0.3), Until(1.0, 4)]


@pytest.mark.parametrize("granularity", [Weights(), Channels()])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_no_unit_comes_back_in_a_later_round_whatever_its_new_score(schedule, granularity, monkeypatch):
    draw, keeps = torch.Generator().manual_seed(0), []
    real = one_shot.select

    def noted(*arguments):
        keeps.append(real(*arguments))
        return keeps[-1]

    def scores_anew(_criterion, _model, groups, _calibration):
        return {group.name: torch.rand(group.units, generator=draw) for group in groups}

    monkeypatch.setattr(one_shot, "select", noted)
    monkeypatch.setattr(context, "unit_scores", scores_anew)
    recipe = Recipe("conv", Magnitude(), granularity, WithinLayer(), Sparsity(0.6), schedule, TWENTY_STEPS)
    events, _ = carried_out(tiny("conv"), recipe)

    keeps = keeps[2:]  # the first two are the whole amount at once, and nothing, before the rounds begin
    assert len(keeps) == len(of_type(events, Masked)) > 2
    for before, after in pairwise(keeps):
        assert all(bool((before[name] | ~after[name]).all()) for name in before)
    assert any(not torch.equal(before[name], after[name]) for before, after in pairwise(keeps) for name in before)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
def test_the_same_seed_ends_with_the_same_bits_and_another_does_not(schedule):
    def dropping() -> nn.Module:
        return seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3)))

    work = workload(dropping, VECTOR)
    ends = []
    for seed in (1, 1, 2):
        torch.rand(len(ends) + 1)  # what others draw in the meantime does not matter
        events, result = carried_out(work, Recipe("m", Taylor(), schedule=schedule, tuning=TWENTY_STEPS, seed=seed))
        ends.append((bits(result.model), events))
    assert ends[0] == ends[1] and ends[0][0] != ends[2][0]


def test_a_schedule_longer_than_the_training_is_refused_before_anything_is_measured():
    recipe = Recipe("mlp", schedule=PolynomialDecay(end_step=21), tuning=TWENTY_STEPS)
    with pytest.raises(RecipeError, match=r"schedule\.end_step is 21, but tuning takes 20 optimiser steps"):
        carried_out(tiny("mlp"), recipe)


def test_a_geometric_schedule_halves_what_is_left_until_the_amount():
    recipe = Recipe("conv", amount=Sparsity(0.9), schedule=Geometric(0.5), tuning=CUT_ONLY)
    events, _ = carried_out(tiny("conv"), recipe)
    # of 312 weights 156, 78, 39 stay; then 31, where halving would leave 19.5
    assert [m.units - m.pruned for m in of_type(events, Masked)] == [156, 78, 39, 312 - round(0.9 * 312)]


def test_a_geometric_schedule_counts_what_a_threshold_takes():
    weights = torch.cat([tiny("conv").build()[i].weight.detach().abs().flatten() for i in (0, 3, 7)]).sort().values
    cut = float(weights[234] + weights[233]) / 2  # 234 of 312: three quarters
    recipe = Recipe("conv", amount=Threshold(cut), schedule=Geometric(0.5), tuning=CUT_ONLY)
    assert [m.pruned for m in of_type(carried_out(tiny("conv"), recipe)[0], Masked)] == [156, 234]


def test_a_relative_threshold_is_met_in_rounds():
    recipe = Recipe("conv", amount=RelativeThreshold(0.5), schedule=Linear(2), tuning=CUT_ONLY)
    events, result = carried_out(tiny("conv"), recipe)
    model = tiny("conv").build()
    pruned = {str(i): model[i].weight.detach().abs() < 0.5 * model[i].weight.detach().abs().max() for i in (0, 3, 7)}
    assert all(torch.equal(~result.keep[name], gone.flatten()) for name, gone in pruned.items())
    (half, whole) = [m.pruned for m in of_type(events, Masked)]
    assert whole == sum(int(gone.sum()) for gone in pruned.values()) and 0 < half < whole
    assert half == sum(round(0.5 * int(gone.sum())) for gone in pruned.values())


@pytest.mark.parametrize("schedule", [OneShot(), Linear(3)])
def test_a_budget_is_met_whatever_the_rounds(schedule):
    recipe = Recipe("conv_bn", Taylor(), Channels(), Global("mean"), Budget("macs", 0.4), schedule, TWENTY_STEPS)
    _, result = carried_out(tiny("conv_bn"), recipe)
    dense, tuned = result.stages["dense"], result.stages["tuned"]
    assert 0.2 * dense.macs < tuned.macs <= 0.4 * dense.macs
    assert result.stages["pruned"].macs <= 0.4 * dense.macs


# Until: a run of the same rounds without a limit says how far accuracy drops in each


@cache
def trained(name: str) -> Workload:
    """The workload with a network that has learnt something, so that it can lose it."""
    work = tiny(name)
    model = work.build()
    list(tune(model, work, Tuning(epochs=12, batch_size=32, learning_rate=0.02), {}, CPU, 0))
    return replace(work, build=lambda: copy.deepcopy(model))


def dense_of(events: Sequence[Event]) -> Stage:
    return next(event.result for event in of_type(events, StageMeasured) if event.stage == "dense")


def unlimited(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> tuple[list[float], list[dict[str, torch.Tensor]]]:
    """How far the validation score has been pruned after each of the four rounds, and the weights at that time."""
    opened: list[nn.Module] = []
    real = engine.open_model

    def noted(*arguments):
        opened.append(real(*arguments))
        return opened[-1]

    monkeypatch.setattr(engine, "open_model", noted)
    run = engine.prune(trained(recipe.workload), recipe, CPU)
    events, states = [], []
    for event in run:
        if isinstance(event, Masked) or (isinstance(event, StageMeasured) and event.stage == "tuned"):
            states.append(copy.deepcopy(opened[0].state_dict()))  # before the cut of this round
        events.append(event)
    dense, scores = dense_of(events).validation, {m.round: m.score for m in of_type(events, Measured)}
    return [dense - scores[number] for number in range(4)], states[1:]


def limited(work: str, granularity, tuning: Tuning, max_drop: Callable[[list[float]], float], monkeypatch):
    common = {
        "workload": work,
        "granularity": granularity,
        "scope": WithinLayer(),
        "amount": Sparsity(0.9),
        "tuning": tuning,
    }
    pruned, states = unlimited(Recipe(**common, schedule=Linear(4)), monkeypatch)
    events, result = carried_out(trained(work), Recipe(**common, schedule=Until(max_drop(pruned), 4)))
    return pruned, states, events, result


@pytest.mark.parametrize("tuning", [CUT_ONLY, TWENTY_STEPS], ids=["cut only", "tuned"])
@pytest.mark.parametrize("work", ["mlp", "conv_bn"])
def test_a_run_stops_before_accuracy_drops_too_far_and_returns_the_last_good_round(work, tuning, monkeypatch):
    def just_below(pruned: list[float]) -> float:
        """Less than the are pruned of the last round, more than all before it."""
        worst = max(range(4), key=lambda number: pruned[number])
        before = max([0.0, *pruned[:worst]])
        assert worst > 0 and pruned[worst] > before + 0.005, pruned
        return (pruned[worst] + before) / 2

    pruned, states, events, result = limited(work, Weights(), tuning, just_below, monkeypatch)
    bad = pruned.index(max(pruned))
    # the last events tell of the network that is returned
    masked, measured = of_type(events, Masked), of_type(events, Measured)
    assert [m.round for m in masked] == [*range(bad + 1), bad - 1] and masked[-1] == masked[bad - 1]
    assert measured[-1].round == bad - 1 and dense_of(events).validation - measured[-1].score == pruned[bad - 1]
    assert masked[-1].pruned == sum(int((~stays).sum()) for stays in result.keep.values())
    assert all(torch.equal(result.model.state_dict()[name], states[bad - 1][name]) for name in states[bad - 1])
    for name, stays in result.keep.items():
        assert torch.equal(result.model.get_submodule(name).weight.flatten() != 0, stays)
    (warning,) = of_type(events, Warned)
    assert warning.sentence == (
        f"round {bad + 1}: validation accuracy dropped by {100 * pruned[bad]:.2f} points, more than "
        f"{100 * just_below(pruned):g}: the result is the network of round {bad}"
    )
    assert result.stages["dense"].validation - result.stages["tuned"].validation <= just_below(pruned)
    assert not result.stopped


@pytest.mark.parametrize("granularity", [Weights(), Channels()])
def test_where_even_the_first_round_is_too_much_the_network_stays_dense(granularity):
    recipe = Recipe("conv_bn", Magnitude(), granularity, WithinLayer(), Sparsity(0.9), Until(0.0, 2), CUT_ONLY)
    events, result = carried_out(trained("conv_bn"), recipe)
    assert bits(result.model) == bits(trained("conv_bn").build())
    assert all(bool(stays.all()) for stays in result.keep.values())
    assert result.stages["tuned"] == result.stages["dense"] != result.stages["pruned"]
    assert of_type(events, Masked)[-1].pruned == of_type(events, Measured)[-1].sparsity == 0
    dense, measured = of_type(events, Masked)[-1], of_type(events, Measured)[-1]
    assert (dense.round, dense.progress, measured.round, measured.step) == (0, 0.0, 0, 0)
    (warning,) = of_type(events, Warned)
    assert "round 1: validation accuracy dropped by" in warning.sentence
    assert warning.sentence.endswith("more than 0: the result is the network before any cut")


def test_a_drop_as_large_as_allowed_is_allowed(monkeypatch):
    pruned, states, events, result = limited("conv_bn", Weights(), CUT_ONLY, max, monkeypatch)
    assert 0 < max(pruned) < 1 and not of_type(events, Warned) and len(of_type(events, Masked)) == 4
    assert all(torch.equal(result.model.state_dict()[name], states[-1][name]) for name in states[-1])
