"""How much is pruned? One class an amount, one line in the table."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pruning.errors import RecipeError
from pruning.options.constraints import Between, Share, check
from pruning.selection.goal import CostKind, Goal, LargestDrop, ShareLeft

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class SortedPools:
    """What competes: `names` of the groups, in `pools` pools of `size` units, and the groups' `highest` score.

    `below` says how many scores of each pool are smaller than a float32 value: int64 [pools].
    """

    names: tuple[str, ...]
    pools: int
    size: int
    highest: float
    below: Callable[[float], Tensor]


class Cost(Protocol):
    """What is left of the network when an amount is pruned, as a share of the dense one, in [0, 1]."""

    def __call__(self, of: Measure, amount: Amount) -> float: ...


class Amount(Protocol):
    """Says how many units of a pool are pruned, given where the pool's scores lie."""

    @property
    def removes(self) -> str:
        """What is only met by removing units (bytes, MACs); empty where units may also be set to zero."""
        ...

    def counts_to_prune(self, pools: SortedPools) -> Tensor:
        """How many units are pruned in each pool: int64 [pools]."""
        ...

    def own_pools(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the groups that leave the scope's common pool: they have an amount of their own."""
        ...

    def empties(self) -> frozenset[str]:
        """Groups that were asked, by name, to lose all their units."""
        ...

    def settled(self, cost: Cost) -> Amount:
        """The amount with everything known that depends on the network's costs."""
        ...


class _Common:
    """What holds for most amounts."""

    @property
    def removes(self) -> str:
        return ""

    def own_pools(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset()

    def empties(self) -> frozenset[str]:
        return frozenset()


@dataclass(frozen=True)
class Sparsity(_Common):
    """The share of units that is pruned: exactly round(share · n) of n units of each pool, ties by position."""

    share: Share = 0.5
    """0 keeps everything, 1 drops everything."""

    def __post_init__(self) -> None:
        check(self, "amount")

    def counts_to_prune(self, pools: SortedPools) -> Tensor:
        return _each(pools, round(self.share * pools.size))

    def settled(self, cost: Cost) -> Sparsity:
        return self


@dataclass(frozen=True)
class Threshold(_Common):
    """Units with a score below the value are pruned; a score equal to it stays."""

    value: float = 0.0
    """In the criterion's own units, or as the scope normalises them: for magnitude the smallest |w| that stays."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise RecipeError(f"amount.value is {self.value}; a threshold is a finite number")

    def counts_to_prune(self, pools: SortedPools) -> Tensor:
        return _below(pools, self.value)

    def settled(self, cost: Cost) -> Threshold:
        return self


@dataclass(frozen=True)
class Zeros(_Common):
    """Units whose score is not above 0: with criterion magnitude those that training has made 0.

    So the regularisers hard_concrete and movement say how much is pruned: a unit whose gate is closed is 0. On a
    network that has no such units nothing is pruned.
    """

    def counts_to_prune(self, pools: SortedPools) -> Tensor:
        return _below(pools, SMALLEST_NORMAL)

    def settled(self, cost: Cost) -> Zeros:
        return self


SMALLEST_NORMAL = 2.0**-126
"""The smallest float32 above 0 of full precision; what is below counts as 0."""


@dataclass(frozen=True)
class RelativeThreshold(_Common):
    """Units below a share of their layer's highest score are pruned: the cut follows each layer's own scale.

    Where no score of a layer is above 0 nothing is pruned.
    """

    share: Share = 0.1
    """Of the layer's highest score; a score equal to the product stays."""

    def __post_init__(self) -> None:
        check(self, "amount")

    def counts_to_prune(self, pools: SortedPools) -> Tensor:
        return _below(pools, self.share * pools.highest) if pools.highest > 0 else _each(pools, 0)

    def own_pools(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset(names)

    def settled(self, cost: Cost) -> RelativeThreshold:
        return self


Measure = Literal["parameters", "bytes", "macs"]


@dataclass(frozen=True)
class Budget(_Common):
    """The smallest sparsity that leaves at most this share of the dense network, found by bisection over the counts.

    Parameters are those that are not pruned; bytes (of the file) and MACs get fewer only where units are removed.
    """

    of: Measure = "parameters"
    """What is limited."""
    share: Share = 0.5
    """How much of the dense network's may be left."""

    def __post_init__(self) -> None:
        check(self, "amount")

    @property
    def removes(self) -> str:
        return {"parameters": "", "bytes": "bytes", "macs": "MACs"}[self.of]

    def counts_to_prune(self, pools: SortedPools) -> Tensor:
        raise TypeError("a budget says how many are pruned once it is settled")

    def settled(self, cost: Cost) -> Sparsity:
        return Sparsity(_bisected(lambda share: cost(self.of, Sparsity(share)), self, "amount"))


@dataclass(frozen=True)
class Automatic(_Common):
    """A sparsity for each layer, found by a search that the run begins with.

    The highest score within a budget or, without one, the smallest cost with at most so much lost. Every cut that is
    tried is made of the dense network in one shot and repaired as the recipe says; nothing is trained for it. The run
    goes on with the sparsities that were found, and scope layer.
    """

    cost: CostKind = "parameters"
    """What becomes small: parameters that are not zero, bytes of the file, MACs, or the time of a pass (latency)."""
    budget: ShareLeft | None = None
    """How much of the dense network's cost may be left: 0.5 is half of it."""
    max_drop: LargestDrop | None = 0.01
    """How much worse than dense the validation score may be, in the unit of the metric: 0.01 is a point of accuracy."""
    seconds: Annotated[int, Between(1, 86_400)] = 150
    """About how long the search may take: on a slow network fewer cuts are tried."""
    batch: Annotated[int, Between(1, 65_536)] = 1
    """Samples in a pass, where the cost is latency."""

    def __post_init__(self) -> None:
        check(self, "amount")
        Goal(self.cost, self.budget, self.max_drop)  # what a search cannot look for, a recipe cannot ask for

    @property
    def goal(self) -> Goal:
        """What the search is for."""
        return Goal(self.cost, self.budget, self.max_drop)

    def counts_to_prune(self, pools: SortedPools) -> Tensor:
        raise TypeError("an automatic amount says how many are pruned once a run has found it")

    def settled(self, cost: Cost) -> Amount:
        raise RecipeError(
            "amount automatic is not known before a run has searched for it: carry the recipe out, search first and "
            "take the recipe that is found, or choose a sparsity"
        )


Rest = Sparsity | Threshold | RelativeThreshold | Zeros | Budget


@dataclass(frozen=True)
class PerLayer:
    """A sparsity set by hand for some layers; the others follow `rest`."""

    shares: Mapping[str, Share] = field(default_factory=dict[str, float])
    """Layer name -> share of its units that is pruned."""
    rest: Rest = field(default_factory=lambda: Sparsity(0.0))
    """What the layers that are not named lose."""

    def __post_init__(self) -> None:
        check(self, "amount")
        if isinstance(self.rest, Automatic):
            raise RecipeError(
                "amount.rest is automatic, and a search chooses for all layers: take back what is set for single ones, "
                "or choose another amount for the rest"
            )

    def __hash__(self) -> int:
        return hash((tuple(sorted(self.shares.items())), self.rest))

    @property
    def removes(self) -> str:
        return self.rest.removes

    def counts_to_prune(self, pools: SortedPools) -> Tensor:
        if len(pools.names) == 1 and pools.names[0] in self.shares:
            return Sparsity(self.shares[pools.names[0]]).counts_to_prune(pools)
        return self.rest.counts_to_prune(pools)

    def own_pools(self, names: Iterable[str]) -> frozenset[str]:
        return frozenset(self.shares) | self.rest.own_pools(names)

    def empties(self) -> frozenset[str]:
        return frozenset(layer for layer, share in self.shares.items() if share == 1.0)

    def settled(self, cost: Cost) -> PerLayer:
        if not isinstance(self.rest, Budget):
            return self
        budget = self.rest
        share = _bisected(lambda share: cost(budget.of, replace(self, rest=Sparsity(share))), budget, "amount.rest")
        return replace(self, rest=Sparsity(share))


def n_of_m(keep: int, of: int) -> float:
    """The sparsity that, with scope blocks of `of`, leaves `keep` survivors in each block: 2:4 is n_of_m(2, of=4)."""
    return 1.0 - keep / of


STEPS = 2**20  # the finest sparsity that a budget looks for is a millionth


def _bisected(left: Left, budget: Budget, where: str) -> float:
    """The smallest sparsity, to a millionth, that leaves no more than the budget, which stands at `where`."""
    if left(0.0) <= budget.share:
        return 0.0  # to remove the first rows of an embedding may make a file longer, by the table of those left
    floor = left(1.0)
    if floor > budget.share:
        raise RecipeError(
            f"{where}.share is {budget.share:g} of the {budget.of}, and with one unit in each layer {floor:.4g} of "
            "them are left: ask for more, keep fewer layers whole, or choose another granularity"
        )
    # the higher the sparsity the less is left: along the grid False turns to True once, at the latest at its end
    return bisect_left(range(STEPS), True, key=lambda step: left(step / STEPS) <= budget.share) / STEPS


class Left(Protocol):
    def __call__(self, share: float, /) -> float: ...


def _each(pools: SortedPools, count: int) -> Tensor:
    import torch

    return torch.full((pools.pools,), count)


def _below(pools: SortedPools, value: float) -> Tensor:
    # the first float32 that is not below the value: a threshold read off a page is compared as it is, not rounded
    import torch

    first = torch.tensor(value, dtype=torch.float32)
    if float(first) < value:
        first = torch.nextafter(first, torch.tensor(torch.inf))
    return pools.below(float(first))


AMOUNTS: dict[str, type[Amount]] = {
    "sparsity": Sparsity,
    "threshold": Threshold,
    "relative_threshold": RelativeThreshold,
    "zeros": Zeros,
    "per_layer": PerLayer,
    "budget": Budget,
    "automatic": Automatic,
}
