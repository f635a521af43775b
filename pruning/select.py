"""Which units fall. One ranking answers every amount: the preview's slider and the rounds of a run both ask it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pruning.amounts import Amount, Sorted
from pruning.scopes import Competition, Scope
from pruning.units import UnitGroup


@dataclass(frozen=True, eq=False)
class Pools:
    """Pools of one size, each with its units in the order in which they fall.

    `order` int64 [pools, size] are positions in the concatenation of the named groups; `scores` float32 follow that
    order, in units of each group's `divisors`. The first `gone` [pools] of a pool have fallen before and stay fallen;
    the last `exempt` [pools] never fall. `places[name]` int64, ascending, are the ranks that the group's units hold,
    where groups share a pool.
    """

    names: tuple[str, ...]
    order: Tensor
    scores: Tensor
    gone: Tensor
    exempt: Tensor
    divisors: Mapping[str, float]
    highest: float
    places: Mapping[str, Tensor]

    @property
    def size(self) -> int:
        return self.order.shape[1]

    @cached_property
    def _all(self) -> Tensor:
        """The scores of all units, the exempt ones in their place."""
        return self.scores.sort(dim=1).values

    @cached_property
    def _may_fall(self) -> Tensor:
        """The scores with the exempt out of every amount's reach."""
        ranks = torch.arange(self.size)
        keys = torch.where(ranks >= self.size - self.exempt[:, None], torch.inf, self.scores)
        return torch.where(ranks < self.gone[:, None], -torch.inf, keys)

    def _sorted(self, ascending: Callable[[], Tensor]) -> Sorted:
        return Sorted(self.names, len(self.order), self.size, self.highest, ascending)

    def asked(self, amount: Amount, progress: float) -> Tensor:
        """How many units of each pool the amount asks for at this progress in [0, 1]."""
        return (progress * amount.falls(self._sorted(lambda: self._all)).double()).round().long()

    def falls(self, amount: Amount, progress: float) -> Tensor:
        """How many units of each pool have fallen: as asked, but for the exempt and those already gone."""
        asked = (progress * amount.falls(self._sorted(lambda: self._may_fall)).double()).round().long()
        return torch.minimum(torch.maximum(asked, self.gone), self.size - self.exempt)

    def cut(self, counts: Tensor, name: str) -> float | None:
        """The group's lowest score that stays, the exempt aside, or theirs if all others fall. None for many pools."""
        count = int(counts[0])
        if len(counts) > 1 or not 0 < count < self.size:
            return None
        exempt = self.scores[0, self.size - int(self.exempt[0]) :]
        lowest = self.scores[0, count] if count < self.size - int(self.exempt[0]) else exempt.max()
        return float(lowest) * self.divisors[name]

    def fallen(self, counts: Tensor, name: str) -> int:
        """How many units of the group fall when so many of each pool do."""
        return int(torch.searchsorted(self.places[name], int(counts[0])) if self.places else counts.sum())


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
class Share:
    """What one group keeps: units in all, units fallen, and the score at which its pool is cut.

    Every unit below `cut` has fallen but for the best of each layer; at `cut` itself ties fall by position. `cut` is
    None where nothing falls, and where rows or blocks of the layer are each cut at a score of their own.
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
    divisors: Mapping[str, float] | None = None,
) -> Ranking:
    """Sort the units of every pool, lowest score first, ties by position; those that have `fallen` come first of all.

    The best unit of each group is exempt, so that no layer dies unless the amount asks for it by name. Later rounds
    take the `divisors` of the first: a layer that has lost units is not protected, nor the contrary, for having lost.
    """
    own = amount.own_pools(group.name for group in groups)
    competitions = scope.competitions([group for group in groups if group.name not in own])
    for group in groups:
        if group.name in own:
            competitions += scope.competitions([group])
    before = {group.name: torch.zeros(group.units, dtype=torch.bool) for group in groups} | dict(fallen or {})
    best = {g.name: _best(scores[g.name], before[g.name] | (g.name in amount.empties())) for g in groups}
    divided = divisors or {group.name: scope.divisor(scores[group.name]) for group in groups}
    pools = (_pools(competition, scores, divided, best, before) for competition in competitions)
    return Ranking(tuple(groups), tuple(pools))


def position(ranking: Ranking, amount: Amount, progress: float = 1.0) -> Position:
    """How many units of each group fall. Searches only; no mask is made."""
    shares = {group.name: Share(group.name, group.units, 0, None) for group in ranking.groups}
    parts = Counter(name for pools in ranking.pools for name in pools.names)
    asked = fallen = 0
    for pools in ranking.pools:
        counts = pools.falls(amount, progress)
        asked += int(pools.asked(amount, progress).sum())
        fallen += int(counts.sum())
        for name in pools.names:
            more = shares[name].fallen + pools.fallen(counts, name)
            cut = pools.cut(counts, name) if parts[name] == 1 else None
            shares[name] = Share(name, shares[name].units, more, cut)
    return Position(tuple(shares[group.name] for group in ranking.groups), asked, fallen)


def select(ranking: Ranking, amount: Amount, progress: float = 1.0) -> dict[str, Tensor]:
    """Group name -> bool [units], True where the unit stays: the same decision as `position`, unit by unit."""
    keep = {group.name: torch.ones(group.units, dtype=torch.bool) for group in ranking.groups}
    for pools in ranking.pools:
        counts = pools.falls(amount, progress)
        fallen = pools.order[torch.arange(pools.size) < counts[:, None]] if len(counts) > 1 else _first(pools, counts)
        if len(pools.names) == 1:
            keep[pools.names[0]][fallen] = False
            continue
        stays = torch.cat([keep[name] for name in pools.names])
        stays[fallen] = False
        keep.update(zip(pools.names, stays.split([len(keep[name]) for name in pools.names]), strict=True))
    return keep


def _first(pools: Pools, counts: Tensor) -> Tensor:
    return pools.order[0, : int(counts[0])]


def _best(scores: Tensor, lost: Tensor) -> Tensor:
    """bool [units]: True at the unit that never falls: the best of those that are not `lost` [units], if there are any.

    Of equal maxima it is the last, which ties by position reach last.
    """
    best = torch.zeros(len(scores), dtype=torch.bool)
    if not bool(lost.all()):
        left = torch.where(lost, -torch.inf, scores)
        best[len(left) - 1 - int(left.flip(0).argmax())] = True
    return best


def _pools(
    competition: Competition,
    scores: Mapping[str, Tensor],
    divided: Mapping[str, float],
    best: Mapping[str, Tensor],
    fallen: Mapping[str, Tensor],
) -> Pools:
    names, members = competition.names, competition.members
    divisors = {name: divided[name] for name in names}
    sizes = [len(scores[name]) for name in names]
    never = torch.cat([best[name] for name in names])
    before = torch.cat([fallen[name] for name in names])
    # divided only where there is something to divide by: x / 1.0 is x, but costs a pass over all scores
    keys = torch.cat([scores[n] if divisors[n] == 1.0 else (scores[n].double() / divisors[n]).float() for n in names])
    keys = torch.where(before, -torch.inf, keys)
    highest = float(keys.max())
    exempt, gone = never[members], before[members]
    within = torch.argsort(torch.where(exempt, torch.inf, keys[members]), dim=1, stable=True)
    order = members.gather(1, within)
    places: dict[str, Tensor] = {}
    if len(names) > 1:
        of = torch.repeat_interleave(torch.arange(len(names)), torch.tensor(sizes))[order[0]]
        places = {name: torch.nonzero(of == i).flatten() for i, name in enumerate(names)}
    return Pools(names, order, keys[order], gone.sum(dim=1), exempt.sum(dim=1), divisors, highest, places)
