"""Sparsities of single layers by rule: a start for `per_layer`, to be changed by hand, and what a budget leaves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import mul

import torch
from torch import Tensor
from torch.nn import functional as F

from pruning.model.costs import CostModel
from pruning.model.descriptions import Size
from pruning.model.units import Slice, UnitGroup
from pruning.selection.amounts import Amount, Measure
from pruning.selection.pools import Pools
from pruning.selection.ranking import Ranking, position, select

Shapes = Mapping[str, Sequence[int]]
"""Parameter name -> its shape."""


def uniform(groups: Sequence[UnitGroup], share: float) -> dict[str, float]:
    """Group name -> the same sparsity for all, to four decimals, never all of a layer."""
    return {group.name: _short_of_all(share) for group in groups}


def erk(groups: Sequence[UnitGroup], shapes: Shapes, share: float) -> dict[str, float]:
    """Group name -> sparsity, to four decimals, by Erdős–Rényi-Kernel: about `share` of all units is pruned.

    (Evci et al. 2020, arXiv 1911.11134.) A layer's density is in proportion to the sum of its weight's dimensions over
    their product, so that small layers keep more; a layer whose density would pass 1 is left whole and the others pay.
    """
    raw: dict[str, float] = {}
    for group in groups:
        dimensions = torch.tensor(shapes[group.params[0]], dtype=torch.float64)
        raw[group.name] = float(dimensions.sum() / dimensions.prod())
    units = {group.name: group.units for group in groups}
    whole: set[str] = set()
    scale = 0.0
    while len(whole) < len(units):
        left = (1.0 - share) * sum(units.values()) - sum(units[name] for name in whole)
        scale = left / sum(raw[name] * units[name] for name in units if name not in whole)
        over = {name for name in units if name not in whole and scale * raw[name] > 1.0}
        if not over:
            break
        whole |= over
    return {name: 0.0 if name in whole else _short_of_all(1.0 - scale * raw[name]) for name in units}


def _short_of_all(share: float) -> float:
    """A share to four decimals, below 1: a layer is emptied only where a person asks for that layer."""
    return min(max(round(share, 4), 0.0), 0.9999)


@dataclass(frozen=True, eq=False)
class CostLeft:
    """What an amount leaves of the network, as a share of the dense one: counts only, no weight is touched."""

    ranking: Ranking
    cost: CostModel

    def __call__(self, of: Measure, amount: Amount) -> float:
        before, after = self._before, self._before
        if self._removed:
            # parameters that are only set to zero are pruned as well
            groups = [replace(group, fixed="") for group in self._removed] if of == "parameters" else self._removed
            pruned = {share.name: share.pruned for share in position(self.ranking, amount).shares}
            keep = select(self.ranking, amount) if any(group.blocks for group in groups) else {}
            after = self.cost.after(groups, pruned, keep)
        if of == "bytes":
            return after.bytes / before.bytes
        if of == "macs":
            return after.macs / before.macs if before.macs else 1.0
        pruned = sum(
            count(pools.counts_to_prune(amount, 1.0))
            for pools, count in zip(self.ranking.pools, self._values, strict=True)
        )
        return (after.parameters - pruned) / before.parameters

    @cached_property
    def _before(self) -> Size:
        return self.cost.after([], {})

    @cached_property
    def _removed(self) -> list[UnitGroup]:
        """Groups whose units are slices or blocks: the cost model knows the network without them. What is pruned of a
        tensor is a product of what is pruned along its dimensions.
        """
        groups = self.ranking.groups
        return [group for group in groups if group.blocks or all(isinstance(piece, Slice) for piece in group.pieces)]

    @cached_property
    def _values(self) -> list[Callable[[Tensor], int]]:
        """For each pools, how many values are pruned with so many units of each pool. Units that are slices or blocks
        count nothing.
        """
        groups = {group.name: group for group in self.ranking.groups}
        return [self._counted(pools, [groups[name] for name in pools.names]) for pools in self.ranking.pools]

    def _counted(self, pools: Pools, groups: Sequence[UnitGroup]) -> Callable[[Tensor], int]:
        each = [self._owned_by_each(group) for group in groups]
        even = [values for values in each if values is not None]
        if len(even) == len(each):
            return lambda counts: sum(map(mul, even, pools.pruned(counts)))
        owned = [group.owned(self.cost.shapes) * (values != 0) for group, values in zip(groups, each, strict=True)]
        totals = F.pad(torch.cat(owned).to(pools.keys.device)[pools.order].cumsum(dim=1), (1, 0))
        return lambda counts: int(totals.gather(1, counts[:, None]).sum())

    def _owned_by_each(self, group: UnitGroup) -> int | None:
        """How many values every unit of the group owns; None where some own more than others."""
        if group in self._removed:
            return 0
        if group.of_weights and not group.follows:
            return 1
        fewest, most = group.owned(self.cost.shapes).aminmax()
        return int(most) if fewest == most else None
