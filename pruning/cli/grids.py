"""`grid`: a recipe and the values of some of its fields as a file for `sweep`. And how such a file is read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pruning.cli.running import read_recipe
from pruning.errors import RecipeError
from pruning.sweeps.expansion import expand
from pruning.sweeps.grid import CONTROLS, Grid, grid_from_json, grid_to_dict


def grid(
    recipe_file: Path,
    kinds: Mapping[str, str | None],
    amounts: str | None,
    seeds: int,
    vary: Sequence[str],
    controls: bool,
) -> None:
    """Print the grid. `kinds`: field of the recipe -> kinds, separated by commas."""
    values: dict[str, list[Any]] = {
        field: [kind.strip() for kind in text.split(",") if kind.strip()] for field, text in kinds.items() if text
    }
    if amounts:
        values["amount.share"] = [_number(text) for text in amounts.split(",")]
    values |= dict(map(_path_and_values, vary))
    if seeds > 1:
        values["seed"] = list(range(seeds))
    asked = {path: tuple(found) for path, found in values.items()}
    made = Grid(read_recipe(recipe_file), asked, CONTROLS if controls else ())
    found = expand(made)  # says now what `sweep` would say
    about = (
        f"{len(found.runs)} runs; {sum(each.count for each in found.refused)} combinations do not go together. "
        "Carry out: python -m pruning sweep THIS_FILE --out DIR"
    )
    print(json.dumps({"//": about, **grid_to_dict(made)}, indent=2, allow_nan=False))


def read_grid(file: Path) -> Grid:
    """The grid in the file. RecipeError names the file where it cannot be read, and the field where that is wrong."""
    try:
        return grid_from_json(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise RecipeError(
            f"{file}: no such file; `python -m pruning grid RECIPE.json --seeds 3 > GRID.json` writes one"
        ) from None
    except UnicodeDecodeError:
        raise RecipeError(f"{file} is not a text in UTF-8; save the grid as UTF-8") from None
    except OSError as error:
        raise RecipeError(f"{file} cannot be read ({error.strerror}); name a file that `grid` wrote") from error
    except RecipeError as error:
        raise RecipeError(f"{file}: {error}") from error


def _path_and_values(text: str) -> tuple[str, list[Any]]:
    path, equals, values = text.partition("=")
    try:
        found = json.loads(values) if equals else None
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, list):
        raise RecipeError(f"vary is {text!r}; write PATH=[VALUE, ...] in JSON, such as tuning.epochs=[1,2]")
    return path.strip(), found  # type: ignore[return-value]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise RecipeError(f"amounts names {text!r}; give numbers separated by commas, such as 0.5,0.9") from None
