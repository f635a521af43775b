"""The recovery ladder: what a cut cost and what brought it back, dense, pruned, repaired, tuned, and the control."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pruning.events import Stage
from pruning.metric import ACCURACY, Metric
from pruning.reporting.formatting import score_text

RUNGS = ("dense", "pruned", "repaired", "tuned", "control")
Z = 1.959964  # of a normal distribution 95 % lie within so many standard deviations


@dataclass(frozen=True)
class ScoreInterval:
    """A score on some samples, and the ends of its 95 % interval; None where there is none."""

    score: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Rung:
    """A stage of the ladder: its test score, and that of each class."""

    name: str
    score: ScoreInterval
    classes: tuple[ScoreInterval, ...]


@dataclass(frozen=True)
class Recovery:
    """The rungs in their order, the names of the classes, and what the scores are."""

    rungs: tuple[Rung, ...]
    classes: tuple[str, ...]
    metric: Metric

    @property
    def has_classes(self) -> bool:
        """Whether every rung has the score of every class."""
        return bool(self.classes) and all(len(rung.classes) == len(self.classes) for rung in self.rungs)

    def by_loss(self) -> list[int]:
        """Places of the classes, the one that lost most by the last stage of the run first."""
        own = [rung for rung in self.rungs if rung.name != "control"]
        losses = [self.metric.drop(b.score - a.score) for a, b in zip(own[0].classes, own[-1].classes, strict=True)]
        return sorted(range(len(losses)), key=lambda place: -losses[place])


def wilson(share: float, samples: int) -> tuple[float, float]:
    """Ends of the 95 % interval of a share of so many samples (Wilson 1927, J. Am. Stat. Assoc. 22).

    Of scores between 0 and 1 that are no shares of right answers it is too wide rather than too narrow: nothing between
    0 and 1 with that mean varies more.

    Examples:
        >>> [round(end, 4) for end in wilson(0.5, 100)]
        [0.4038, 0.5962]
        >>> wilson(1.0, 10)[1]
        1.0
    """
    square = Z * Z / samples
    centre = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / samples + square / (4 * samples))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def recovery(
    stages: Mapping[str, Stage], classes: Sequence[str], metric: Metric = ACCURACY, control: Stage | None = None
) -> Recovery:
    """The ladder of a run's stages. `control` is the tuned stage of its dense control, where that was run.

    Scores that are no shares of 1 have no intervals, nor have the classes of runs that an earlier version stored.
    """
    there = {**stages, **({"control": control} if control else {})}
    return Recovery(tuple(_rung(name, there[name], metric) for name in RUNGS if name in there), tuple(classes), metric)


def _rung(name: str, stage: Stage, metric: Metric) -> Rung:
    counted = len(stage.class_samples) == len(stage.class_scores)
    samples = stage.class_samples if counted else (0,) * len(stage.class_scores)
    of_classes = tuple(_interval(*pair, metric) for pair in zip(stage.class_scores, samples, strict=True))
    return Rung(name, _interval(stage.score, stage.samples, metric), of_classes)


def _interval(score: float, samples: int, metric: Metric) -> ScoreInterval:
    if not samples or not metric.percent:
        return ScoreInterval(score)
    return ScoreInterval(score, *wilson(min(max(score, 0.0), 1.0), samples))


@dataclass(frozen=True)
class RecoveryRow:
    """A class, or all of them, in words: for each rung its score, and its interval; empty where there is none."""

    name: str
    cells: tuple[tuple[str, str], ...]


def recovery_rows(found: Recovery) -> list[RecoveryRow]:
    """All samples first, then the classes, those that lost most first."""
    rows = [RecoveryRow("all", tuple(_words(rung.score, found.metric) for rung in found.rungs))]
    for place in found.by_loss() if found.has_classes else []:
        cells = tuple(_words(rung.classes[place], found.metric) for rung in found.rungs)
        rows.append(RecoveryRow(found.classes[place], cells))
    return rows


def _words(found: ScoreInterval, metric: Metric) -> tuple[str, str]:
    text = score_text(found.score, metric, 1)
    if found.low is None or found.high is None:
        return text, ""
    return text, f"{100 * found.low:.1f} to {100 * found.high:.1f}"
