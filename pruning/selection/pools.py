"""Units that compete, sorted once: how many of them are pruned is then a search, and which of them one comparison."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pruning.selection.amounts import Amount, SortedPools
from pruning.selection.scopes import Competition


@dataclass(frozen=True, eq=False)
class Pools:
    """Pools of one size, sorted by value; where a unit lies among equals is its position, which is not stored.

    `keys` float32 [pools, size] are what is compared, in units of each group's `divisors`: minus infinity for a unit
    that has been pruned before, infinity for one that is exempt. `ascending` holds the same values, each pool sorted;
    `of_each` those of each group, where several share the one pool. `members` int64 [pools, size] are the positions of
    the keys in the concatenation of the named groups, None where the one pool is just that. The first `gone` [pools] of
    a pool stay pruned and at most `most` [pools] are pruned. `exempt` are the keys of the units that are never pruned,
    each in the pool that `exempt_in` says. `highest` is the groups' highest key, the exempt among them.
    """

    names: tuple[str, ...]
    units: tuple[int, ...]
    keys: Tensor
    ascending: Tensor
    of_each: tuple[Tensor, ...]
    members: Tensor | None
    gone: Tensor
    most: Tensor
    exempt: Tensor
    exempt_in: Tensor
    divisors: Mapping[str, float]
    highest: float

    @property
    def size(self) -> int:
        return self.keys.shape[1]

    @property
    def order(self) -> Tensor:
        """The units in the order in which they are pruned: int64 [pools, size], sorted anew at each call."""
        within = torch.argsort(self.keys, dim=1, stable=True)
        return within if self.members is None else self.members.gather(1, within)

    def asked(self, amount: Amount, progress: float) -> Tensor:
        """How many units of each pool the amount asks for at this progress in [0, 1]."""
        return self._counts(amount, progress, self._below)

    def counts_to_prune(self, amount: Amount, progress: float) -> Tensor:
        """How many units of each pool have been pruned: as asked, but for the exempt and those already gone."""
        asked = self._counts(amount, progress, self._prunable_below)
        return torch.minimum(torch.maximum(asked, self.gone), self.most)

    def _counts(self, amount: Amount, progress: float, below: Callable[[float], Tensor]) -> Tensor:
        counts = amount.counts_to_prune(SortedPools(self.names, len(self.keys), self.size, self.highest, below))
        return (progress * counts.double()).round().long().to(self.keys.device)

    def _prunable_below(self, value: float) -> Tensor:
        return torch.searchsorted(self.ascending, self.ascending.new_full((len(self.keys), 1), value)).flatten()

    def _below(self, value: float) -> Tensor:
        return self._prunable_below(value).index_add_(0, self.exempt_in, (self.exempt < value).long())

    def _cut(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """In each pool, float32 [pools, 1], the key below which all are pruned, and how many equal to it do, [pools,
        1].
        """
        key = self.ascending.gather(1, counts[:, None].clamp(max=self.size - 1))
        return key, counts[:, None] - torch.searchsorted(self.ascending, key)

    def lowest(self, counts: Tensor) -> float | None:
        """The lowest key that stays, the exempt aside, or their highest if all others are pruned. None for many
        pools.
        """
        if len(counts) > 1 or not 0 < (count := int(counts)) < self.size:
            return None
        return float(self.ascending[0, count] if count < int(self.most) else self.exempt.max())

    def pruned(self, counts: Tensor) -> list[int]:
        """How many units of each group are pruned when so many of each pool do."""
        if not self.of_each:
            return [int(counts.sum())]
        key, ties = self._cut(counts)
        below = torch.cat([torch.searchsorted(values, key[0]) for values in self.of_each])
        equal = torch.cat([torch.searchsorted(values, key[0], right=True) for values in self.of_each]) - below
        earlier = equal.cumsum(0) - equal  # ties are pruned group by group
        return (below + (ties[0] - earlier).clamp(min=0).minimum(equal)).tolist()

    def keep(self, counts: Tensor) -> dict[str, Tensor]:
        """Group name -> bool [units], False where a unit is pruned when so many of each pool do."""
        key, ties = self._cut(counts)
        stays = self.keys >= key
        if bool(ties.any()):
            stays &= ~_first(self.keys == key, ties)
        if self.members is None:
            flat = stays.flatten()
        else:
            flat = torch.ones(sum(self.units), dtype=torch.bool, device=stays.device)
            flat[self.members] = stays
        return dict(zip(self.names, flat.split(list(self.units)), strict=True))


def pools_of(
    competition: Competition,
    scores: Mapping[str, Tensor],
    divisors: Mapping[str, float],
    exempt: Mapping[str, int],
    pruned: Mapping[str, Tensor],
) -> Pools:
    """Sort what competes, on the device of the scores.

    `exempt` is the unit of a group that is never pruned, `pruned` bool [units] are those gone before, where there are
    any.
    """
    names = competition.names
    units = tuple(len(scores[name]) for name in names)
    flat = torch.cat([_divided(scores[name], divisors[name]) for name in names])
    gone = torch.cat([_mask(scores[name], pruned.get(name)) for name in names])
    flat.masked_fill_(gone, -torch.inf)
    highest = float(flat.max())
    starts = zip(names, itertools.accumulate(units, initial=0), strict=False)
    never = torch.tensor([start + exempt[name] for name, start in starts if name in exempt], dtype=torch.long)
    never = never.to(flat.device)
    if competition.members.shape == (1, len(flat)):  # all units, in their order
        members, keys, count = None, flat[None], gone.count_nonzero()[None]
        exempt_in, at = never * 0, never
    else:
        members = competition.members.to(flat.device)
        keys, count = flat[members].contiguous(), gone[members].sum(dim=1)
        exempt_in, at = torch.isin(members, never).nonzero(as_tuple=True)
    best = keys[exempt_in, at]
    keys[exempt_in, at] = torch.inf
    return Pools(
        names=names,
        units=units,
        keys=keys,
        ascending=_ascending(keys),
        of_each=tuple(_ascending(part) for part in flat.split(list(units))) if len(names) > 1 else (),
        members=members,
        gone=count,
        most=keys.shape[1] - exempt_in.bincount(minlength=len(keys)),
        exempt=best,
        exempt_in=exempt_in,
        divisors={name: divisors[name] for name in names},
        highest=highest,
    )


def _first(equal: Tensor, count: Tensor) -> Tensor:
    """The first `count` [pools, 1] that are true of each pool: bool [pools, size]."""
    if len(equal) > 1:
        return equal & (equal.cumsum(dim=1, dtype=torch.int32) <= count)
    # to number the units of one large pool takes ten times as long as to find one of them
    last = int(equal[0].nonzero()[int(count) - 1])
    equal[0, last + 1 :] = False
    return equal


def _divided(scores: Tensor, divisor: float) -> Tensor:
    # x / 1.0 is x, but costs a pass over all scores
    return scores if divisor == 1.0 else (scores.double() / divisor).float()


def _mask(scores: Tensor, gone: Tensor | None) -> Tensor:
    """bool [units]: which of the group's units have been pruned before."""
    return torch.zeros_like(scores, dtype=torch.bool) if gone is None else gone.to(scores.device)


def _ascending(values: Tensor) -> Tensor:
    """The values sorted along their last dimension: on the CPU by numpy, many times as fast as torch."""
    return torch.from_numpy(np.sort(values.numpy())) if values.device.type == "cpu" else values.sort().values
