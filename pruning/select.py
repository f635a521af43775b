"""Which units fall. One ranking answers every amount: the preview's slider and the rounds of a run both ask it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pruning.amounts import Amount
from pruning.scopes import Scope
from pruning.units import UnitGroup


@dataclass(frozen=True, eq=False)
class Pool:
    """Units that compete, in the order in which they fall.

    `order` int64 [n] are positions in the concatenation of the groups; `scores` float32 [n] follow that order. The
    first `gone` of them have fallen before and stay fallen; the last `exempt` never fall. `places[name]` int64,
    ascending, are the ranks that the group's units hold.
    """

    names: tuple[str, ...]
    order: Tensor
    scores: Tensor
    exempt: int
    gone: int
    places: Mapping[str, Tensor]

    @cached_property
    def ascending(self) -> Tensor:
        """The scores of all units, the exempt ones in their place."""
        return self.scores.sort().values

    def asked(self, amount: Amount, progress: float) -> int:
        """How many units the amount asks for at this progress in [0, 1]."""
        return round(progress * amount.falls(self.names, self.ascending, len(self.order)))

    def falls(self, amount: Amount, progress: float) -> int:
        """How many units have fallen at this progress: as asked, but for the exempt and those already gone."""
        may_fall = len(self.order) - self.exempt
        asked = amount.falls(self.names, self.scores[:may_fall], len(self.order))
        return min(max(round(progress * asked), self.gone), may_fall)

    def cut(self, count: int) -> float:
        """The lowest score that stays when `count` units fall, the exempt aside; their highest if all others fall."""
        exempt = self.scores[len(self.order) - self.exempt :]
        return float(self.scores[count] if count < len(self.order) - self.exempt else exempt.max())


@dataclass(frozen=True, eq=False)
class Ranking:
    """The pools of a scope, sorted. Building it sorts once; asking it is a search."""

    groups: tuple[UnitGroup, ...]
    pools: tuple[Pool, ...]


@dataclass(frozen=True)
class Share:
    """What one group keeps: units in all, units fallen, and the score at which its pool is cut.

    Every unit below `cut` has fallen but for the best of each layer; at `cut` itself ties fall by position. `cut` is
    None where nothing falls.
    """

    name: str
    units: int
    fallen: int
    cut: float | None

    @property
    def kept(self) -> float:
        """Share of units that stays, in [0, 1]."""
        return 1.0 - self.fallen / self.units if self.units else 1.0


@dataclass(frozen=True)
class Position:
    """What an amount means for every group, in the order of the groups. `asked` and `fallen` count all units."""

    shares: tuple[Share, ...]
    asked: int
    fallen: int

    @property
    def units(self) -> int:
        return sum(share.units for share in self.shares)


def rank(
    groups: Sequence[UnitGroup],
    scores: Mapping[str, Tensor],
    scope: Scope,
    amount: Amount,
    fallen: Mapping[str, Tensor] | None = None,
) -> Ranking:
    """Sort the units of every pool, lowest score first, ties by position; those that have `fallen` come first of all.

    The best unit of each group is exempt, so that no layer dies unless the amount asks for it by name.
    """
    own = amount.own_pools()
    common = [group.name for group in groups if group.name not in own]
    pools = scope.pools(common) + [(group.name,) for group in groups if group.name in own]
    return Ranking(tuple(groups), tuple(_pool(names, scores, amount.empties(), fallen or {}) for names in pools))


def position(ranking: Ranking, amount: Amount, progress: float = 1.0) -> Position:
    """How many units of each group fall. Searches only; no mask is made."""
    shares: dict[str, Share] = {}
    asked = fallen = 0
    for pool in ranking.pools:
        count = pool.falls(amount, progress)
        asked += pool.asked(amount, progress)
        fallen += count
        cut = pool.cut(count) if 0 < count < len(pool.order) else None
        for name, places in pool.places.items():
            shares[name] = Share(name, len(places), int(torch.searchsorted(places, count)), cut)
    return Position(tuple(shares[group.name] for group in ranking.groups), asked, fallen)


def select(ranking: Ranking, amount: Amount, progress: float = 1.0) -> dict[str, Tensor]:
    """Group name -> bool [units], True where the unit stays: the same decision as `position`, unit by unit."""
    keep: dict[str, Tensor] = {}
    for pool in ranking.pools:
        stays = torch.ones(len(pool.order), dtype=torch.bool)
        stays[pool.order[: pool.falls(amount, progress)]] = False
        sizes = [len(places) for places in pool.places.values()]
        keep.update(zip(pool.names, stays.split(sizes), strict=True))
    return keep


def _pool(
    names: tuple[str, ...], scores: Mapping[str, Tensor], empties: frozenset[str], fallen: Mapping[str, Tensor]
) -> Pool:
    keys = torch.cat([scores[name] for name in names])
    last = torch.zeros(len(keys), dtype=torch.bool)
    group = torch.repeat_interleave(torch.arange(len(names)), torch.tensor([len(scores[name]) for name in names]))
    gone = torch.cat([fallen.get(name, torch.zeros(len(scores[name]), dtype=torch.bool)) for name in names])
    keys = torch.where(gone, -torch.inf, keys)
    start = 0
    for name in names:
        size = len(scores[name])
        if size and name not in empties:
            # the last of equal maxima: the one that ties by position would let fall last
            best = size - 1 - int(keys[start : start + size].flip(0).argmax())
            last[start + best] = True
        start += size
    exempt = int(last.sum())
    order = torch.argsort(torch.where(last, torch.inf, keys), stable=True)
    ranked_group = group[order]
    places = {name: torch.nonzero(ranked_group == i).flatten() for i, name in enumerate(names)}
    return Pool(names, order, keys[order], exempt, int((gone & ~last).sum()), places)
