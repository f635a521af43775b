"""Which units are pruned. One ranking answers every amount: the preview's slider and the rounds of a run both ask
it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pruning.model.units import UnitGroup
from pruning.selection.amounts import Amount
from pruning.selection.pools import Pools, pools_of
from pruning.selection.scopes import Scope


@dataclass(frozen=True, eq=False)
class Ranking:
    """The pools of a scope, sorted. Building it sorts once; asking it is a search."""

    groups: tuple[UnitGroup, ...]
    pools: tuple[Pools, ...]

    @property
    def divisors(self) -> dict[str, float]:
        """What each group's scores were divided by before they were compared."""
        return {name: divisor for pools in self.pools for name, divisor in pools.divisors.items()}


@dataclass(frozen=True)
class GroupShare:
    """What one group keeps: units in all, units pruned, and the score at which its pool is cut.

    Every unit below `cut` has been pruned but for the best of each layer; at `cut` itself ties are pruned by position.
    `cut` is None where nothing is pruned, and where rows or blocks of the layer are each cut at a score of their own.
    """

    name: str
    units: int
    pruned: int
    cut: float | None

    @property
    def kept(self) -> float:
        """Share of units that stays, in [0, 1]."""
        return 1.0 - self.pruned / self.units if self.units else 1.0


@dataclass(frozen=True)
class Position:
    """What an amount means for every group, in the order of the groups. `asked` and `pruned` count all units."""

    shares: tuple[GroupShare, ...]
    asked: int
    pruned: int

    @property
    def units(self) -> int:
        return sum(share.units for share in self.shares)


def rank(
    groups: Sequence[UnitGroup],
    scores: Mapping[str, Tensor],
    scope: Scope,
    amount: Amount,
    pruned: Mapping[str, Tensor] | None = None,
    divisors: Mapping[str, float] | None = None,
) -> Ranking:
    """Sort the units of every pool, lowest score first, ties by position; those that have `pruned` come first of all.

    The best unit of each group is exempt, so that no layer dies unless the amount asks for it by name. Later rounds
    take the `divisors` of the first: a layer that has lost units is not protected, nor the contrary, for having lost.
    """
    own = amount.own_pools(group.name for group in groups)
    competitions = scope.competitions([group for group in groups if group.name not in own])
    for group in groups:
        if group.name in own:
            competitions += scope.competitions([group])
    before = pruned or {}
    best = {g.name: _best(scores[g.name], before.get(g.name)) for g in groups if g.name not in amount.empties()}
    exempt = {name: unit for name, unit in best.items() if unit is not None}
    divided = divisors or {group.name: scope.divisor(scores[group.name]) for group in groups}
    return Ranking(tuple(groups), tuple(pools_of(each, scores, divided, exempt, before) for each in competitions))


def position(ranking: Ranking, amount: Amount, progress: float = 1.0) -> Position:
    """How many units of each group are pruned. Searches only; no mask is made."""
    shares = {group.name: GroupShare(group.name, group.units, 0, None) for group in ranking.groups}
    parts = Counter(name for pools in ranking.pools for name in pools.names)
    asked = pruned = 0
    for pools in ranking.pools:
        counts = pools.counts_to_prune(amount, progress)
        asked += int(pools.asked(amount, progress).sum())
        pruned += int(counts.sum())
        lowest = pools.lowest(counts)
        for name, more in zip(pools.names, pools.pruned(counts), strict=True):
            cut = None if lowest is None or parts[name] > 1 else lowest * pools.divisors[name]
            shares[name] = GroupShare(name, shares[name].units, shares[name].pruned + more, cut)
    return Position(tuple(shares[group.name] for group in ranking.groups), asked, pruned)


def select(ranking: Ranking, amount: Amount, progress: float = 1.0) -> dict[str, Tensor]:
    """Group name -> bool [units], True where the unit stays: the same decision as `position`, unit by unit."""
    keep: dict[str, Tensor] = {}
    for pools in ranking.pools:
        for name, stays in pools.keep(pools.counts_to_prune(amount, progress)).items():
            keep[name] = keep[name] & stays if name in keep else stays
    return {group.name: keep.get(group.name, torch.ones(group.units).bool()) for group in ranking.groups}


def _best(scores: Tensor, lost: Tensor | None) -> int | None:
    """The unit that is never pruned: the best of those that are not `lost`, bool [units]; None where all are.

    Of equal maxima it is the last, which ties by position reach last.
    """
    if not len(scores) or (lost is not None and bool(lost.all())):
        return None
    left = scores if lost is None else scores.masked_fill(lost.to(scores.device), -torch.inf)
    return len(left) - 1 - int(left.flip(0).argmax())
