"""The finished runs of a sweep as a table: a row for each setting, its numbers as mean and interval over the seeds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Literal

from pruning.events import Stage
from pruning.metric import ACCURACY, Metric
from pruning.reporting.formatting import (
    THIN,
    bare_change,
    bare_width,
    capitalised,
    change_text,
    count,
    duration,
    score_text,
    si,
    significant,
    unit_of,
)
from pruning.reporting.run_history import Setting, settings

CONFIDENCE = 0.95
ROLES: Mapping[str, str] = {"grid": "grid", "dense": "dense control", "random": "random control"}
"""What a run is in a sweep -> how a table calls it."""


@dataclass(frozen=True)
class Trial:
    """A finished run of a sweep: its id, what it is in the sweep, its recipe as plain values, and what it came to.

    `control` is the tuned stage of its dense control with the same seed; None where that is not finished.
    """

    run: str
    role: str
    recipe: Mapping[str, Any]
    dense: Stage
    tuned: Stage
    seconds: float
    metric: Metric = ACCURACY
    control: Stage | None = None


Measure = Literal[
    "score", "change", "control_change", "validation", "compression", "nonzero", "gzip_bytes", "bytes", "macs",
    "seconds",
]  # fmt: skip

MEASURES: Mapping[Measure, Callable[[Trial], float | None]] = {
    "score": lambda trial: trial.tuned.score,
    "change": lambda trial: trial.tuned.score - trial.dense.score,
    "control_change": lambda trial: trial.tuned.score - trial.control.score if trial.control else None,
    "validation": lambda trial: trial.tuned.validation,
    "compression": lambda trial: trial.dense.parameters / max(trial.tuned.nonzero, 1),
    "nonzero": lambda trial: trial.tuned.nonzero,
    "gzip_bytes": lambda trial: trial.tuned.gzip_bytes,
    "bytes": lambda trial: trial.tuned.bytes,
    "macs": lambda trial: trial.tuned.macs,
    "seconds": lambda trial: trial.seconds,
}
"""What a table is of. `compression` is the dense network's parameters over those that are not zero; `control_change` is
the test score minus that of the dense control, None where that is not there."""


@dataclass(frozen=True)
class Mean:
    """The mean of `count` values and the half-width of its 95 % interval; None where there is one value only."""

    value: float
    half_width: float | None
    count: int


def mean(values: Sequence[float]) -> Mean:
    """Mean with the interval of Student's t (1908): half-width t(0.975, n − 1) · s / √n.

    It holds for values that are normally distributed. Two seeds give a factor of 12.7, three 4.3, ten 2.3.

    Examples:
        >>> found = mean([0.9, 0.92])
        >>> round(found.value, 3), round(found.half_width, 3)
        (0.91, 0.127)
        >>> mean([0.9]).half_width is None
        True
    """
    if len(values) < 2:
        return Mean(fmean(values), None, len(values))
    from scipy.special import stdtrit  # takes a while

    quantile = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2))
    return Mean(fmean(values), quantile * stdev(values) / math.sqrt(len(values)), len(values))


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed. `settings` are the values of the columns, None = no such field."""

    role: str
    settings: tuple[str | None, ...]
    trials: tuple[Trial, ...]

    @property
    def metric(self) -> Metric:
        return self.trials[0].metric

    @property
    def label(self) -> str:
        """The settings in a few words, for a chart."""
        role = [] if self.role == "grid" else [ROLES.get(self.role, self.role)]
        values = [value for value in self.settings if value not in (None, "none")]
        return ", ".join(part.replace("_", " ") for part in [*role, *values]) or "all runs"

    def mean(self, measure: Measure) -> Mean | None:
        """Over the runs that have the measure; None if none has."""
        values = [value for trial in self.trials if (value := MEASURES[measure](trial)) is not None]
        return mean(values) if values else None


@dataclass(frozen=True)
class SweepTable:
    """`columns` are the paths of the fields that differ within the grid; `same` is what all its runs have in common."""

    columns: tuple[str, ...]
    same: tuple[tuple[str, str], ...]
    groups: tuple[Group, ...]

    @property
    def has_controls(self) -> bool:
        """Whether any run has its dense control beside it."""
        return any(trial.control for group in self.groups for trial in group.trials)

    @property
    def metric(self) -> Metric | None:
        """What all runs are scored by; None where they differ, accuracy where there are none."""
        found = {group.metric for group in self.groups}
        return found.pop() if len(found) == 1 else None if found else ACCURACY


def sweep_table(trials: Sequence[Trial]) -> SweepTable:
    """A group for each setting: those of the grid first, in their order, then the controls."""
    every = [setting for setting in settings([trial.recipe for trial in trials]) if setting.name != "version"]
    of_grid = [place for place, trial in enumerate(trials) if trial.role == "grid"] or list(range(len(trials)))
    differ = [setting for setting in every if _differs(setting, of_grid) and setting.name != "seed"]
    differ = [setting for setting in differ if not _follows(setting, differ, of_grid)]
    same = [(s.name, s.values[of_grid[0]] or "none") for s in every if trials and not _differs(s, of_grid)]
    apart = [setting for setting in every if setting.name != "seed" and len(set(setting.values)) > 1]
    groups: dict[tuple[str | None, ...], list[int]] = {}
    for place, trial in enumerate(trials):
        groups.setdefault((trial.role, *(setting.values[place] for setting in apart)), []).append(place)
    made = [
        Group(
            trials[places[0]].role,
            tuple(_value(setting, places[0], trials[places[0]].role) for setting in differ),
            tuple(trials[place] for place in places),
        )
        for places in groups.values()
    ]
    in_order = sorted(made, key=lambda group: list(ROLES).index(group.role) if group.role in ROLES else len(ROLES))
    return SweepTable(tuple(setting.name for setting in differ), tuple(same), tuple(in_order))


WHAT_IS_CUT = ("criterion", "granularity", "scope", "amount", "keep_whole", "repair")


def _value(setting: Setting, place: int, role: str) -> str | None:
    """None where the dense control, of which nothing is cut, has a value only because every recipe has one.

    A choice that a recipe's JSON leaves out, such as a repair, is `none`.
    """
    choice, _, field = setting.name.partition(".")
    if role == "dense" and choice in WHAT_IS_CUT:
        return None
    return setting.values[place] or ("none" if field == "kind" else None)


def _differs(setting: Setting, places: Sequence[int]) -> bool:
    return len({setting.values[place] for place in places}) > 1


def _follows(setting: Setting, others: Sequence[Setting], places: Sequence[int]) -> bool:
    """Whether the field of a choice is the same wherever the choice is of the same kind: the kind says it all."""
    choice, _, field = setting.name.rpartition(".")
    kind = next((other for other in others if other.name == f"{choice}.kind"), None)
    if kind is None or field == "kind":
        return False
    pairs = {(kind.values[place], setting.values[place]) for place in places}
    return len(pairs) == len({kind for kind, _ in pairs})


def title(path: str) -> str:
    """What a column of a field is called: a choice's kind by the choice alone."""
    return path.removesuffix(".kind")


def heads(table: SweepTable) -> list[str]:
    """The heads of the columns of `rows`."""
    metric = table.metric
    score = "score (test)" if metric is None else f"{capitalised(metric.name)} (test)"
    control = ["change from control"] if table.has_controls else []
    sizes = ("non-zeros", "compression", "size, gzipped", "MACs", "time")
    return ["what", *map(title, table.columns), "seeds", score, "change from dense", *control, *sizes]


def rows(table: SweepTable) -> list[list[str]]:
    """A row for each group, in words: `91.20 ± 0.35 %`. A single run has no interval."""
    return [
        [
            ROLES.get(group.role, group.role),
            *("–" if value is None else value for value in group.settings),
            str(len(group.trials)),
            *_numbers(group, table.has_controls),
        ]
        for group in table.groups
    ]


def _numbers(group: Group, with_control: bool) -> list[str]:
    metric = group.metric

    def written(measure: Measure, write: Callable[[Mean], str]) -> str:
        found = group.mean(measure)
        return write(found) if found is not None else "–"

    return [
        written("score", lambda found: score_mean(found, metric)),
        written("change", lambda found: change_mean(found, metric)),
        *([written("control_change", lambda found: change_mean(found, metric))] if with_control else []),
        written("nonzero", lambda found: _size(found, "")),
        written("compression", lambda found: f"{_plain(found)}×"),
        written("gzip_bytes", lambda found: _size(found, "B")),
        written("macs", lambda found: _size(found, "")),
        written("seconds", _time),
    ]


def score_mean(found: Mean, metric: Metric) -> str:
    """`91.20 ± 0.35 %`; without an interval `91.20 %`."""
    if found.half_width is None:
        return score_text(found.value, metric)
    if metric.percent:
        return f"{100 * found.value:.2f} ± {100 * found.half_width:.2f}{THIN}%"
    return f"{significant(found.value, 4)} ± {significant(found.half_width, 2)}"


def change_mean(found: Mean, metric: Metric) -> str:
    """`−0.84 ± 0.12 points`."""
    if found.half_width is None:
        return change_text(found.value, metric)
    change = bare_change(found.value, metric, 2, found.half_width)
    return f"{change} ± {bare_width(found.half_width, metric, 2)} {unit_of(metric)}"


def _size(found: Mean, unit: str) -> str:
    text = si(round(found.value), unit)
    return f"{text} ± {si(round(found.half_width), unit)}" if found.half_width else text


def _plain(found: Mean) -> str:
    text = significant(found.value)
    return f"{text} ± {significant(found.half_width, 2)}" if found.half_width else text


def _time(found: Mean) -> str:
    text = duration(found.value)
    return f"{text} ± {duration(found.half_width)}" if found.half_width else text


def seeds_of(table: SweepTable) -> str:
    """What the intervals of a table are, in a sentence."""
    most = max((len(group.trials) for group in table.groups), default=0)
    if most < 2:
        return "One seed for each setting: there are no intervals."
    return f"Mean ± 95 % interval of Student's t over up to {count(most)} seeds; one run alone has no interval."
