"""Runs that keep an average of the weights or the best of them: what is validated is what is kept, pruned values 0."""

from dataclasses import replace

import pytest
import torch

from pruning.criteria import Taylor
from pruning.events import Event, Measured, StageMeasured, TuningStep, Warned
from pruning.granularities import Channels, Weights
from pruning.metric import Metric
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from pruning.training.schedules import Polynomial, PolynomialDecay, Until
from pruning.training.tuning import Tuning
from pruning.workload import Classification
from tests.networks import carried_out, taught

TUNING = Tuning(epochs=3, batch_size=64, learning_rate=0.02)
WILD = replace(TUNING, epochs=8, learning_rate=2.0, patience=2)
"""A learning rate at which the network only becomes worse."""


def validations(events: list[Event]) -> list[Measured]:
    return [event for event in events if isinstance(event, Measured)]


@pytest.mark.parametrize("schedule", [Polynomial(2), PolynomialDecay(begin_step=2, end_step=8, frequency=3)])
@pytest.mark.parametrize("granularity", [Weights(), Channels()])
def test_the_last_validation_is_of_the_averaged_weights_that_are_kept(schedule, granularity):
    recipe = Recipe("m", Taylor(), granularity, amount=Sparsity(0.4), schedule=schedule, tuning=TUNING)
    work = taught("conv")
    averaged = replace(recipe, tuning=replace(TUNING, average=0.95))
    (_, plain), (events, result) = (carried_out(work, each) for each in (recipe, averaged))
    assert result.stages["tuned"].validation == validations(events)[-1].score
    assert not any(isinstance(event, Warned) for event in events)
    zeros = sum(int((p == 0).sum()) for p in result.model.parameters())
    assert zeros == sum(int((p == 0).sum()) for p in plain.model.parameters())
    pairs = zip(result.model.parameters(), plain.model.parameters(), strict=True)
    assert granularity == Channels() or any(not torch.allclose(a, b, atol=1e-4) for a, b in pairs)


def test_tuning_ends_after_its_patience_and_the_best_weights_are_kept():
    events, result = carried_out(taught("mlp"), Recipe("m", amount=Sparsity(0.3), tuning=WILD))
    scores = validations(events)
    best = max(each.score for each in scores)
    steps = [event.step for event in events if isinstance(event, TuningStep)]
    assert max(steps) < 8 * 5 and scores[-1].score == best == result.stages["tuned"].validation
    at = next(each.step for each in scores if each.score == best)
    assert max(steps) == at + 2 * 5  # two epochs more
    (said,) = [event.sentence for event in events if isinstance(event, Warned)]
    assert said.startswith("round 1: validation accuracy was best, ")
    assert said.endswith(
        f", after {at} of 40 optimiser steps: these weights are kept, and tuning ended after {at + 10}"
    )


def test_a_long_patience_keeps_the_best_weights_too():
    events, result = carried_out(
        taught("mlp"), Recipe("m", amount=Sparsity(0.3), tuning=replace(WILD, epochs=3, patience=50))
    )
    assert max(event.step for event in events if isinstance(event, TuningStep)) == 15
    assert result.stages["tuned"].validation == max(each.score for each in validations(events))
    (said,) = [event.sentence for event in events if isinstance(event, Warned)]
    assert said.endswith("of 15 optimiser steps: these weights are kept")


def test_every_round_has_a_patience_of_its_own_and_the_next_begins_with_the_best_weights():
    recipe = Recipe("m", Taylor(), Channels(), amount=Sparsity(0.4), schedule=Polynomial(2), tuning=WILD)
    events, _ = carried_out(taught("conv_bn"), recipe)
    said = [event.sentence.split(":")[0] for event in events if isinstance(event, Warned)]
    assert said == ["round 1", "round 2"]
    last = validations(events)[-1]
    stages = [event for event in events if isinstance(event, StageMeasured)]
    assert last.round == 1 and stages[-1].result.validation == last.score


def test_a_schedule_that_stops_looks_at_the_score_of_the_best_weights():
    recipe = Recipe("m", amount=Sparsity(0.3), schedule=Until(max_drop=0.02, rounds=2), tuning=WILD)
    events, result = carried_out(taught("mlp"), recipe)
    scores = validations(events)
    assert scores[-1].score == result.stages["tuned"].validation
    dense = result.stages["dense"].validation
    taken_back = any("the result is the network" in e.sentence for e in events if isinstance(e, Warned))
    rounds = {number: [each.score for each in scores if each.round == number] for number in {e.round for e in scores}}
    assert taken_back == any(max(each) < dense - 0.02 for each in rounds.values())


class Errors(Classification):
    """Counts mistakes: lower is better."""

    metric = Metric("mistakes", "lower", 0.0, 1.0)

    def judge(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return 1.0 - super().judge(output, target)


def test_where_lower_is_better_the_lowest_validation_is_kept():
    work = replace(taught("mlp"), task=Errors(("a", "b", "c")))
    events, result = carried_out(work, Recipe("m", amount=Sparsity(0.3), tuning=WILD))
    assert result.stages["tuned"].validation == min(each.score for each in validations(events))


@pytest.mark.parametrize("how", [{"average": 0.9}, {"patience": 3}])
def test_a_run_that_is_stopped_leaves_the_weights_that_are_kept(how):
    asked = [0]

    def stop() -> bool:
        asked[0] += 1
        return asked[0] > 40

    tuning = replace(TUNING, epochs=50, **how)
    events, result = carried_out(taught("mlp"), Recipe("m", amount=Sparsity(0.5), tuning=tuning), stop)
    assert result.stopped and validations(events)
    assert int((result.model[0].weight == 0).sum()) > 0
    if "patience" in how:
        assert result.stages["tuned"].validation == max(each.score for each in validations(events))
