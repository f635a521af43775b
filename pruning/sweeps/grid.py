"""A grid: one recipe, and the values that some of its fields take in turn. A frozen value that becomes JSON and back.

{"version": 1,
 "base": {"version": 1, "workload": "fashion_cnn", ...},
 "vary": {"criterion": ["magnitude", "taylor"], "amount.share": [0.5, 0.9], "seed": [0, 1, 2]},
 "controls": ["dense", "random"]}
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from pruning.errors import RecipeError
from pruning.recipe.catalog import CHOICES
from pruning.recipe.recipe import Recipe, from_dict, to_dict
from pruning.recipe.serialization import require_text, short

VERSION = 1
MOST_COMBINATIONS = 10_000

ControlName = Literal["dense", "random"]
CONTROLS: tuple[ControlName, ...] = get_args(ControlName)
"""dense: the network that nothing is pruned of, trained as long; random: the same amount, chosen at random."""


@dataclass(frozen=True)
class Grid:
    """Every combination of some fields' values, each put into one recipe.

    Attributes:
        base: The recipe whose other fields stay as they are.
        vary: Path of a field in the recipe's JSON -> the JSON values that it takes, such as `amount.share`, `seed` or
            `criterion`. Of a choice its kind alone may be given, with the defaults of its fields: `"taylor"`.
        controls: What is run beside the grid, to compare with.

    Raises:
        RecipeError: A path leads to no field of a recipe, has no values, or there are too many combinations.

    Examples:
        >>> grid = Grid(Recipe("fashion_cnn"), {"criterion": ["magnitude", "taylor"], "seed": [0, 1, 2]})
        >>> grid.combinations
        6
        >>> grid_from_json(grid_to_json(grid)) == grid
        True
    """

    base: Recipe
    vary: Mapping[str, tuple[Any, ...]] = field(default_factory=dict[str, tuple[Any, ...]])
    controls: tuple[ControlName, ...] = CONTROLS

    def __post_init__(self) -> None:
        vary = {path: _values(path, values) for path, values in self.vary.items()}
        object.__setattr__(self, "vary", vary)
        for control in self.controls:
            if control not in CONTROLS:
                raise RecipeError(f"controls names {short(control)}; use {', '.join(CONTROLS)}, or none of them")
        object.__setattr__(self, "controls", tuple(name for name in CONTROLS if name in self.controls))
        if self.combinations > MOST_COMBINATIONS:
            raise RecipeError(
                f"the grid has {self.combinations} combinations and {MOST_COMBINATIONS} is the most; "
                "vary fewer fields, or fewer values"
            )

    def __hash__(self) -> int:
        return hash(grid_to_json(self))

    @property
    def combinations(self) -> int:
        """How many recipes there would be if all choices went together and none came twice."""
        return math.prod(len(values) for values in self.vary.values())

    @property
    def name(self) -> str:
        """The first eight hex digits of the SHA-256 of the grid's JSON."""
        return hashlib.sha256(grid_to_json(self).encode()).hexdigest()[:8]


def grid_to_dict(grid: Grid) -> dict[str, Any]:
    """JSON-able dict."""
    return {
        "version": VERSION,
        "base": to_dict(grid.base),
        "vary": {path: list(values) for path, values in grid.vary.items()},
        "controls": list(grid.controls),
    }


def grid_to_json(grid: Grid) -> str:
    """One line of JSON, the same for equal grids whose fields stand in the same order."""
    return json.dumps(grid_to_dict(grid), allow_nan=False)


def grid_from_json(text: str) -> Grid:
    """The grid that the JSON describes. RecipeError names the bad field, its value and the allowed ones."""
    try:
        values = json.loads(text)
        require_text(values, "grid")
    except json.JSONDecodeError as error:
        raise RecipeError(f"the grid is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise RecipeError("the grid holds a number too long or brackets too deep to be one; write it anew") from None
    return grid_from_dict(values)


def grid_from_dict(values: Any) -> Grid:
    """As `grid_from_json`, from what a JSON reader returns. Keys that start with // are comments."""
    if not isinstance(values, dict):
        raise RecipeError(f"a grid is a JSON object, not {short(values)}")
    given: dict[str, Any] = {key: value for key, value in values.items() if not str(key).startswith("//")}  # type: ignore[misc]
    version: object = given.pop("version", None)
    if version != VERSION or isinstance(version, bool):
        raise RecipeError(f"version is {short(version)}; this program reads grids of version {VERSION}")
    if unknown := sorted(given.keys() - {"base", "vary", "controls"}):
        raise RecipeError(f"{unknown[0]} is not a field of a grid; use base, controls, vary")
    if "base" not in given:
        raise RecipeError("base is missing; it is the recipe whose fields are varied")
    vary, controls = given.get("vary", {}), given.get("controls", list(CONTROLS))
    if not isinstance(vary, dict):
        raise RecipeError(f'vary is {short(vary)}; it is an object such as {{"seed": [0, 1, 2]}}')
    if not isinstance(controls, list):
        raise RecipeError(f"controls is {short(controls)}; it is a list of {', '.join(CONTROLS)}")
    try:
        base = from_dict(given["base"])
    except RecipeError as error:
        raise RecipeError(f"base: {error}") from error
    return Grid(base, dict(vary), tuple(controls))  # type: ignore[arg-type]


def _values(path: str, values: Any) -> tuple[Any, ...]:
    """The values of a field, choices written out as objects."""
    known = [f.name for f in fields(Recipe)]
    if path.partition(".")[0] not in known:
        raise RecipeError(f"vary.{path} is not a field of a recipe; a path begins with one of {', '.join(known)}")
    if not isinstance(values, list | tuple):
        raise RecipeError(f"vary.{path} is {short(values)}; it is a list of values")
    if not values:
        raise RecipeError(f"vary.{path} is empty; give at least one value, or leave it out")
    found: list[Any] = list(values)  # type: ignore[arg-type]
    return tuple({"kind": value} if path in CHOICES and isinstance(value, str) else value for value in found)
