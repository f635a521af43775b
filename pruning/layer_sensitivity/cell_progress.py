"""How far the cuts of a sensitivity map have come: plain state, and what may be asked of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

from torch import Tensor

from pruning.evaluation.estimate import Estimate, highest_drop
from pruning.layer_sensitivity.layer_cuts import LayerCut, RowCuts
from pruning.metric import Metric


class Goal(Enum):
    """What a cell is evaluated for."""

    NARROW = "until its interval is as narrow as asked"
    DECISION = "until it is known whether the cut costs more than the limit"


class Computation(Enum):
    """How the scores of a cell have been computed so far."""

    FREE = "as in a full evaluation by now; incremental layers may be used for what follows"
    INCREMENTAL = "some by incremental layers, which round differently in the last digits"
    EXACT = "as in a full evaluation; incremental layers may not be used any more"


class Estimated(Protocol):
    """Whatever has an estimate."""

    @property
    def estimate(self) -> Estimate: ...


Cell = TypeVar("Cell", bound=Estimated)


@dataclass(eq=False)
class CellProgress:
    """How far a cut has come: scores float32 [total] of the first `samples` of the order, and the latest estimate.

    `enough` is after about how many samples the cell will be as narrow as asked. The interval of a cell that is
    evaluated for a decision holds wherever the evaluation stops, and is never wider than it had become before.
    """

    cut: LayerCut
    scores: Tensor
    estimate: Estimate
    samples: int = 0
    enough: int = 0
    goal: Goal = Goal.NARROW
    computation: Computation = Computation.FREE

    def begin_exactly(self) -> None:
        """Evaluate all samples anew, without incremental layers. The latest estimate stands until that is done."""
        self.samples, self.enough, self.computation = 0, self.estimate.total, Computation.EXACT

    def wide(self, half_width: float) -> bool:
        """Whether more samples are needed for an interval of that half-width."""
        narrow = self.estimate.samples > 0 and 0 < self.estimate.half_width <= half_width
        return not self.estimate.measured and not narrow


@dataclass(eq=False)
class RowProgress:
    """A row's cuts, the shallowest first, and how far each has come."""

    cuts: RowCuts
    cells: list[CellProgress]

    def collapsed(self, cell: CellProgress, chance: float | None) -> bool:
        """Whether a smaller cut has surely left no more than chance, so that little is to be learnt from this one."""
        smaller = self.cells[: self.cells.index(cell)]
        return chance is not None and any(_at_chance(each.estimate, chance) for each in smaller)

    def deciding(self, max_drop: float, metric: Metric) -> CellProgress | None:
        """The cell that must be known better to know the row's largest cut within the limit; None if it is known."""
        return deciding(self.cells, max_drop, metric)


def deciding(cells: Sequence[Cell], max_drop: float, metric: Metric) -> Cell | None:
    """Of a row's cells, the shallowest first, that which must be known better to know its largest cut within the limit.

    It is the smallest cut that is not sure to cost at most `max_drop`, unless that one surely costs more.
    """
    first = next((cell for cell in cells if not highest_drop(cell.estimate, metric) <= max_drop), None)
    if first is None or metric.drop(first.estimate.change) - first.estimate.half_width > max_drop:
        return None
    return first


def _at_chance(estimate: Estimate, chance: float) -> bool:
    return estimate.samples > 0 and estimate.score + estimate.half_width <= chance + 0.01
