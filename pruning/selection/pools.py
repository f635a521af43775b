"""Pools: units that compete, sorted once. How many are pruned is then a search, which of them one comparison."""

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
    """Pools of one size. In each, units with the lowest keys are pruned first; of equal keys, the first by position.

    Attributes:
        names: The groups whose units compete here.
        units: How many units each group has.
        keys: float32 [pools, size]: a unit's score divided by its group's divisor. Minus infinity for a unit that an
            earlier round pruned, infinity for one that is exempt.
        ascending: The keys, each pool sorted.
        of_each: The sorted keys of each group, where several groups share one pool; else empty.
        members: int64 [pools, size]: where each unit stands when the groups are concatenated. None where there is one
            pool and it holds all units in that order.
        gone: int64 [pools]: units that earlier rounds pruned.
        most: int64 [pools]: units that may be pruned, all but the exempt.
        exempt: float32 [exempt]: keys of the units that are never pruned, before these became infinity.
        exempt_in: int64 [exempt]: the pool that each exempt unit is in.
        divisors: Group name -> what its scores were divided by.
        highest: The highest key, also of exempt units.
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
        """The units in the order in which they are pruned: int64 [pools, size]. Not stored: each call sorts again."""
        within = torch.argsort(self.keys, dim=1, stable=True)
        return within if self.members is None else self.members.gather(1, within)

    def asked(self, amount: Amount, progress: float) -> Tensor:
        """How many units of each pool the amount asks for at this progress in [0, 1]."""
        return self._counts(amount, progress, self._below)

    def counts_to_prune(self, amount: Amount, progress: float) -> Tensor:
        """How many units of each pool are pruned at this progress: as asked, but all that are gone and no exempt."""
        asked = self._counts(amount, progress, self._prunable_below)
        return torch.minimum(torch.maximum(asked, self.gone), self.most)

    def _counts(self, amount: Amount, progress: float, below: Callable[[float], Tensor]) -> Tensor:
        counts = amount.counts_to_prune(SortedPools(self.names, len(self.keys), self.size, self.highest, below))
        return (progress * counts.double()).round().long().to(self.keys.device)

    def _prunable_below(self, value: float) -> Tensor:
        """Units of each pool whose key is below the value, without the exempt, whose keys are infinite."""
        return torch.searchsorted(self.ascending, self.ascending.new_full((len(self.keys), 1), value)).flatten()

    def _below(self, value: float) -> Tensor:
        """Units of each pool whose key is below the value, with the exempt."""
        return self._prunable_below(value).index_add_(0, self.exempt_in, (self.exempt < value).long())

    def _cut(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Of each pool the key below which all units are pruned, and how many of those that have this key are.

        `counts` [pools] is how many are pruned in all. Returns float32 and int64, both [pools, 1].
        """
        key = self.ascending.gather(1, counts[:, None].clamp(max=self.size - 1))
        return key, counts[:, None] - torch.searchsorted(self.ascending, key)

    def lowest(self, counts: Tensor) -> float | None:
        """The lowest key that stays, where so many units of the one pool are pruned.

        Exempt units count only where all others are pruned: then it is their highest key. None where there are several
        pools, and where none or all of the units are pruned.
        """
        if len(counts) > 1 or not 0 < (count := int(counts)) < self.size:
            return None
        return float(self.ascending[0, count] if count < int(self.most) else self.exempt.max())

    def pruned(self, counts: Tensor) -> list[int]:
        """How many units of each group are pruned, where so many of each pool are."""
        if not self.of_each:
            return [int(counts.sum())]
        key, ties = self._cut(counts)
        below = torch.cat([torch.searchsorted(values, key[0]) for values in self.of_each])
        equal = torch.cat([torch.searchsorted(values, key[0], right=True) for values in self.of_each]) - below
        earlier = equal.cumsum(0) - equal  # equal keys are pruned group by group
        return (below + (ties[0] - earlier).clamp(min=0).minimum(equal)).tolist()

    def keep(self, counts: Tensor) -> dict[str, Tensor]:
        """Group name -> bool [units], False where a unit is pruned, where so many of each pool are."""
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
    """Sort the units that compete, on the device of the scores.

    All by group name: `exempt` is the one unit of a group that is never pruned, `pruned` bool [units] is True where an
    earlier round pruned the unit. A group may be missing in both.
    """
    names = competition.names
    units = tuple(len(scores[name]) for name in names)
    flat = torch.cat([_divided(scores[name], divisors[name]) for name in names])
    gone = torch.cat([_pruned_before(scores[name], pruned.get(name)) for name in names])
    flat.masked_fill_(gone, -torch.inf)
    highest = float(flat.max())
    starts = zip(names, itertools.accumulate(units, initial=0), strict=False)
    never = torch.tensor([start + exempt[name] for name, start in starts if name in exempt], dtype=torch.long)
    never = never.to(flat.device)
    if competition.members.shape == (1, len(flat)):  # one pool of all units, in their order
        members, keys, gone_in_each = None, flat[None], gone.count_nonzero()[None]
        exempt_in, at = never * 0, never
    else:
        members = competition.members.to(flat.device)
        keys, gone_in_each = flat[members].contiguous(), gone[members].sum(dim=1)
        exempt_in, at = torch.isin(members, never).nonzero(as_tuple=True)
    exempt_keys = keys[exempt_in, at]
    keys[exempt_in, at] = torch.inf
    return Pools(
        names=names,
        units=units,
        keys=keys,
        ascending=_ascending(keys),
        of_each=tuple(_ascending(part) for part in flat.split(list(units))) if len(names) > 1 else (),
        members=members,
        gone=gone_in_each,
        most=keys.shape[1] - exempt_in.bincount(minlength=len(keys)),
        exempt=exempt_keys,
        exempt_in=exempt_in,
        divisors={name: divisors[name] for name in names},
        highest=highest,
    )


def _first(equal: Tensor, count: Tensor) -> Tensor:
    """Of the units of each pool that are True in `equal`, the first `count` [pools, 1]: bool [pools, size].

    May change `equal` in place.
    """
    if len(equal) > 1:
        return equal & (equal.cumsum(dim=1, dtype=torch.int32) <= count)
    # in one large pool, numbering all units takes ten times as long as finding the last of them
    last = int(equal[0].nonzero()[int(count) - 1])
    equal[0, last + 1 :] = False
    return equal


def _divided(scores: Tensor, divisor: float) -> Tensor:
    # dividing by 1 changes nothing, but costs a pass over all scores
    return scores if divisor == 1.0 else (scores.double() / divisor).float()


def _pruned_before(scores: Tensor, pruned: Tensor | None) -> Tensor:
    """bool [units], True where an earlier round pruned the unit; all False where none did."""
    return torch.zeros_like(scores, dtype=torch.bool) if pruned is None else pruned.to(scores.device)


def _ascending(values: Tensor) -> Tensor:
    """The values sorted along their last dimension: on the CPU by numpy, many times as fast as torch."""
    return torch.from_numpy(np.sort(values.numpy())) if values.device.type == "cpu" else values.sort().values
