"""Several runs: the result of each, its recipe in words, the settings that differ, and how long a queued run waits."""

import heapq
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from pruning.events import Event, Exported, Stage, Verified
from pruning.metric import ACCURACY, Metric
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from pruning.recipe.serialization import to_plain
from pruning.reporting.formatting import percent, significant
from pruning.reporting.run_summary import latest, metric_of_run, stages_of
from pruning.selection.amounts import Amount, Automatic, PerLayer


@dataclass(frozen=True)
class Summary:
    """The result of a run so far: the dense and the tuned network, each None until it is measured.

    `verified` is whether the exported file scored the same in a fresh process; None while nothing is exported. `metric`
    says what the scores are.
    """

    dense: Stage | None
    tuned: Stage | None
    verified: bool | None
    metric: Metric = ACCURACY

    @property
    def change(self) -> float | None:
        """Test score of the tuned minus that of the dense network; None until both are measured."""
        return self.tuned.score - self.dense.score if self.dense and self.tuned else None


def summary(events: Iterable[Event]) -> Summary:
    """The result of a run, from its events. `TuningStep` events may be left out."""
    events = latest(events)
    stages = stages_of(events)
    verified = next((event.same for event in reversed(events) if isinstance(event, Verified)), None)
    exported = any(isinstance(event, Exported) for event in events)
    verdict = bool(verified) if exported else verified
    return Summary(stages.get("dense"), stages.get("tuned"), verdict, metric_of_run(events))


def common_metric(found: Sequence[Summary]) -> Metric | None:
    """What all runs that have scores are scored by; None where they differ, accuracy where none has scores."""
    metrics = {each.metric for each in found if each.dense is not None}
    return metrics.pop() if len(metrics) == 1 else None if metrics else ACCURACY


def what_is_pruned(recipe: Recipe) -> str:
    """Granularity, criterion and scope in words: `channels by taylor, layer`."""
    names = [kind_of(choice).replace("_", " ") for choice in (recipe.granularity, recipe.criterion, recipe.scope)]
    return f"{names[0]} by {names[1]}, {names[2]}"


def how_tuned(recipe: Recipe) -> tuple[str, str]:
    """The tuning in words, and smaller its schedule and optimiser: `2 epochs`, `polynomial, adamw`."""
    epochs, schedule = recipe.tuning.epochs, kind_of(recipe.schedule).replace("_", " ")
    if not epochs:
        return "none", schedule
    return f"{epochs} {'epoch' if epochs == 1 else 'epochs'}", f"{schedule}, {recipe.tuning.optimiser}"


def how_much(amount: Amount) -> str:
    """The amount in words: `sparsity 80.0 %`, `budget bytes 25.0 %`, `automatic macs, at most 0.01 lost`."""
    if isinstance(amount, PerLayer):
        own = len(amount.shares)
        return f"{how_much(amount.rest)}, {own} {'layer' if own == 1 else 'layers'} apart"
    if isinstance(amount, Automatic):
        left = [] if amount.budget is None else [f"at most {percent(amount.budget)} left"]
        lost = [] if amount.max_drop is None else [f"at most {amount.max_drop:g} lost"]
        return ", ".join([f"automatic {amount.cost}", *left, *lost])
    values = [value if isinstance(value, str) else _number(name, value) for name, value in to_plain(amount).items()]
    return " ".join(values).replace("_", " ")


def _number(field: str, value: float) -> str:
    return percent(value) if field == "share" else significant(value)


def plain_recipe(text: str) -> dict[str, Any]:
    """The fields of a recipe's JSON, unchecked, so that those of other versions are read too; empty if it is no JSON
    object.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return dict(values) if isinstance(values, dict) else {}


@dataclass(frozen=True)
class Setting:
    """A field of recipes by its path, such as `amount.share`, and its value in each; None where it is missing."""

    name: str
    values: tuple[str | None, ...]


def settings(recipes: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Every field that any of the recipes has; the recipes as `plain_recipe` gives them."""
    flat = [dict(_flattened(recipe)) for recipe in recipes]
    names: list[str] = []
    for fields in flat:
        place = 0
        for name in fields:  # a field that only some recipes have comes right after its neighbour there
            if name in names:
                place = names.index(name) + 1
            else:
                names.insert(place, name)
                place += 1
    return [Setting(name, tuple(fields.get(name) for fields in flat)) for name in names]


def differing(recipes: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Those of `settings` in which the recipes differ."""
    return [setting for setting in settings(recipes) if len(set(setting.values)) > 1]


def _flattened(values: Mapping[str, Any], where: str = "") -> Iterable[tuple[str, str]]:
    """Path and text of every value, also of those inside objects."""
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
"""The measures of size that the score can be drawn against."""


@dataclass(frozen=True)
class Placed:
    """A point of the plot of the test score against size."""

    stage: str
    size: int
    score: float


def placed(stages: Mapping[str, Stage], size: Size) -> tuple[Placed, ...]:
    """The points of the dense and of the tuned network, of each only once it is measured."""
    there = [name for name in ("dense", "tuned") if name in stages]
    return tuple(Placed(name, SIZES[size](stages[name]), stages[name].score) for name in there)


def typical_s(past: Sequence[tuple[str, float]], workload: str) -> float | None:
    """Seconds that a run of the workload takes: the median of past runs, given as (workload, seconds).

    Where the workload has no past runs those of all others count; None where there are none at all.
    """
    own = [seconds for name, seconds in past if name == workload]
    every = own or [seconds for _, seconds in past]
    return median(every) if every else None


def until_start_s(running_left_s: Sequence[float], ahead_s: Sequence[float], at_once: int = 1) -> float:
    """Seconds until a queued run begins. Each run ahead of it goes to the worker that is free first.

    `running_left_s` are the seconds that each running run still takes; each has one of the `at_once` workers, and the
    others are free. `ahead_s` are the seconds that each run ahead in the queue takes.
    """
    free = [*running_left_s, *[0.0] * (at_once - len(running_left_s))]
    heapq.heapify(free)
    for seconds in ahead_s:
        heapq.heapreplace(free, free[0] + seconds)
    return free[0]
