"""Runs side by side, in numbers: what each came to, its recipe in words, the settings that differ, the queue ahead."""

import heapq
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from pruning.events import Event, Exported, Stage, Verified
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from pruning.recipe.serialization import to_plain
from pruning.reporting.formatting import percent, significant
from pruning.reporting.run_summary import latest, stages_of
from pruning.selection.amounts import Amount, PerLayer


@dataclass(frozen=True)
class Summary:
    """What a run came to by now: the network before and after, None until it is measured.

    `verified` says whether the exported file scored the same in a fresh process; None while nothing is exported.
    """

    dense: Stage | None
    tuned: Stage | None
    verified: bool | None

    @property
    def change(self) -> float | None:
        """Of the test score, in [-1, 1]."""
        return self.tuned.score - self.dense.score if self.dense and self.tuned else None


def summary(events: Iterable[Event]) -> Summary:
    """From a run's events; optimiser steps may be left out."""
    events = latest(events)
    stages = stages_of(events)
    verified = next((event.same for event in reversed(events) if isinstance(event, Verified)), None)
    exported = any(isinstance(event, Exported) for event in events)
    return Summary(stages.get("dense"), stages.get("tuned"), bool(verified) if exported else verified)


def what_is_pruned(recipe: Recipe) -> str:
    """Units, criterion and scope: `channels by taylor, layer`."""
    names = [kind_of(choice).replace("_", " ") for choice in (recipe.granularity, recipe.criterion, recipe.scope)]
    return f"{names[0]} by {names[1]}, {names[2]}"


def how_much(amount: Amount) -> str:
    """The amount by its name and its values: `sparsity 80.0 %`, `budget bytes 25.0 %`."""
    if isinstance(amount, PerLayer):
        own = len(amount.shares)
        return f"{how_much(amount.rest)}, {own} {'layer' if own == 1 else 'layers'} apart"
    values = [value if isinstance(value, str) else _number(name, value) for name, value in to_plain(amount).items()]
    return " ".join(values).replace("_", " ")


def _number(field: str, value: float) -> str:
    return percent(value) if field == "share" else significant(value)


def plain_recipe(text: str) -> dict[str, Any]:
    """A recipe's JSON as it was written, also by another version; empty if it is none."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return dict(values) if isinstance(values, dict) else {}


@dataclass(frozen=True)
class Setting:
    """A field by its dotted name, such as `amount.share`, and its value in each run; None where a run has no such."""

    name: str
    values: tuple[str | None, ...]


def settings(recipes: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Every field of the recipes, given as their JSON has them, in the order in which fields come."""
    flat = [dict(_flattened(recipe)) for recipe in recipes]
    names: list[str] = []
    for fields in flat:
        place = 0
        for name in fields:  # a field of one kind stands beside its choice, though other recipes do not have it
            if name in names:
                place = names.index(name) + 1
            else:
                names.insert(place, name)
                place += 1
    return [Setting(name, tuple(fields.get(name) for fields in flat)) for name in names]


def differing(recipes: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Only the fields in which the recipes differ."""
    return [setting for setting in settings(recipes) if len(set(setting.values)) > 1]


def _flattened(values: Mapping[str, Any], where: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{where}{name}.")  # type: ignore[arg-type]
        elif isinstance(value, list):
            yield f"{where}{name}", ", ".join(map(str, value)) or "none"  # type: ignore[arg-type]
        else:
            yield f"{where}{name}", "none" if value is None else str(value)


Size = Literal["gzip_bytes", "bytes", "macs", "nonzero"]

SIZES: Mapping[Size, Callable[[Stage], int]] = {
    "gzip_bytes": lambda stage: stage.gzip_bytes,
    "bytes": lambda stage: stage.bytes,
    "macs": lambda stage: stage.macs,
    "nonzero": lambda stage: stage.nonzero,
}
"""What accuracy can be drawn against."""


@dataclass(frozen=True)
class Placed:
    """A stage in the plot of test accuracy, in [0, 1], against size."""

    stage: str
    size: int
    score: float


def placed(stages: Mapping[str, Stage], size: Size) -> tuple[Placed, ...]:
    """The dense and the tuned network, as far as they are measured."""
    there = [name for name in ("dense", "tuned") if name in stages]
    return tuple(Placed(name, SIZES[size](stages[name]), stages[name].score) for name in there)


def typical_s(past: Sequence[tuple[str, float]], workload: str) -> float | None:
    """How long a run of the workload takes: the median of past (workload, seconds), of others where there is none."""
    own = [seconds for name, seconds in past if name == workload]
    every = own or [seconds for _, seconds in past]
    return median(every) if every else None


def until_start_s(running_left_s: Sequence[float], ahead_s: Sequence[float]) -> float:
    """Seconds until a queued run begins: every run ahead of it goes to the worker that is free first.

    `running_left_s` are the seconds that the running ones still take, one a worker; none running: one worker is free.
    """
    free = list(running_left_s) or [0.0]
    heapq.heapify(free)
    for seconds in ahead_s:
        heapq.heapreplace(free, free[0] + seconds)
    return free[0]
