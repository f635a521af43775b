"""`search`: the machine chooses how much of each layer goes; `latency`: how long layers take."""

import json
import math
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
import typer
from rich.console import Console

from pruning.cli.console import progress_bar, table
from pruning.cli.running import ABORTED, graceful_stop
from pruning.errors import PruningError, RecipeError
from pruning.files.atomic_write import require_writable, write_whole
from pruning.level_search.engine import search as searched
from pruning.level_search.joint_cuts import joint_cuts
from pruning.level_search.latency.table import LatencyTable, read_table
from pruning.level_search.latency.timed import timed
from pruning.level_search.result import FrontPoint, Searched, plain
from pruning.metric import Metric
from pruning.recipe.recipe import Recipe, from_dict, to_dict
from pruning.reporting.formatting import bare_change, bare_width, count, duration, percent, score_text
from pruning.selection.goal import Goal
from pruning.workload import Workload, metric_of

NAMES = {"json": "search.json", "recipe": "found.recipe.json"}


@dataclass(frozen=True)
class Asked:
    """What the command line says; drops of accuracy as shares of 1."""

    recipe: Recipe
    goal: Goal
    seconds: float
    batch: int
    latencies: LatencyTable | None


def recipe_of(workload: Workload, criterion: str, granularity: str, repair: str, seed: int) -> Recipe:
    """The options that are choices of a recipe. RecipeError names the one that is wrong."""
    kinds = {"criterion": {"kind": criterion}, "granularity": {"kind": granularity}, "repair": {"kind": repair}}
    return from_dict({"version": 1, "workload": workload.name, **kinds, "seed": seed})


def goal_of(cost: str, budget: float | None, max_drop: float | None, metric: Metric) -> Goal:
    """What is asked for; half of the cost where nothing is said."""
    if max_drop is not None and not 0 <= max_drop < math.inf:
        raise RecipeError(f"max-drop is {max_drop:g}; it is a number of points from 0 on, or of the score's own unit")
    if budget is None and max_drop is None:
        budget = 0.5
    in_unit = None if max_drop is None else max_drop / (100 if metric.percent else 1)
    return Goal(cost, budget, in_unit)  # type: ignore[arg-type]


def asked(
    workload: Workload,
    recipe: Recipe,
    cost: str,
    budget: float | None,
    max_drop: float | None,
    seconds: float,
    batch: int,
    latencies: Path | None,
) -> Asked:
    """The options, checked. RecipeError names the one that is wrong, its value, and what could stand there."""
    goal = goal_of(cost, budget, max_drop, metric_of(workload.task))
    return Asked(recipe, goal, seconds, batch, None if latencies is None else read_table(latencies))


def search(workload: Workload, question: Asked, out: Path, device: torch.device, as_json: bool) -> None:
    require_writable(out)
    screen = Console(stderr=True)
    try:
        with graceful_stop(screen) as stop:
            making = searched(
                workload, question.recipe, question.goal, question.seconds, device, question.batch, question.latencies
            )
            found = _watched(making, stop, screen)
    except KeyboardInterrupt:
        screen.print("aborted; what was found is not kept")
        raise typer.Exit(ABORTED) from None
    if found is None or not (found.best or found.front):
        raise PruningError("the search was stopped before it knew anything; give it more time")
    written = _write(found, out)
    if as_json:
        print(json.dumps({**plain(found), "artefacts": written}, allow_nan=False), flush=True)
    else:
        _print(found, Console(), screen, written)


def latency(workload: Workload, recipe: Recipe, batch: int, out: Path, device: torch.device) -> None:
    """Measure the table of a network's layers and write it."""
    require_writable(out.parent)
    screen = Console(stderr=True)
    making = timed(joint_cuts(workload, recipe, device), batch)
    with progress_bar(screen) as bar, closing(making):
        task = bar.add_task("timing the layers", total=1.0, left="")
        try:
            while True:
                bar.update(task, completed=next(making))
        except StopIteration as end:
            made: LatencyTable = end.value.latencies
    made.write(out)
    about = f"{made.device}, torch {made.torch}, {made.threads} cores, batch {made.batch}"
    print(
        f"dense: {made.times.base:.3g} ms ({about}). The layers' sum is at most {made.error:.1%} away from the whole "
        f"pass; {made.remainder:+.2g} ms belong to no layer."
    )
    screen.print(f"wrote {out}", markup=False, highlight=False, soft_wrap=True)


def _watched(making: Generator[Searched, None, Searched], stop: Callable[[], bool], screen: Console) -> Searched | None:
    found: Searched | None = None
    with progress_bar(screen) as bar, closing(making):
        task = bar.add_task("scoring units", total=1.0, left="")
        try:
            while True:
                found = next(making)
                if stop():
                    return found
                words = f"{found.phase}, cut {found.evaluations} of about {found.planned}"
                bar.update(task, completed=found.evaluations / max(found.planned, 1), description=words)
        except StopIteration as end:
            return end.value


def best_of(found: Searched) -> FrontPoint:
    """The measured point that fits best; of a search that was stopped, the estimated one that loses least."""
    return found.best or min(found.front, key=lambda point: point.drop)


def _write(found: Searched, out: Path) -> dict[str, str]:
    """The front, and the recipe of the best point. Kind -> path."""
    about = "How much of each layer goes, as the search chose it. Carry out: python -m pruning run THIS_FILE --out DIR"
    noted = {"//": about, **to_dict(best_of(found).recipe(found.recipe))}
    contents = {
        "json": json.dumps(plain(found), allow_nan=False, indent=1),
        "recipe": json.dumps(noted, allow_nan=False, indent=2, ensure_ascii=False),
    }
    for kind, text in contents.items():
        write_whole(out / NAMES[kind], text.encode())
    return {kind: str(out / NAMES[kind]) for kind in contents}


def _print(found: Searched, console: Console, screen: Console, written: dict[str, str]) -> None:
    metric = found.metric
    made = table(f"{found.goal.cost} left", "change of the score", "", left=0)
    for point in found.front:
        made.add_row(percent(point.cost), _change(point, metric), point.provenance)
    console.print(made)
    best = best_of(found)
    shares = ", ".join(f"{name} {percent(share)}" for name, share in best.shares.items() if share)
    limits = "within what was asked" if found.met else "NOT within what was asked"
    console.print(
        f"Best: {percent(best.cost)} of the {found.goal.cost} left, {_change(best, metric)} on validation "
        f"({best.provenance}; dense {score_text(found.dense, metric)}), {limits}. Pruned: {shares or 'nothing'}.",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    console.print(f"{count(found.evaluations)} cuts in {duration(found.seconds)}.", highlight=False)
    for path in written.values():
        screen.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)


def _change(point: FrontPoint, metric: Metric) -> str:
    change = -point.drop if metric.better == "higher" else point.drop
    width = "" if point.provenance == "measured" else f" ± {bare_width(point.half_width, metric, 2)}"
    return f"{bare_change(change, metric, 2)}{width}"
