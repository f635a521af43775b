"""How far the cuts of a sensitivity map have come."""

from dataclasses import dataclass

from torch import Tensor

from pruning.evaluation.estimate import Estimate
from pruning.layer_sensitivity.layer_cuts import LayerCut, RowCuts


@dataclass(eq=False)
class CellProgress:
    """How far a cut has come: scores float32 [total] of the first `samples` of the order, and the latest look.

    `enough` is after about how many samples it will be as narrow as asked. `beyond` says that it is evaluated further
    than that, for a decision: then its interval is one that holds wherever it stops, but no wider than it had become.
    What is `rounded` came from ladders; `exactly` says that all samples are evaluated without, as what is measured is.
    """

    cut: LayerCut
    scores: Tensor
    estimate: Estimate
    samples: int = 0
    enough: int = 0
    beyond: bool = False
    rounded: bool = False
    exactly: bool = False

    def begin_exactly(self) -> None:
        """Evaluate all samples anew. The latest look stands until that is done."""
        self.samples, self.enough, self.rounded, self.exactly = 0, self.estimate.total, False, True

    def wide(self, half_width: float) -> bool:
        """Whether more samples are needed for an interval of that half-width."""
        return not self.estimate.measured and not 0 < self.estimate.half_width <= half_width


@dataclass(eq=False)
class RowProgress:
    """A row's cuts, the shallowest first, and how far each has come."""

    cuts: RowCuts
    standings: list[CellProgress]

    def collapsed(self, one: CellProgress, chance: float) -> bool:
        """Whether a smaller cut has surely left no more than chance, so that little is to be learnt from this one."""
        return any(_at_chance(smaller.estimate, chance) for smaller in self.standings[: self.standings.index(one)])

    def deciding(self, max_drop: float) -> CellProgress | None:
        """The smallest cut that may or may not cost at most `max_drop`, where all smaller ones surely do not cost more.

        Whether the row's largest cut within the limit is larger depends on it alone.
        """
        first = next((one for one in self.standings if not _highest_cost(one.estimate) <= max_drop), None)
        return first if first is not None and -first.estimate.change - first.estimate.half_width <= max_drop else None


def _highest_cost(estimate: Estimate) -> float:
    return estimate.half_width - estimate.change


def _at_chance(estimate: Estimate, chance: float) -> bool:
    return estimate.samples > 0 and estimate.score + estimate.half_width <= chance + 0.01
