"""How far a sweep is: for each of its runs the one of the store that stands for it, and what the finished came to."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median
from typing import Literal

from pruning.errors import RecipeError
from pruning.events import Event, Finished
from pruning.execution.store.records import RunRow
from pruning.recipe.controls import dense_control
from pruning.recipe.recipe import Recipe
from pruning.reporting.run_history import plain_recipe, summary
from pruning.reporting.sweep_table import Trial
from pruning.sweeps.expansion import Planned

Standing = Literal["finished", "running", "queued", "failed", "stopped", "missing"]

STANDINGS: tuple[Standing, ...] = ("finished", "running", "queued", "failed", "stopped", "missing")
"""The best first: where a recipe was run several times, the best of its runs stands for it."""


@dataclass(frozen=True)
class PlannedRun:
    """A run of a sweep and the run of the store that stands for it; None where there is none."""

    planned: Planned
    row: RunRow | None

    @property
    def standing(self) -> Standing:
        return self.row.state if self.row is not None else "missing"


def planned_runs(runs: Iterable[Planned], rows: Sequence[RunRow]) -> list[PlannedRun]:
    """The sweep's runs in their order, each with the row that stands for its recipe."""
    best = best_rows(rows)
    return [PlannedRun(planned, best.get(planned.recipe.name)) for planned in runs]


def best_rows(rows: Sequence[RunRow]) -> dict[str, RunRow]:
    """A recipe's name -> the best of the rows of that recipe, of equals the newest."""
    best: dict[str, RunRow] = {}
    for row in sorted(rows, key=lambda row: (STANDINGS.index(row.state), -row.number)):
        best.setdefault(row.name, row)
    return best


def counts(runs: Iterable[PlannedRun]) -> Mapping[Standing, int]:
    """How many runs stand how; 0 for those that none does."""
    found = Counter(run.standing for run in runs)
    return {standing: found[standing] for standing in STANDINGS}


def trials(runs: Iterable[PlannedRun], milestones: Callable[[RunRow], Sequence[Event]]) -> list[Trial]:
    """What the finished runs came to, in their order; `milestones` gives a run's events, without optimiser steps."""
    over = [(run.row, run.planned) for run in runs if run.row is not None and run.row.state == "finished"]
    found = {
        planned.recipe: trial
        for row, planned in over
        if (trial := trial_of(row, planned.role, milestones(row))) is not None
    }
    tuned = {recipe.name: trial.tuned for recipe, trial in found.items()}
    return [replace(trial, control=tuned.get(_control_name(recipe))) for recipe, trial in found.items()]


@lru_cache(maxsize=10_000)  # a page asks again every two seconds
def _control_name(recipe: Recipe) -> str:
    """The name of the recipe's dense control, of the same seed; empty where there is none, or it is one itself."""
    try:
        name = dense_control(recipe).name
    except RecipeError:
        return ""
    return "" if name == recipe.name else name


def left_s(runs: Sequence[PlannedRun], at_once: int) -> float | None:
    """Seconds until all runs are over, at the median pace of those that are; None while none is."""
    took = [run.row.seconds for run in runs if run.row and run.row.finished and run.row.started]
    waiting = sum(run.standing in ("queued", "running") for run in runs)
    return median(took) * waiting / max(at_once, 1) if took else None


def trial_of(row: RunRow, role: str, events: Sequence[Event]) -> Trial | None:
    """What a finished run came to; None if it measured nothing."""
    found = summary(events)
    if found.dense is None or found.tuned is None:
        return None
    seconds = next((event.seconds for event in reversed(events) if isinstance(event, Finished)), 0.0)
    return Trial(row.id, role, plain_recipe(row.recipe_json), found.dense, found.tuned, seconds, found.metric)
