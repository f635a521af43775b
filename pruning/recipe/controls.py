"""What a pruned network is compared with: the dense network trained for as long, and one pruned by lot."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from pruning.criteria import Magnitude, Random
from pruning.errors import RecipeError
from pruning.granularities import Weights
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair
from pruning.selection.amounts import Automatic, PerLayer, RelativeThreshold, Sparsity, Threshold, Zeros
from pruning.selection.scopes import Global
from pruning.training.regularisers import NoRegulariser
from pruning.training.rewinds import DrawAnew, NoRewind
from pruning.training.schedules import Geometric, Linear, Polynomial, Schedule, Until


def dense_control(recipe: Recipe, rounds: int | None = None) -> Recipe:
    """The dense network, trained in as many rounds and optimiser steps with the same tuning; nothing is cut.

    Without it nobody knows whether a pruned network is better because it was pruned or because it was trained longer
    (Blalock et al. 2020, arXiv 2003.03033). Recipes that differ in what they cut alone have the same control.

    Args:
        recipe: The recipe of the pruned network.
        rounds: In how many rounds its run goes, as `Started.rounds` says. Needed where only the network decides that:
            with the schedule geometric and an amount that is no sparsity. With a sparsity the rounds are counted as of
            a network of many units; of one with a handful rounding may make it a round more or less. The schedule until
            may stop early; without `rounds` its control takes all of them.

    Returns:
        A recipe whose amount is a sparsity of 0.

    Raises:
        RecipeError: The number of rounds is not known.

    Examples:
        >>> control = dense_control(Recipe("fashion_cnn", amount=Sparsity(0.8), schedule=Polynomial(5)))
        >>> control.amount, control.schedule
        (Sparsity(share=0.0), Linear(rounds=5))
    """
    return replace(
        recipe,
        criterion=Magnitude(),
        granularity=Weights(),
        scope=Global(),
        amount=Sparsity(0.0),
        schedule=_as_long(recipe, rounds),
        keep_whole=frozenset(),
        repair=NoRepair(),
        rewind=NoRewind(),
        regulariser=NoRegulariser(recipe.regulariser.epochs),
    )


def random_control(recipe: Recipe) -> Recipe:
    """As many units pruned by lot, all else the same: the floor that a criterion has to beat.

    Raises:
        RecipeError: The amount is a threshold, which means something else for random scores, or automatic: a search
            with random scores would find another one.

    Examples:
        >>> random_control(Recipe("fashion_cnn", amount=Sparsity(0.8))).criterion
        Random()
    """
    amount = recipe.amount.rest if isinstance(recipe.amount, PerLayer) else recipe.amount
    if isinstance(amount, Threshold | RelativeThreshold | Zeros):
        raise RecipeError(
            f"amount {kind_of(amount)} counts in the criterion's own scores, and random ones have others: choose a "
            "sparsity or a budget, so that as much can be pruned by lot"
        )
    if isinstance(amount, Automatic):
        raise RecipeError(
            f"amount {kind_of(amount)} is found by a search with the recipe's own criterion, and with random scores it "
            "would find another: take the amount that a run of the recipe finds, so that as much can be pruned by lot"
        )
    return replace(recipe, criterion=Random())


def drawn_control(recipe: Recipe) -> Recipe:
    """The same cuts, and the weights that are left drawn anew each time: is it the weights, or is it the mask alone?

    (Frankle and Carbin 2019, arXiv 1803.03635, "random reinitialization".)

    Raises:
        RecipeError: The recipe rewinds no weights.
    """
    if recipe.rewind.step is None:
        raise RecipeError(
            f"rewind {kind_of(recipe.rewind)} brings no weights back, so there is nothing to compare drawn ones with: "
            "choose rewind weights"
        )
    return replace(recipe, rewind=DrawAnew())


CONTROLS: Mapping[str, Callable[[Recipe], Recipe]] = {"dense": dense_control, "random": random_control}
"""Name -> what makes the control of a recipe, or raises RecipeError with a sentence why there is none."""


def controls_of(recipe: Recipe) -> dict[str, Recipe]:
    """Both controls by name. RecipeError where the recipe has not both; `CONTROLS` makes them one by one."""
    return {name: control(recipe) for name, control in CONTROLS.items()}


def _as_long(recipe: Recipe, rounds: int | None) -> Schedule:
    """A schedule with the same trainings, whatever is cut between them: the curve of the cuts does not matter."""
    schedule = recipe.schedule
    if isinstance(schedule, Linear | Polynomial | Until | Geometric):
        return Linear(rounds or _rounds_of(recipe, schedule))
    return schedule


def _rounds_of(recipe: Recipe, schedule: Linear | Polynomial | Until | Geometric) -> int:
    if not isinstance(schedule, Geometric):
        return schedule.rounds
    if not isinstance(recipe.amount, Sparsity):
        raise RecipeError(
            f"schedule geometric with amount {kind_of(recipe.amount)} takes as many rounds as the network needs, so "
            "how long its dense control trains is not known: choose a sparsity, or a schedule that says its rounds"
        )
    return len(schedule.rounds_of(0, recipe.amount.share))
