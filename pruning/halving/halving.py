"""A halving: a grid whose settings compete, and by what. A frozen value that becomes JSON and back.

{"version": 1, "grid": {...}, "images": 55000, "goal": {"cost": "macs", "budget": 0.5, "max_drop": null}}
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from pruning.errors import RecipeError
from pruning.events import Stage
from pruning.halving.shortening import shortened
from pruning.metric import Metric
from pruning.options.constraints import Between, check
from pruning.recipe.recipe import Recipe
from pruning.recipe.serialization import short
from pruning.selection.goal import Goal
from pruning.sweeps.expansion import recipe_with
from pruning.sweeps.grid import Grid, grid_from_dict, grid_to_dict

VERSION = 1
FACTOR = 3


@dataclass(frozen=True)
class Halving:
    """Settings of a grid that compete: all with a short training, a third of them with one three times as long, ...

    (Successive halving: Jamieson and Talwalkar 2016, arXiv 1502.07943; without waiting: Li et al. 2020,
    arXiv 1810.05934.)

    Attributes:
        grid: The recipe and the values that its fields take. It has no controls, and its seed is not varied: the best
            of several seeds is the luckiest, not the best.
        images: Training images of a whole epoch, where the recipe takes all.
        goal: What is compared; without one the validation score alone, which suits recipes that prune as much.
        rungs: How many lengths of training there are; the last is the recipe's own.

    Raises:
        RecipeError: A seed is varied, nothing is, or the cost cannot be counted in a run.

    Examples:
        >>> found = Halving(Grid(Recipe("fashion_cnn"), {"criterion": ["magnitude", "taylor"]}), images=55_000)
        >>> [round(share, 2) for share in found.shares]
        [0.11, 0.33, 1.0]
        >>> halving_from_json(halving_to_json(found)) == found
        True
    """

    grid: Grid
    images: Annotated[int, Between(1, 1_000_000_000)]
    goal: Goal | None = None
    rungs: Annotated[int, Between(1, 6)] = 3

    def __post_init__(self) -> None:
        check(self, "halving")
        object.__setattr__(self, "grid", replace(self.grid, controls=()))
        if "seed" in self.grid.vary:
            raise RecipeError(
                "vary.seed: the best of several seeds is the luckiest one; leave the seed out, and run the winner with "
                "several seeds"
            )
        if self.grid.combinations < 2:
            raise RecipeError("nothing competes: vary a field of the recipe with at least two values")
        if self.goal is not None and self.goal.cost == "latency":
            raise RecipeError(
                "goal.cost is latency, which a run measures on whatever worker it has; use parameters, bytes or macs"
            )

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the recipe's own training on each rung."""
        return tuple(FACTOR ** -float(self.rungs - 1 - rung) for rung in range(self.rungs))

    @property
    def name(self) -> str:
        """The first eight hex digits of the SHA-256 of the JSON."""
        return hashlib.sha256(halving_to_json(self).encode()).hexdigest()[:8]

    def recipe(self, values: Mapping[str, Any], rung: int) -> Recipe:
        """The recipe of a setting with the training of a rung. RecipeError where the values do not go together."""
        return shortened(recipe_with(self.grid.base, values), self.shares[rung], self.images)

    def worth(self, dense: Stage, tuned: Stage, metric: Metric) -> float:
        """How good a run is, the higher the better; on validation, for the test split chooses nothing.

        Without a goal the score. Within a budget the score too; with a limit of the drop alone the share of the cost
        that is saved. These lie between -1 and 1, in whatever unit scores are; what does not keep to the limits lies
        between -3 and -2, the lower the further it is from them.
        """
        score = _bounded(tuned.validation if metric.better == "higher" else -tuned.validation)
        if self.goal is None:
            return score
        left = cost_left(self.goal, dense, tuned)
        drop = metric.drop(tuned.validation - dense.validation)
        over_budget = 0.0 if self.goal.budget is None else left / self.goal.budget - 1.0
        if over_budget > 1e-9:
            return OUTSIDE - _bounded(over_budget)
        if self.goal.max_drop is not None and drop > self.goal.max_drop + 1e-9:
            return OUTSIDE - _bounded(drop / metric.tolerance(dense.validation))
        return 1.0 - left if self.goal.budget is None else score


OUTSIDE = -2.0
"""Runs that keep to the limits come before all that do not."""


def _bounded(value: float) -> float:
    """In (-1, 1), the higher the higher the value: of worths only the order counts."""
    return value / (1.0 + abs(value))


def keeps_to_limits(worth: float) -> bool:
    """Whether a run of that worth keeps to the limits of its goal."""
    return worth > OUTSIDE


def cost_left(goal: Goal, dense: Stage, tuned: Stage) -> float:
    """The share of the dense network's cost that is left."""
    if goal.cost == "parameters":
        return tuned.nonzero / max(dense.nonzero, 1)
    if goal.cost == "bytes":
        return tuned.bytes / max(dense.bytes, 1)
    return tuned.macs / max(dense.macs, 1)


def halving_to_json(halving: Halving) -> str:
    """One line of JSON."""
    values = {
        "version": VERSION,
        "grid": grid_to_dict(halving.grid),
        "images": halving.images,
        "goal": None if halving.goal is None else asdict(halving.goal),
        "rungs": halving.rungs,
    }
    return json.dumps(values, allow_nan=False)


def halving_from_json(text: str) -> Halving:
    """What `halving_to_json` wrote. RecipeError says what is wrong with it."""
    try:
        values = dict(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        raise RecipeError("the halving is no JSON object; ask for it anew") from None
    if values.get("version") != VERSION:
        raise RecipeError(
            f"version is {short(values.get('version'))}; this program reads halvings of version {VERSION}"
        )
    try:
        goal = None if values["goal"] is None else Goal(**values["goal"])
        return Halving(grid_from_dict(values["grid"]), values["images"], goal, values["rungs"])
    except (KeyError, TypeError) as error:
        raise RecipeError(f"a field of the halving is missing or not known ({error}); ask for it anew") from None
