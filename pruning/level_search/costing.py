"""What cuts cost, as a share of the dense network: counted exactly, or milliseconds of this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from torch import nn

from pruning.level_search.additive import Additive, Levels, tabulated
from pruning.level_search.joint_cuts import JointCuts
from pruning.selection.allocation import CostLeft
from pruning.selection.amounts import Measure, PerLayer


class Costing(Protocol):
    """`dense` is the dense network's cost in its own unit."""

    @property
    def dense(self) -> float: ...

    def offered(self, name: str, counts: tuple[int, ...]) -> tuple[int, ...]:
        """Those of the numbers of pruned units of a group that are worth a look."""
        ...

    def table(self, levels: Levels) -> Additive:
        """Shares that are left, as a sum over the groups' levels and pairs of them."""
        ...

    def bound(self, budget: float) -> float:
        """How much the table's sum may be where so large a share may be left, as far as cuts have told."""
        ...

    def foreseen(self, pruned: Mapping[str, int]) -> float:
        """The share that is left when so many units of each group are pruned, without making the cut."""
        ...

    def seen(self, pruned: Mapping[str, int], model: nn.Module) -> float:
        """The same of the network that is left; what is foreseen later learns from it."""
        ...


@dataclass(eq=False)
class Counted:
    """Parameters, bytes or MACs: counts that are exact without making a cut."""

    cuts: JointCuts
    of: Measure

    @property
    def dense(self) -> float:
        before = self.cuts.ranked.cost.after([], {})
        return float(getattr(before, self.of))

    def offered(self, name: str, counts: tuple[int, ...]) -> tuple[int, ...]:
        return counts

    def table(self, levels: Levels) -> Additive:
        return tabulated(self.foreseen, levels)

    def bound(self, budget: float) -> float:
        return budget

    def foreseen(self, pruned: Mapping[str, int]) -> float:
        return self._left(self.of, PerLayer(self.cuts.shares(pruned)))

    def seen(self, pruned: Mapping[str, int], model: nn.Module) -> float:
        return self.foreseen(pruned)

    @cached_property
    def _left(self) -> CostLeft:
        return CostLeft(self.cuts.ranked.ranking, self.cuts.ranked.cost)
