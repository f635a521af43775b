"""Runs with a regulariser: when it acts, what it leaves, and what a run says of it."""

from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

import pytest
import torch

from pruning.criteria import BatchnormScale, Magnitude, Random
from pruning.errors import RecipeError
from pruning.events import SIZE_BINS, Event, Masked, Measured, Started, TuningStep, UnitSizes, Warned
from pruning.granularities import Channels, Weights
from pruning.recipe.controls import dense_control, random_control
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.repair import LeastSquares
from pruning.run import trainings
from pruning.run.engine import prune
from pruning.selection.amounts import Sparsity, Zeros
from pruning.selection.scopes import Global
from pruning.training.regularisers import (
    L1,
    L2,
    REGULARISERS,
    BatchNormScale,
    HardConcrete,
    NoRegulariser,
    SoftMovement,
)
from pruning.training.schedules import Linear, OneShot, PolynomialDecay, Until
from pruning.training.tuning import Tuning
from tests.networks import CPU, carried_out, taught, tiny

QUICK = Tuning(epochs=2, batch_size=64, learning_rate=0.02)
"""Ten steps: 300 samples in batches of 64."""
T = TypeVar("T")
FEW = {kind: made(epochs=2) for kind, made in REGULARISERS.items()}


def of_type(events: list[Event], made: type[T]) -> list[T]:
    return [event for event in events if isinstance(event, made)]


@pytest.mark.parametrize("kind", REGULARISERS)
def test_the_dense_network_is_trained_before_the_first_cut(kind):
    recipe = Recipe("m", granularity=Channels(), schedule=Linear(2), tuning=QUICK, regulariser=FEW[kind])
    events, result = carried_out(tiny("conv_bn"), recipe)
    assert (events[0].rounds, events[0].steps) == (3, 30)
    cuts = of_type(events, Masked)
    assert [cut.progress for cut in cuts] == [0.0, 0.5, 1.0] and cuts[0].pruned == 0 < cuts[1].pruned
    assert [event.step for event in of_type(events, Measured)] == [0, 5, 10, 10, 15, 20, 20, 25, 30]
    sizes = of_type(events, UnitSizes)
    assert [event.step for event in sizes] == ([] if kind == "none" else [0, 5, 10])
    assert not of_type(events, Warned)
    assert result.stages["tuned"].parameters < result.stages["dense"].parameters


def penalised(monkeypatch: pytest.MonkeyPatch, recipe: Recipe) -> list[bool]:
    """Whether each training of the run has a penalty."""
    made: list[bool] = []
    real = trainings.Training

    def noted(*arguments):
        made.append(bool(arguments[6]))
        return real(*arguments)

    monkeypatch.setattr(trainings, "Training", noted)
    carried_out(tiny("mlp"), recipe)
    return made


@pytest.mark.parametrize(
    "regulariser, expected",
    [
        (L1(epochs=1), [True, False, False]),
        (L1(epochs=1, after_cuts=True), [True, True, True]),
        (L1(epochs=0, after_cuts=True), [True, True]),
        (NoRegulariser(1), [False, False, False]),
        (HardConcrete(epochs=1), [True, False, False]),
        (SoftMovement(epochs=1), [True, False, False]),
    ],
)
def test_it_acts_in_the_trainings_that_were_asked_for(regulariser, expected, monkeypatch):
    recipe = Recipe("m", schedule=Linear(2), tuning=QUICK, regulariser=regulariser)
    assert penalised(monkeypatch, recipe) == expected


def test_where_one_training_goes_through_all_cuts_the_one_before_is_its_own(monkeypatch):
    schedule = PolynomialDecay(0.0, 2, 8, 3)
    recipe = Recipe("m", schedule=schedule, tuning=QUICK, regulariser=L1(epochs=1))
    assert penalised(monkeypatch, recipe) == [True, False]
    events, _ = carried_out(tiny("mlp"), recipe)
    steps = [event.step for event in of_type(events, TuningStep)]
    assert steps[-1] == events[0].steps == 15 and all(a < b for a, b in pairwise(steps))
    assert [(m.round, m.progress > 0) for m in of_type(events, Masked)][:3] == [(0, False), (1, False), (2, False)]


def test_a_strong_penalty_makes_small_weights_and_the_run_says_so():
    def ends(regulariser) -> tuple[list[UnitSizes], float]:
        recipe = Recipe(
            "m", amount=Sparsity(0.0), tuning=Tuning(0, batch_size=64, learning_rate=0.02), regulariser=regulariser
        )
        events, result = carried_out(tiny("mlp"), recipe)
        return of_type(events, UnitSizes), sum(
            p.abs().sum().item() for n, p in result.model.named_parameters() if "w" in n
        )

    weak, much = ends(L1(1e-6, epochs=20))
    strong, little = ends(L1(1.0, epochs=20))
    assert little < 0.3 * much
    assert strong[0].counts == weak[0].counts and strong[-1].near_zero > 0.3 > weak[-1].near_zero
    for event in strong:
        assert {name: sum(counts) for name, counts in event.counts.items()} == {"0": 30, "2": 20, "4": 12}
        assert all(len(counts) == SIZE_BINS for counts in event.counts.values())


GATED = [HardConcrete(30.0, epochs=8, learning_rate=0.5), SoftMovement(3.0, epochs=8, learning_rate=0.1)]


@pytest.mark.parametrize("granularity", [Channels(), Weights()], ids=str)
@pytest.mark.parametrize("regulariser", GATED, ids=str)
def test_closed_gates_are_what_zeros_prunes_and_the_cut_changes_nothing(regulariser, granularity):
    recipe = Recipe(
        "m", Magnitude(), granularity, amount=Zeros(), tuning=replace(QUICK, epochs=0), regulariser=regulariser
    )
    events, result = carried_out(tiny("conv_bn"), recipe)
    closed = {name: counts[0] for name, counts in of_type(events, UnitSizes)[-1].counts.items()}
    pruned = {name: int((~stays).sum()) for name, stays in result.keep.items()}
    assert sum(pruned.values()) > 0
    # the best unit of each layer stays, also where its gate is closed
    assert all(pruned[name] == min(closed[name], len(result.keep[name]) - 1) for name in pruned)
    before, after = of_type(events, Measured)[-2:]
    assert before.score == pytest.approx(after.score) and before.step == after.step
    assert result.stages["tuned"].nonzero < result.stages["dense"].nonzero


@pytest.mark.parametrize("made", [HardConcrete, SoftMovement])
def test_more_strength_closes_more_gates(made):
    def left(strength: float) -> int:
        regulariser = made(strength, epochs=10, learning_rate=0.3)
        recipe = Recipe("m", amount=Zeros(), tuning=replace(QUICK, epochs=0), regulariser=regulariser)
        return carried_out(tiny("mlp"), recipe)[1].stages["tuned"].nonzero

    counts = [left(strength) for strength in (1e-3, 1.0, 30.0)]
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.parametrize("regulariser", GATED, ids=str)
def test_a_run_that_is_stopped_among_gates_ends_with_their_network(regulariser):
    recipe = Recipe("m", amount=Zeros(), tuning=QUICK, regulariser=regulariser)
    asked = False
    run = prune(tiny("mlp"), recipe, CPU, lambda: asked)
    judged = 0.0
    while True:
        try:
            event = next(run)
        except StopIteration as end:
            result = end.value
            break
        if isinstance(event, Measured) and event.step == 30:
            asked, judged = True, event.score
    assert result.stopped and result.stages["tuned"].validation == pytest.approx(judged)
    assert result.stages["tuned"].nonzero < result.stages["dense"].nonzero


def test_what_was_not_cut_is_not_repaired():
    recipe = Recipe("m", tuning=QUICK, regulariser=L2(epochs=1), repair=LeastSquares(samples=64), schedule=OneShot())
    events, _ = carried_out(tiny("mlp"), recipe)
    assert [type(event).__name__ for event in events].count("Repaired") == 2  # the stage, and the one cut


def test_layers_are_compared_as_sparse_training_has_left_them():
    """The divisors of normalised scores are those of the first cut, not of the network before."""
    recipe = Recipe("m", scope=Global("mean"), schedule=Linear(2), tuning=QUICK, regulariser=L1(1.0, epochs=5))
    seen: list[dict[str, float]] = []
    for_saving = lambda state: seen.append(dict(state.plan.divisors)) or ()  # noqa: E731
    run = prune(tiny("mlp"), recipe, CPU, save=for_saving)
    for _ in run:
        pass
    kinds = [divisors for place, divisors in enumerate(seen) if place == 0 or divisors != seen[place - 1]]
    assert len(kinds) == 2 and all(kinds[1][name] < 0.7 * kinds[0][name] for name in kinds[0])


def test_a_run_may_stop_before_the_first_cut_when_sparse_training_costs_too_much():
    recipe = Recipe("m", tuning=QUICK, schedule=Until(0.05, 2), regulariser=L1(100.0, epochs=3))
    work = taught("mlp")
    events, result = carried_out(work, recipe)
    (warned,) = of_type(events, Warned)
    assert "the result is the network before any cut" in warned.sentence and of_type(events, Masked)[-1].pruned == 0
    assert all(torch.equal(p, q) for p, q in zip(result.model.parameters(), work.build().parameters(), strict=True))


def test_patience_does_not_end_what_is_done_before_the_first_cut():
    tuning = replace(QUICK, patience=1)
    recipe = Recipe("m", tuning=tuning, regulariser=L1(1.0, epochs=4))
    events, _ = carried_out(taught("mlp"), recipe)
    assert [event.step for event in of_type(events, Measured) if event.round == 0] == [0, 5, 10, 15, 20]


def test_a_network_without_batchnorm_is_refused_before_any_work():
    recipe = Recipe("m", tuning=QUICK, regulariser=BatchNormScale())
    with pytest.raises(RecipeError, match="choose regulariser group_lasso"):
        next(prune(tiny("mlp"), recipe, CPU))


def test_one_that_acts_in_no_training_is_refused():
    with pytest.raises(RecipeError, match="regulariser l1 acts in the tuning after each cut alone, and there is none"):
        Recipe("m", tuning=Tuning(epochs=0), regulariser=L1(epochs=0, after_cuts=True))
    assert Recipe("m", tuning=Tuning(epochs=0), regulariser=L1(epochs=1, after_cuts=True))


def test_a_recipe_without_one_is_written_as_before():
    assert "regulariser" not in to_json(Recipe("m"))
    assert from_json(to_json(Recipe("m", regulariser=NoRegulariser(3)))).regulariser.epochs == 3


def test_controls_train_as_long_and_count_no_zeros_by_lot():
    recipe = Recipe("m", BatchnormScale(), Channels(), tuning=QUICK, regulariser=BatchNormScale(epochs=3))
    steps = [next(prune(tiny("conv_bn"), each, CPU)) for each in (recipe, dense_control(recipe))]
    assert all(isinstance(each, Started) for each in steps) and steps[0].steps == steps[1].steps == 25
    assert isinstance(random_control(recipe).criterion, Random)
    with pytest.raises(RecipeError, match="amount zeros counts in the criterion's own scores"):
        random_control(replace(recipe, criterion=Magnitude(), granularity=Weights(), amount=Zeros()))
