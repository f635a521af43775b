"""From a grid to the recipes of its runs: combinations that do not go together are kept apart, with their sentence."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pruning.errors import RecipeError
from pruning.recipe.controls import CONTROLS
from pruning.recipe.recipe import VERSION, Recipe, from_dict
from pruning.recipe.serialization import short, to_plain
from pruning.sweeps.grid import Grid

Role = Literal["grid", "dense", "random"]
"""A run of the grid itself, or a control of it."""


@dataclass(frozen=True)
class Planned:
    """A run of a sweep: its recipe, and whether it is of the grid or a control."""

    recipe: Recipe
    role: Role


@dataclass(frozen=True)
class Refused:
    """A combination that cannot be run: path -> value of the varied fields but the seed, why, and with how many seeds.

    A control that there is not has `control` among its values.
    """

    values: Mapping[str, Any]
    sentence: str
    count: int = 1

    def __str__(self) -> str:
        values = ", ".join(f"{path} {_in_words(value)}" for path, value in self.values.items())
        return f"{values or 'the recipe'}: {self.sentence}"


@dataclass(frozen=True)
class Expansion:
    """What a grid comes to. `repeated` counts the combinations that gave a recipe that was there already."""

    runs: tuple[Planned, ...]
    refused: tuple[Refused, ...]
    repeated: int


def expand(grid: Grid) -> Expansion:
    """The recipes of the grid and of its controls, each once.

    Every setting comes with its first seed before any comes with its second: a sweep that is stopped early has seen all
    settings.

    Raises:
        RecipeError: No combination can be run; the sentence is that of the first.

    Examples:
        >>> found = expand(Grid(Recipe("fashion_cnn"), {"criterion": ["magnitude", "geometric_median"]}, controls=()))
        >>> len(found.runs), len(found.refused)
        (1, 1)
    """
    runs: dict[str, Planned] = {}
    refused: list[tuple[dict[str, Any], str]] = []
    made: dict[str, Mapping[str, Any]] = {}
    repeated = 0
    for values in _combinations(grid):
        try:
            recipe = recipe_with(grid.base, values)
        except RecipeError as error:
            refused.append((_but_seed(values), str(error)))
            continue
        repeated += recipe.name in runs
        runs.setdefault(recipe.name, Planned(recipe, "grid"))
        made.setdefault(recipe.name, values)
    if not runs:
        raise RecipeError(f"no combination of the grid can be run: {Refused(*refused[0])}")
    for planned in list(runs.values()):
        for name in grid.controls:
            try:
                control = CONTROLS[name](planned.recipe)
            except RecipeError as error:
                refused.append(({"control": name, **_but_seed(made[planned.recipe.name])}, str(error)))
            else:
                runs.setdefault(control.name, Planned(control, name))
    in_order = sorted(runs.values(), key=lambda planned: planned.recipe.seed)  # stable
    return Expansion(tuple(in_order), _merged(refused), repeated)


def _merged(refused: Sequence[tuple[dict[str, Any], str]]) -> tuple[Refused, ...]:
    """Each combination once, whatever its seed."""
    found: dict[str, Refused] = {}
    for values, sentence in refused:
        key = json.dumps([values, sentence], default=str)
        known = found.get(key)
        found[key] = Refused(values, sentence, known.count + 1 if known else 1)
    return tuple(found.values())


def _but_seed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in values.items() if path != "seed"}


def _combinations(grid: Grid) -> Iterator[dict[str, Any]]:
    for values in itertools.product(*grid.vary.values()):
        yield dict(zip(grid.vary, values, strict=True))


def recipe_with(base: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with a value at each path. RecipeError where they do not go together."""
    # all fields are written out, so that a path finds those that a recipe's own JSON leaves out
    plain: dict[str, Any] = {"version": VERSION, **to_plain(base)}
    for path in sorted(values, key=lambda path: path.count(".")):  # a whole choice before a field of it
        plain = _with(plain, path, values[path])
    return from_dict(plain)


def _with(plain: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the value at the path. What leads into no object is a key as it stands: a layer's name has dots."""
    head, _, rest = path.partition(".")
    if rest and isinstance(plain.get(head), dict):
        return {**plain, head: _with(plain[head], rest, value)}
    return {**plain, path: value}


def _in_words(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, dict) and len(value) == 1 else None  # type: ignore[arg-type]
    return str(kind or short(value))  # type: ignore[arg-type]
