"""What a person says of a recipe becomes one. A string names a choice with its defaults, an object gives its fields."""

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from pruning.criteria import CRITERIA, Criterion
from pruning.errors import RecipeError
from pruning.granularities import GRANULARITIES, Granularity
from pruning.recipe.recipe import Recipe
from pruning.repair import REPAIRS, Repair
from pruning.selection.amounts import Amount, Sparsity
from pruning.selection.scopes import SCOPES, Scope
from pruning.training.distillation import DISTILLATIONS, Distillation
from pruning.training.regularisers import REGULARISERS, Regulariser
from pruning.training.rewinds import REWINDS, Rewind
from pruning.training.schedules import SCHEDULES, Schedule
from pruning.training.starts import STARTS, Start
from pruning.training.tuning import Tuning

_T = TypeVar("_T")


def recipe_of(
    workload: str,
    *,
    recipe: Recipe | None = None,
    sparsity: float | None = None,
    amount: Amount | None = None,
    criterion: str | Criterion | None = None,
    granularity: str | Granularity | None = None,
    scope: str | Scope | None = None,
    schedule: str | Schedule | None = None,
    epochs: int | None = None,
    tuning: Tuning | None = None,
    keep_whole: Collection[str] | None = None,
    seed: int | None = None,
    repair: str | Repair | None = None,
    distillation: str | Distillation | None = None,
    start: str | Start | None = None,
    rewind: str | Rewind | None = None,
    regulariser: str | Regulariser | None = None,
) -> Recipe:
    """The recipe, its other fields by default. RecipeError where two arguments say the same thing."""
    given = {
        "sparsity": sparsity,
        "amount": amount,
        "criterion": criterion,
        "granularity": granularity,
        "scope": scope,
        "schedule": schedule,
        "epochs": epochs,
        "tuning": tuning,
        "keep_whole": keep_whole,
        "seed": seed,
        "repair": repair,
        "distillation": distillation,
        "start": start,
        "rewind": rewind,
        "regulariser": regulariser,
    }
    if recipe is not None:
        if beside := [name for name, value in given.items() if value is not None]:
            raise RecipeError(
                f"recipe and {beside[0]} are both given; a recipe says everything: "
                f"use dataclasses.replace(recipe, ...) to change it, or leave it out"
            )
        return recipe
    _refuse_both("sparsity", sparsity, "amount", amount)
    _refuse_both("epochs", epochs, "tuning", tuning)
    fields: dict[str, Any] = {
        "criterion": None if criterion is None else listed(choice("criterion", criterion, CRITERIA)),
        "granularity": None if granularity is None else choice("granularity", granularity, GRANULARITIES),
        "scope": None if scope is None else choice("scope", scope, SCOPES),
        "schedule": None if schedule is None else choice("schedule", schedule, SCHEDULES),
        "repair": None if repair is None else choice("repair", repair, REPAIRS),
        "distillation": None if distillation is None else choice("distillation", distillation, DISTILLATIONS),
        "start": None if start is None else choice("start", start, STARTS),
        "rewind": None if rewind is None else choice("rewind", rewind, REWINDS),
        "regulariser": None if regulariser is None else choice("regulariser", regulariser, REGULARISERS),
        "amount": amount if sparsity is None else Sparsity(sparsity),
        "tuning": tuning if epochs is None else Tuning(epochs=epochs),
        "keep_whole": keep_whole,
        "seed": seed,
    }
    return Recipe(workload, **{name: value for name, value in fields.items() if value is not None})


def choice(field: str, value: str | _T, table: Mapping[str, type[_T]]) -> _T:
    """The row of the table that the string names, by default; an object is what it is.

    RecipeError names the rows that there are; a class in place of an object is made by default too.
    """
    if isinstance(value, str):
        if value not in table:
            raise RecipeError(f"{field} is {value!r}; use one of {', '.join(table)}, or an object with its fields")
        return table[value]()
    if isinstance(value, type):
        raise RecipeError(f"{field} is the class {value.__name__}; give an object: {value.__name__}()")
    return value


def listed(criterion: Criterion) -> Criterion:
    """The criterion, its class entered into the table where it is a person's own, so that its recipe can be written.

    The name is that of the class in snake case. A class that was typed in anew takes the place of the old one.
    RecipeError where the name is a built-in criterion's.
    """
    made = type(criterion)
    if made in CRITERIA.values():
        return criterion
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", made.__name__).lower()
    there = CRITERIA.get(name)
    if there is not None and there.__module__.startswith("pruning."):
        raise RecipeError(f"criterion is of a class {made.__name__}, whose name is a built-in criterion's; rename it")
    CRITERIA[name] = made
    return criterion


def _refuse_both(first: str, one: object, second: str, other: object) -> None:
    if one is not None and other is not None:
        raise RecipeError(f"{first} and {second} are both given and say the same thing; give one of them")
