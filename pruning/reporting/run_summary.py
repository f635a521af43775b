"""What a run's events say, in numbers: curves, progress, stages side by side, classes, sizes. Pages draw them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pruning.events import Event, Finished, Masked, Measured, Resumed, Stage, StageMeasured, Started, TuningStep
from pruning.reporting.formatting import count, percent, points, relative, si, significant

STAGES = ("dense", "pruned", "tuned", "exported")

SAMPLES_A_STEP = 200.0
"""Scoring both splits of so many samples takes about as long as a training step: no backward pass, larger batches."""
VERIFYING = 3
"""Loading and scoring two files in a fresh process takes about as long as scoring this many stages."""


@dataclass(frozen=True)
class ScorePoint:
    """A validation score after `step` optimiser steps, and the share of units pruned by then, both in [0, 1]."""

    step: int
    score: float
    sparsity: float


@dataclass(frozen=True)
class LossPoint:
    """The training loss of one optimiser step's batch."""

    step: int
    loss: float


@dataclass(frozen=True)
class CutMark:
    """Where a round's units were pruned: its number from 1, and the optimiser steps taken before."""

    round: int
    step: int


@dataclass(frozen=True)
class Curve:
    """A run over its `steps` optimiser steps. `dense` is the dense validation score, None until it is measured."""

    scores: tuple[ScorePoint, ...]
    losses: tuple[LossPoint, ...]
    cuts: tuple[CutMark, ...]
    dense: float | None
    steps: int


def curve(events: Iterable[Event]) -> Curve:
    """Scores, sparsity, losses and cuts so far."""
    events = latest(events)
    measured = [event for event in events if isinstance(event, Measured) and event.split == "validation"]
    cuts: dict[int, int] = {}
    for event in measured:
        cuts.setdefault(event.round, event.step)  # a round's first score is taken when its units have just been pruned
    dense = stages_of(events).get("dense")
    return Curve(
        scores=tuple(ScorePoint(event.step, event.score, event.sparsity) for event in measured),
        losses=tuple(LossPoint(event.step, event.loss) for event in events if isinstance(event, TuningStep)),
        cuts=tuple(CutMark(number + 1, step) for number, step in cuts.items()),
        dense=dense.validation if dense else None,
        steps=next((event.steps for event in events if isinstance(event, Started)), 0),
    )


@dataclass(frozen=True)
class RunProgress:
    """How far a run is, in [0, 1], what it is doing, and the seconds left, None while the speed is unknown."""

    fraction: float
    seconds_left: float | None
    phase: str


def progress(events: Iterable[Event], elapsed_s: float) -> RunProgress:
    """How far the run is, `elapsed_s` seconds after it began or was resumed."""
    events = latest(events)
    fraction = _fraction(events)
    resumed = max((place for place, event in enumerate(events) if isinstance(event, Resumed)), default=0)
    done = fraction - _fraction(events[:resumed])  # in that time: what was done before tells nothing of the speed
    left = elapsed_s * (1 - fraction) / done if "pruned" in stages_of(events) and done > 0 else None
    return RunProgress(fraction, left, _phase(events))


def _fraction(events: Sequence[Event]) -> float:
    """Work done of all work, counted in training steps: the steps themselves, and what scoring is worth in steps."""
    started = next((event for event in events if isinstance(event, Started)), None)
    stages = stages_of(events)
    if any(isinstance(event, Finished) for event in events):
        return 1.0
    if started is None or "dense" not in stages:
        return 0.0
    if "exported" in stages:
        return 0.99  # the report is left
    scoring = stages["dense"].samples / SAMPLES_A_STEP
    total = started.steps + scoring * (3 + started.rounds + VERIFYING)
    if "tuned" in stages:
        return 1 - scoring * VERIFYING / total
    rounds = sum(isinstance(event, Masked) for event in events)  # each begins by scoring units and the masked network
    steps = max((event.step for event in events if isinstance(event, TuningStep)), default=0)
    return (steps + scoring * (len(stages) + rounds)) / total


def _phase(events: Sequence[Event]) -> str:
    stages = stages_of(events)
    if any(isinstance(event, Finished) for event in events):
        return "finished"
    if "exported" in stages:
        return "writing the report"
    if "tuned" in stages:
        return "scoring the exported file in a fresh process"
    if "pruned" in stages:
        return _round(events)
    if "dense" in stages:
        return "scoring the cut before tuning"
    return "scoring the dense network" if events else "starting"


def _round(events: Sequence[Event]) -> str:
    started = next(event for event in events if isinstance(event, Started))
    masked = [event for event in events if isinstance(event, Masked)]
    steps = [event for event in events if isinstance(event, TuningStep)]
    if not masked:
        return "scoring units"
    words = f"round {masked[-1].round + 1} of {started.rounds}"
    tuning = bool(steps) and steps[-1].round == masked[-1].round
    return f"{words}, epoch {steps[-1].epoch + 1}" if tuning else words


def latest(events: Iterable[Event]) -> list[Event]:
    """The events since the latest start: a run that ran out of memory or was resumed begins anew."""
    every = list(events)
    starts = [position for position, event in enumerate(every) if isinstance(event, Started)]
    return every[starts[-1] :] if starts else every


def stages_of(events: Iterable[Event]) -> dict[str, Stage]:
    """The measured stages by name, in the order in which they came."""
    return {event.stage: event.result for event in events if isinstance(event, StageMeasured)}


@dataclass(frozen=True)
class StageCell:
    """A stage's number as it is written, and its signed change against dense: empty for dense itself."""

    stage: str
    text: str
    change: str


@dataclass(frozen=True)
class StageRow:
    """One measure of every stage. The label of an accuracy says on which split it was measured."""

    label: str
    cells: tuple[StageCell, ...]


def stage_rows(stages: Mapping[str, Stage]) -> list[StageRow]:
    """The table of a result: a row for each measure, in it a cell for each stage that there is."""
    dense = stages.get("dense")
    rows: list[StageRow] = []
    for label, value, write, compare in _MEASURES:
        if not any(value(stage) for stage in stages.values()):
            continue  # a run of a time when this was not measured
        cells: list[StageCell] = []
        for name in (name for name in STAGES if name in stages):
            change = compare(value(dense), value(stages[name])) if dense and name != "dense" else ""
            cells.append(StageCell(name, write(value(stages[name])), change))
        rows.append(StageRow(label, tuple(cells)))
    return rows


_Measure = tuple[str, Callable[[Stage], float], Callable[[float], str], Callable[[float, float], str]]


def _accuracy(share: float) -> str:
    return percent(share, 2)


def _apart(before: float, after: float) -> str:
    return points(after - before)


def _whole(number: float) -> str:
    return count(int(number))


def _bytes(number: float) -> str:
    return si(number, "B")


def milliseconds(number: float) -> str:
    return f"{significant(number)}\u202fms" if number else "not measured"


_MEASURES: tuple[_Measure, ...] = (
    ("accuracy, test", lambda stage: stage.score, _accuracy, _apart),
    ("accuracy, validation", lambda stage: stage.validation, _accuracy, _apart),
    ("parameters", lambda stage: stage.parameters, _whole, relative),
    ("non-zeros", lambda stage: stage.nonzero, _whole, relative),
    ("bytes", lambda stage: stage.bytes, _bytes, relative),
    ("bytes, gzipped", lambda stage: stage.gzip_bytes, _bytes, relative),
    ("MACs", lambda stage: stage.macs, si, relative),
    ("latency of one sample, one core, fastest of 25", lambda stage: stage.latency_ms, milliseconds, relative),
)


@dataclass(frozen=True)
class ClassChange:
    """A class's score on the test split before and after, in [0, 1]."""

    name: str
    before: float
    after: float

    @property
    def change(self) -> float:
        return self.after - self.before


def worst_classes(before: Stage, after: Stage, classes: Sequence[str], n: int) -> list[ClassChange]:
    """At most `n` classes that lost, the one that lost most first; those that kept or gained are left out."""
    pairs = zip(classes, before.class_scores, after.class_scores, strict=False)
    changes = sorted((ClassChange(*values) for values in pairs), key=lambda change: change.change)
    return [change for change in changes if change.change < 0][:n]


@dataclass(frozen=True)
class SizePoint:
    """What a stage scores on the test split, and the bytes of its file as it is and gzipped."""

    stage: str
    score: float
    bytes: int
    gzip_bytes: int


def size_points(stages: Mapping[str, Stage]) -> list[SizePoint]:
    """Accuracy against size, a point for each stage that there is."""
    return [
        SizePoint(name, stages[name].score, stages[name].bytes, stages[name].gzip_bytes)
        for name in STAGES
        if name in stages
    ]
