"""From the events of a run to the numbers that are shown: curves, a table of stages, classes, sizes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pruning.events import (
    AmountFound,
    Event,
    Masked,
    Measured,
    PrunedValues,
    Stage,
    StageMeasured,
    Started,
    TuningStep,
    UnitSizes,
)
from pruning.metric import ACCURACY, Metric
from pruning.reporting.formatting import (
    COST_NAMES,
    change_text,
    count,
    percent,
    relative,
    score_label,
    score_text,
    si,
    significant,
)

STAGES = ("dense", "pruned", "repaired", "tuned", "exported")


@dataclass(frozen=True)
class ScorePoint:
    """A validation score after `step` optimiser steps, and the share of units pruned by then, in [0, 1]."""

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
    """A round's cut in the curve: the number of the round, from 1, and the optimiser steps taken before its cut."""

    round: int
    step: int


@dataclass(frozen=True)
class SharePoint:
    """The share of the units that a regulariser has pushed near zero after `step` optimiser steps, in [0, 1]."""

    step: int
    share: float


@dataclass(frozen=True)
class Curve:
    """A run over its `steps` optimiser steps. `dense` is the dense validation score, None until it is measured.

    `metric` says what the scores are. `near_zero` is empty where no regulariser acts.
    """

    scores: tuple[ScorePoint, ...]
    losses: tuple[LossPoint, ...]
    cuts: tuple[CutMark, ...]
    dense: float | None
    steps: int
    metric: Metric = ACCURACY
    near_zero: tuple[SharePoint, ...] = ()


def curve(events: Iterable[Event]) -> Curve:
    """Scores, sparsity, losses and cuts so far."""
    events = latest(events)
    measured = [event for event in events if isinstance(event, Measured) and event.split == "validation"]
    cuts: dict[int, int] = {}
    for event in measured:
        cuts.setdefault(event.round, event.step)  # a round is validated first right after its cut
    dense = stages_of(events).get("dense")
    return Curve(
        scores=tuple(ScorePoint(event.step, event.score, event.sparsity) for event in measured),
        losses=tuple(LossPoint(event.step, event.loss) for event in events if isinstance(event, TuningStep)),
        cuts=tuple(CutMark(number + 1, step) for number, step in cuts.items()),
        dense=dense.validation if dense else None,
        steps=next((event.steps for event in events if isinstance(event, Started)), 0),
        metric=metric_of_run(events),
        near_zero=tuple(SharePoint(event.step, event.near_zero) for event in unit_sizes_of(events)),
    )


def unit_sizes_of(events: Iterable[Event]) -> list[UnitSizes]:
    """How large the units were at each validation, in the order of the steps; empty where no regulariser acts."""
    return [event for event in latest(events) if isinstance(event, UnitSizes)]


def latest(events: Iterable[Event]) -> list[Event]:
    """The events since the last `Started`. A run that begins again, as when memory ran out, reports it twice."""
    every = list(events)
    starts = [position for position, event in enumerate(every) if isinstance(event, Started)]
    return every[starts[-1] :] if starts else every


def amount_found(events: Iterable[Event]) -> AmountFound | None:
    """What a search has found for the run to prune; None where there was none, or it is not over."""
    return next((event for event in reversed(list(events)) if isinstance(event, AmountFound)), None)


def amount_words(found: AmountFound, metric: Metric) -> str:
    """What a search has found: `49.8 % of the MACs left, −0.40 points on validation, within what was asked; ...`."""
    change = change_text(-found.drop if metric.better == "higher" else found.drop, metric)
    limits = "within what was asked" if found.met else "NOT within what was asked"
    shares = ", ".join(f"{name} {percent(share)}" for name, share in found.shares.items() if share)
    cost = f"{percent(found.left)} of the {COST_NAMES.get(found.cost, found.cost)} left"
    return f"{cost}, {change} on validation before any tuning, {limits}; pruned: {shares or 'nothing'}"


def stages_of(events: Iterable[Event]) -> dict[str, Stage]:
    """The measured stages by name, in the order in which they came."""
    return {event.stage: event.result for event in events if isinstance(event, StageMeasured)}


def metric_of_run(events: Iterable[Event]) -> Metric:
    """What the scores of the run are; accuracy before it has begun, and of runs that an earlier version stored."""
    return next((event.metric for event in events if isinstance(event, Started)), ACCURACY)


NEARLY_ALL = 0.9
"""Of the parameters. Biases and norms are a few percent of most networks: where nothing else takes no part, the share
of the units that are pruned tells of the whole network, and a second share would only be noise."""


def values_of(events: Iterable[Event]) -> PrunedValues | None:
    """What the last cut pruned, None where nothing was pruned or an earlier version wrote the events."""
    return next((event.values for event in reversed(latest(events)) if isinstance(event, Masked)), None)


def leaves_out(values: PrunedValues | None) -> bool:
    """Whether a noticeable part of the network takes no part in pruning."""
    return values is not None and values.prunable < NEARLY_ALL * values.total


def share_of_all(values: PrunedValues | None) -> str:
    """`; 15.7 % of all 124 M parameters`, to follow the share of what can be pruned; empty where that is nearly all."""
    if values is None or not leaves_out(values):
        return ""
    return f"; {percent(values.pruned / values.total)} of all {si(values.total)} parameters"


@dataclass(frozen=True)
class StageCell:
    """One number of a stage, as text, and its signed change from the dense network; empty for that itself."""

    stage: str
    text: str
    change: str


@dataclass(frozen=True)
class StageRow:
    """One measure, of every stage. The label of a score names the split; `key` is the measure in code."""

    label: str
    cells: tuple[StageCell, ...]
    key: str = ""


def stage_rows(stages: Mapping[str, Stage], metric: Metric = ACCURACY) -> list[StageRow]:
    """The table of a result: a row for each measure, with a cell for each stage that was measured."""
    dense = stages.get("dense")
    rows: list[StageRow] = []
    for key, label, value, write, compare in (*_scores(metric), *_SIZES):
        if key not in ("score", "validation") and not any(value(stage) for stage in stages.values()):
            continue  # a run of an older version, which did not measure this
        cells: list[StageCell] = []
        for name in (name for name in STAGES if name in stages):
            change = compare(value(dense), value(stages[name])) if dense and name != "dense" else ""
            cells.append(StageCell(name, write(value(stages[name])), change))
        rows.append(StageRow(label, tuple(cells), key))
    return rows


_Measure = tuple[str, str, Callable[[Stage], float], Callable[[float], str], Callable[[float, float], str]]


def _scores(metric: Metric) -> tuple[_Measure, ...]:
    def write(score: float) -> str:
        return score_text(score, metric)

    def compare(before: float, after: float) -> str:
        return change_text(after - before, metric)

    return (
        ("score", score_label(metric, "test"), lambda stage: stage.score, write, compare),
        ("validation", score_label(metric, "validation"), lambda stage: stage.validation, write, compare),
    )


def _exact(number: float) -> str:
    return count(int(number))


def _bytes(number: float) -> str:
    return si(number, "B")


def milliseconds(number: float) -> str:
    return f"{significant(number)}\u202fms" if number else "not measured"


_LATENCY = "latency of one sample, one core, fastest of 25"
_SIZES: tuple[_Measure, ...] = (
    ("parameters", "parameters", lambda stage: stage.parameters, _exact, relative),
    ("nonzero", "non-zeros", lambda stage: stage.nonzero, _exact, relative),
    ("bytes", "bytes", lambda stage: stage.bytes, _bytes, relative),
    ("gzip_bytes", "bytes, gzipped", lambda stage: stage.gzip_bytes, _bytes, relative),
    ("macs", "MACs", lambda stage: stage.macs, si, relative),
    ("latency_ms", _LATENCY, lambda stage: stage.latency_ms, milliseconds, relative),
)


@dataclass(frozen=True)
class ClassChange:
    """A class's test score in two stages."""

    name: str
    before: float
    after: float

    @property
    def change(self) -> float:
        return self.after - self.before


def worst_classes(
    before: Stage, after: Stage, classes: Sequence[str], n: int, metric: Metric = ACCURACY
) -> list[ClassChange]:
    """At most `n` classes whose score got worse, the largest loss first; the other classes are left out."""
    pairs = zip(classes, before.class_scores, after.class_scores, strict=False)
    changes = sorted((ClassChange(*values) for values in pairs), key=lambda change: -metric.drop(change.change))
    return [change for change in changes if metric.drop(change.change) > 0][:n]


@dataclass(frozen=True)
class SizePoint:
    """What a stage scores on the test split, and the bytes of its file as it is and gzipped."""

    stage: str
    score: float
    bytes: int
    gzip_bytes: int


def size_points(stages: Mapping[str, Stage]) -> list[SizePoint]:
    """Test score and size, a point for each stage that was measured."""
    return [
        SizePoint(name, stages[name].score, stages[name].bytes, stages[name].gzip_bytes)
        for name in STAGES
        if name in stages
    ]
