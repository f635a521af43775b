"""An amount that the machine chooses: the search before a run, and the recipe that the run then carries out."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import torch

from pruning.errors import PruningError, RecipeError
from pruning.events import AmountFound, Event, Searching, Warned
from pruning.level_search.engine import search
from pruning.level_search.result import FrontPoint, Searched
from pruning.metric import Metric
from pruning.model.devices import Randomness
from pruning.recipe.recipe import Recipe
from pruning.reporting.formatting import COST_NAMES, percent, worse_than_allowed
from pruning.run.context import Stop, StopAsked, stoppable
from pruning.run.engine import opened
from pruning.selection.amounts import Automatic, Sparsity
from pruning.selection.goal import Goal
from pruning.training.fine_tuning import steps_per_epoch
from pruning.workload import Workload


def with_found_amount(
    workload: Workload, recipe: Recipe, device: torch.device, stop: Stop
) -> Generator[Event, None, Recipe]:
    """The recipe with the sparsities of layers that a search finds; as it is, where its amount is not automatic.

    Events say how far the search is and what it has found. Once `stop` is true it ends, and the recipe that comes back
    prunes nothing. RecipeError where the limits cannot be met; what else does not fit is said before the search.
    """
    if not isinstance(recipe.amount, Automatic):
        return recipe
    randomness = Randomness.now(device)
    _require_carried_out(workload, recipe, device)
    randomness.restore(device)  # building a network may draw: the search and the run shall build the same one
    found = yield from _searched(workload, recipe, recipe.amount, device, stop)
    randomness.restore(device)
    if found is None:
        yield Warned("the run was stopped while it searched for its amount: nothing is pruned")
        return replace(recipe, amount=Sparsity(0.0))
    if found.best is None:
        raise RecipeError(
            "the search found no cut that keeps to the limits of the amount: raise amount.budget, amount.max_drop or "
            "amount.seconds"
        )
    best = found.best
    yield AmountFound(
        cost=found.goal.cost,
        left=best.cost,
        drop=best.drop,
        met=found.met,
        shares=dict(best.shares),
        cuts=found.evaluations,
        seconds=found.seconds,
    )
    if not found.met:
        yield Warned(
            f"the amount that was found does not keep to what was asked: {_too_much(best, found.goal, found.metric)}; "
            "the run goes on with the best that was found: allow more, raise amount.seconds, or choose another repair "
            "or granularity"
        )
    return best.recipe(recipe)


def _require_carried_out(workload: Workload, recipe: Recipe, device: torch.device) -> None:
    """PruningError for what the run would be refused for once the search is over, minutes later."""
    opened(workload, recipe, device)
    steps = steps_per_epoch(recipe.tuning, workload.train) * recipe.tuning.epochs
    recipe.schedule.rounds_of(steps, 1.0)  # a schedule may need more steps than there are


def _searched(
    workload: Workload, recipe: Recipe, amount: Automatic, device: torch.device, stop: Stop
) -> Generator[Event, None, Searched | None]:
    """What the search comes to; None where it was stopped."""
    making = search(stoppable(workload, stop), recipe, amount.goal, amount.seconds, device, amount.batch)
    phase = ""
    with closing(making):
        while not stop():
            try:
                now = next(making)
            except StopIteration as end:
                return end.value
            except (StopAsked, PruningError):
                if stop():  # whoever tries a split says in words of their own what it raises
                    break
                raise
            yield Searching(now.phase, now.evaluations, now.planned, begins=now.phase != phase)
            phase = now.phase
    return None


def _too_much(best: FrontPoint, goal: Goal, metric: Metric) -> str:
    """By how much the cut is beyond its limits."""
    said: list[str] = []
    if goal.budget is not None and not best.cost <= goal.budget:
        said.append(f"{percent(best.cost)} of the {COST_NAMES[goal.cost]} are left, more than {percent(goal.budget)}")
    if goal.max_drop is not None and not best.drop <= goal.max_drop:
        said.append(f"validation {worse_than_allowed(best.drop, goal.max_drop, metric)}")
    return " and ".join(said)
