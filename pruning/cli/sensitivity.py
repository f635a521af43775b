"""`sensitivity`: what each layer alone can lose; Ctrl-C keeps what is known by then."""

import json
import math
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import typer
from rich.console import Console

from pruning.cli.console import for_terminal, progress_bar, table
from pruning.cli.running import ABORTED, graceful_stop
from pruning.errors import PruningError, RecipeError
from pruning.evaluation.accuracy import small_change
from pruning.files.atomic_write import require_writable, write_whole
from pruning.layer_sensitivity.analysis import map_sensitivity
from pruning.layer_sensitivity.result import (
    LEVELS,
    Sensitivity,
    SensitivityCell,
    SensitivityRow,
    largest_cuts,
    suggested,
    to_csv,
)
from pruning.layer_sensitivity.result import to_dict as map_dict
from pruning.metric import Metric
from pruning.recipe.recipe import Recipe, from_dict, to_dict, to_json
from pruning.reporting.formatting import (
    bare_change,
    bare_width,
    changes_of,
    count,
    duration,
    intervals_of,
    limit_text,
    percent,
    score_text,
)
from pruning.workload import Workload, metric_of

WIDE = 140  # where nobody's window says how wide
NAMES = {"json": "sensitivity.json", "csv": "sensitivity.csv", "recipe": "suggestion.recipe.json"}


@dataclass(frozen=True)
class Asked:
    """What the command line says: half-width and drop in the unit of the metric, those of accuracy as shares of 1."""

    recipe: Recipe
    levels: tuple[float, ...]
    half_width: float
    max_drop: float


def asked(
    workload: Workload,
    criterion: str,
    granularity: str,
    repair: str,
    levels: str | None,
    max_drop: float | None,
    exact: bool,
    device: torch.device,
) -> Asked:
    """The options, checked. RecipeError names the one that is wrong, its value, and what could stand there."""
    limit = None if max_drop is None else _limit(max_drop, metric_of(workload.task))
    kinds = {"criterion": {"kind": criterion}, "granularity": {"kind": granularity}, "repair": {"kind": repair}}
    recipe, chosen = from_dict({"version": 1, "workload": workload.name, **kinds}), read_levels(levels)
    small = 0.0 if exact and limit is not None else small_change(workload, device)
    return Asked(recipe, chosen, 0.0 if exact else small, small if limit is None else limit)


def _limit(max_drop: float, metric: Metric) -> float:
    """What a person types in points, or in the score's own unit."""
    if metric.percent and not 0 < max_drop <= 100:
        raise RecipeError(f"max-drop is {max_drop:g}; it is a number of points above 0, up to 100")
    if not 0 < max_drop < math.inf:
        raise RecipeError(f"max-drop is {max_drop:g}; it is a number above 0, in the unit of {metric.name}")
    return max_drop / 100 if metric.percent else max_drop


def read_levels(text: str | None) -> tuple[float, ...]:
    """Sparsities as typed, separated by commas; sorted, each once."""
    if text is None:
        return LEVELS
    found: set[float] = set()
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            level = float(part)
        except ValueError:
            level = 0.0
        if not 0 < level < 1:
            raise RecipeError(f"levels names {part!r}; a level is a share above 0 and below 1, such as 0.5")
        found.add(level)
    if not found:
        raise RecipeError("levels is empty; name shares above 0 and below 1, such as 0.5,0.9")
    return tuple(sorted(found))


def sensitivity(workload: Workload, question: Asked, out: Path, device: torch.device, as_json: bool) -> None:
    require_writable(out)
    screen = Console(stderr=True)
    try:
        with graceful_stop(screen) as stop:
            maps = map_sensitivity(
                workload, question.recipe, question.levels, question.half_width, device, question.max_drop
            )
            sensed = _watched(maps, stop, screen)
    except KeyboardInterrupt:
        screen.print("aborted; the map is not kept")
        raise typer.Exit(ABORTED) from None
    if not sensed.rows:
        reasons = "; ".join(f"{name}: {why}" for name, why in sensed.left_out.items()) or "it has none"
        unit = question.recipe.granularity.unit
        raise PruningError(
            f"no {unit} of {workload.name} may be pruned; choose another granularity or criterion ({reasons})"
        )
    written = write(sensed, question, out)
    if as_json:
        print(json.dumps(summary(sensed, question, written), allow_nan=False), flush=True)
    else:
        _print(sensed, question, Console(width=None if screen.is_terminal else WIDE))
        for path in written.values():
            screen.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
    if not sensed.done:
        screen.print("unfinished: cells marked ? are wider than asked", markup=False, highlight=False)


def write(sensed: Sensitivity, question: Asked, out: Path) -> dict[str, str]:
    """The three files; `done` in the JSON, and a comment in the recipe, tell an unfinished map. Kind -> path."""
    recipe = suggested(sensed, question.recipe, question.max_drop)
    about = (
        f"Largest cut of each layer that costs it at most {limit_text(question.max_drop, sensed.metric)}, "
        f"alone{_repaired(sensed)}. "
        + ("" if sensed.done else "UNFINISHED: the map was stopped, larger cuts may be possible. ")
    )
    noted = {"//": about + "Carry out: python -m pruning run THIS_FILE --out DIR", **to_dict(recipe)}
    contents = {
        "json": json.dumps({**map_dict(sensed), **_cuts(sensed, question)}, allow_nan=False, indent=1),
        "csv": to_csv(sensed),
        "recipe": json.dumps(noted, allow_nan=False, indent=2, ensure_ascii=False),
    }
    for kind, text in contents.items():
        write_whole(out / NAMES[kind], text.encode())
    return {kind: str(out / NAMES[kind]) for kind in contents}


def summary(sensed: Sensitivity, question: Asked, written: dict[str, str]) -> dict[str, Any]:
    """What `--json` prints: the map, the largest cuts, and where the files are."""
    recipe = suggested(sensed, question.recipe, question.max_drop)
    return {
        "workload": question.recipe.workload,
        **map_dict(sensed),
        **_cuts(sensed, question),
        "suggestion": json.loads(to_json(recipe)),
        "artefacts": written,
    }


def _cuts(sensed: Sensitivity, question: Asked) -> dict[str, Any]:
    return {"max_drop": question.max_drop, "largest_cuts": largest_cuts(sensed, question.max_drop)}


def _watched(maps: Generator[Sensitivity, None, Sensitivity], stop: Callable[[], bool], screen: Console) -> Sensitivity:
    """Show how far the map is until it is done, or until it is stopped."""
    with progress_bar(screen) as bar, closing(maps):
        task = bar.add_task("scoring units", total=1.0, left="")
        try:
            while True:
                sensed = next(maps)
                if stop():
                    return sensed
                bar.update(task, completed=_share(sensed), description=_where(sensed), left=_left(sensed))
        except StopIteration as end:
            return end.value


def _share(sensed: Sensitivity) -> float:
    return min(sensed.spent / max(sensed.planned, 1), 1.0)


def _where(sensed: Sensitivity) -> str:
    rows = sum(row.done for row in sensed.rows)
    return f"{count(sensed.spent)} samples, {rows} of {len(sensed.rows)} layers done"


def _left(sensed: Sensitivity) -> str:
    seconds = sensed.seconds / sensed.spent * (sensed.planned - sensed.spent) if sensed.spent else None
    return "" if seconds is None else f"{duration(max(seconds, 0.0))} left"


def _print(sensed: Sensitivity, question: Asked, console: Console) -> None:
    cuts, metric = largest_cuts(sensed, question.max_drop), sensed.metric
    made = table("is pruned, %", *(f"{100 * level:g}" for level in sensed.levels), "largest")
    made.padding = (0, 0)  # eleven levels in a window of 80 columns
    made.columns[0].overflow = "fold"
    for row in sensed.rows:
        made.add_row(_name(row), *(_cell(cell, metric) for cell in row.cells), percent(cuts[row.name], 0))
    console.print(made)
    for row in sensed.rows:
        if row.full_passes:
            console.print(for_terminal(f"{row.name}: {row.full_passes}"), markup=False, highlight=False, soft_wrap=True)
    for name, why in sensed.left_out.items():
        console.print(for_terminal(f"{name} stays whole: {why}"), markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"Changes of {changes_of(metric)}{_repaired(sensed)} on {count(sensed.total)} validation samples, "
        f"{intervals_of(metric)}; dense: {score_text(sensed.dense, metric)}. "
        f"Largest cut: costs at most {limit_text(question.max_drop, metric)} "
        "at the far end of its interval. "
        f"{count(sensed.spent)} samples in {duration(sensed.seconds)}.",
        highlight=False,
    )


def _repaired(sensed: Sensitivity) -> str:
    return "" if sensed.repair == "none" else f" after repair by {sensed.repair}"


def _name(row: SensitivityRow) -> str:
    others = [name for name in row.members if name != row.name]
    return f"{row.name} (with {', '.join(others)})" if others else row.name


def _cell(cell: SensitivityCell, metric: Metric) -> str:
    """The change, its half-width while it is an estimate, ? while that is wider than asked."""
    seen = cell.estimate
    if not seen.samples:
        return "?"
    change = bare_change(seen.change, metric, half_width=seen.half_width)
    width = f"±{bare_width(seen.half_width, metric)}{'' if cell.done else '?'}"
    return change if seen.measured else f"{change}\n[dim]{width}[/dim]"
