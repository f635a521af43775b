"""Runs of scores in their own unit: a drop is for the worse, and the limit counts in that unit."""

from dataclasses import replace

import pytest

from pruning.errors import RecipeError
from pruning.events import Masked, Measured, Started, Warned
from pruning.metric import Metric
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from pruning.training.schedules import Until
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.linear_regression import COST, DENSE, MSE, SquaredError, mse, negative, workload
from tests.networks import carried_out

CUT_ONLY = Tuning(epochs=0)


def until(max_drop: float) -> Recipe:
    """A quarter of the weights in each of three rounds."""
    return Recipe("linear", amount=Sparsity(0.75), schedule=Until(max_drop, 3), tuning=CUT_ONLY)


@pytest.mark.parametrize("make, sign", [(mse, 1), (negative, -1)])
def test_a_run_ends_before_the_error_grows_too_far(make, sign):
    """The rounds cost 1, 5 and 14: the second is more than 2."""
    events, result = carried_out(make(), until(2.0))
    scores = [event.score for event in events if isinstance(event, Measured)]
    assert scores == [sign * (DENSE + COST[share]) for share in (0.25, 0.5, 0.25)]  # the last one is taken back
    assert result.stages["tuned"].score == sign * (DENSE + COST[0.25])
    assert [event.pruned for event in events if isinstance(event, Masked)] == [1, 2, 1]


def test_the_sentence_says_how_far_in_the_unit_of_the_score():
    said = {
        make: [event.sentence for event in carried_out(make(), until(2.0))[0] if isinstance(event, Warned)]
        for make in (mse, negative)
    }
    assert said[mse] == ["round 2: validation MSE rose by 5, more than 2: the result is the network of round 1"]
    assert said[negative] == [
        "round 2: validation negative MSE dropped by 5, more than 2: the result is the network of round 1"
    ]


def test_a_gain_ends_no_run():
    """Scored by how much it differs from 0 and not from the target, a smaller network is better each round."""
    samples = replace(mse().train, targets=mse().train.targets * 0)
    gaining: Workload = replace(mse(), validation=samples)
    events, result = carried_out(gaining, until(0.001))
    assert result.stages["tuned"].validation < result.stages["dense"].validation
    assert [event.pruned for event in events if isinstance(event, Masked)] == [1, 2, 3]


def test_a_run_says_what_its_scores_are():
    events, _ = carried_out(mse(), until(20.0))
    assert next(event.metric for event in events if isinstance(event, Started)) is MSE


def test_a_limit_wider_than_the_range_is_refused_before_any_work():
    wide = workload(SquaredError(Metric("error", "lower", low=0.0, high=400.0)))
    with pytest.raises(RecipeError, match=r"schedule\.max_drop is 401.0; it lies between 0 and 400"):
        carried_out(wide, until(401.0))
