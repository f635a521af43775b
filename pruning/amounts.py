"""How much falls? One class an amount, one line in the table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from pruning.errors import RecipeError


class Amount(Protocol):
    """Says how many units of a pool fall, given the pool's scores in ascending order."""

    def falls(self, pool: tuple[str, ...], scores: Tensor, units: int) -> int:
        """`pool` names its groups; `scores` float32, ascending, are of those that may fall; `units` counts all."""
        ...

    def own_pools(self) -> frozenset[str]:
        """Groups that leave the scope's pools to compete among themselves: they have an amount of their own."""
        ...

    def empties(self) -> frozenset[str]:
        """Groups that were asked, by name, to lose all their units."""
        ...


@dataclass(frozen=True)
class Sparsity:
    """The share of units that falls: exactly round(share · n) of n units of each pool, ties by position."""

    share: float = 0.5
    """0 keeps everything, 1 drops everything."""

    def __post_init__(self) -> None:
        _require_share("amount.share", self.share)

    def falls(self, pool: tuple[str, ...], scores: Tensor, units: int) -> int:
        return round(self.share * units)

    def own_pools(self) -> frozenset[str]:
        return frozenset()

    def empties(self) -> frozenset[str]:
        return frozenset()


@dataclass(frozen=True)
class Threshold:
    """Units with a score below the value fall; a score equal to it stays."""

    value: float = 0.0
    """In the criterion's own units: for magnitude p=1 on weights, the smallest |w| that stays."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value >= 0):
            raise RecipeError(f"amount.value is {self.value}; a threshold is a number of at least 0")

    def falls(self, pool: tuple[str, ...], scores: Tensor, units: int) -> int:
        # compared in float64, so that a threshold read off a page is not rounded to float32 first
        return int(torch.searchsorted(scores.double(), torch.tensor(self.value, dtype=torch.float64)))

    def own_pools(self) -> frozenset[str]:
        return frozenset()

    def empties(self) -> frozenset[str]:
        return frozenset()


@dataclass(frozen=True)
class PerLayer:
    """A sparsity set by hand for some layers; the others follow `rest`."""

    shares: Mapping[str, float] = field(default_factory=dict[str, float])
    """Layer name -> share of its units that falls."""
    rest: Sparsity | Threshold = field(default_factory=lambda: Sparsity(0.0))
    """What the layers that are not named lose."""

    def __post_init__(self) -> None:
        for layer, share in self.shares.items():
            _require_share(f"amount.shares.{layer}", share)

    def __hash__(self) -> int:
        return hash((tuple(sorted(self.shares.items())), self.rest))

    def falls(self, pool: tuple[str, ...], scores: Tensor, units: int) -> int:
        if len(pool) == 1 and pool[0] in self.shares:
            return round(self.shares[pool[0]] * units)
        return self.rest.falls(pool, scores, units)

    def own_pools(self) -> frozenset[str]:
        return frozenset(self.shares)

    def empties(self) -> frozenset[str]:
        return frozenset(layer for layer, share in self.shares.items() if share == 1.0)


def _require_share(where: str, share: float) -> None:
    if not 0.0 <= share <= 1.0:  # NaN fails too
        raise RecipeError(f"{where} is {share}; a share lies between 0 and 1")


AMOUNTS: dict[str, type[Amount]] = {"sparsity": Sparsity, "threshold": Threshold, "per_layer": PerLayer}
