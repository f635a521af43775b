"""Who competes with whom? One class a scope, one line in the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol

from pruning.options.constraints import Between, check

if TYPE_CHECKING:
    from torch import Tensor

    from pruning.model.units import UnitGroup


@dataclass(frozen=True, eq=False)
class Competition:
    """Pools of one size.

    `members` int64 [pools, size] are positions in the concatenation of the named groups' units.
    """

    names: tuple[str, ...]
    members: Tensor


class Scope(Protocol):
    """Says who shares a pool: units are pruned lowest score first within their pool.

    `within_rows` says that units of one row of a weight compete, so that it takes units that lie in rows.
    """

    within_rows: ClassVar[bool]

    def competitions(self, groups: Sequence[UnitGroup]) -> list[Competition]:
        """Pools in which each unit of the groups is once."""
        ...

    def divisor(self, scores: Tensor) -> float:
        """What a group's scores [units] are divided by before they are compared with those of other groups."""
        ...


@dataclass(frozen=True)
class Global:
    """All units of the model compete with one another."""

    normalise: Literal["none", "mean", "l2", "max"] = "none"
    """Divides each layer's scores by their mean |score|, L2 norm or largest |score|: all layers then compare."""

    within_rows: ClassVar[bool] = False

    def competitions(self, groups: Sequence[UnitGroup]) -> list[Competition]:
        import torch

        units = sum(group.units for group in groups)
        return [Competition(tuple(group.name for group in groups), torch.arange(units)[None])] if groups else []

    def divisor(self, scores: Tensor) -> float:
        if self.normalise == "none" or not len(scores):
            return 1.0
        sizes = scores.double().abs()
        found = {"mean": sizes.mean(), "l2": sizes.norm(), "max": sizes.max()}[self.normalise]
        return float(found) or 1.0  # where all scores are zero they stay so


@dataclass(frozen=True)
class WithinLayer:
    """The units of each layer compete among themselves; every layer loses the same share."""

    within_rows: ClassVar[bool] = False

    def competitions(self, groups: Sequence[UnitGroup]) -> list[Competition]:
        import torch

        return [Competition((group.name,), torch.arange(group.units)[None]) for group in groups]

    def divisor(self, scores: Tensor) -> float:
        return 1.0


@dataclass(frozen=True)
class WithinRow:
    """The units of each output row of a weight compete among themselves.

    (Per output, as Wanda compares: Sun et al. 2023, arXiv 2306.11695.) Rows are the weight's dimension 0 as it is
    stored: in a transposed convolution an input, in a layer that is not torch's whatever the layer makes of it.
    """

    within_rows: ClassVar[bool] = True

    def competitions(self, groups: Sequence[UnitGroup]) -> list[Competition]:
        import torch

        return [
            Competition((group.name,), torch.arange(group.units).reshape(group.layout[0], -1))
            for group in groups
            if group.units
        ]

    def divisor(self, scores: Tensor) -> float:
        return 1.0


@dataclass(frozen=True)
class WithinBlocks:
    """Each `of` neighbours along a row's inputs compete among themselves: 2:4 is `of` 4 with sparsity 0.5.

    (N:M sparsity: Mishra et al. 2021, arXiv 2104.08378.) In a convolution neighbours are input channels at one position
    of the kernel. Where the inputs are no multiple of `of`, the rest of a row competes among itself. Rows are the
    weight's dimension 0 as it is stored and neighbours lie along dimension 1, also where a layer means it otherwise.
    """

    of: Annotated[int, Between(2, 64)] = 4
    """M, the size of a block."""

    within_rows: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self, "scope")

    def competitions(self, groups: Sequence[UnitGroup]) -> list[Competition]:
        import torch

        found: list[Competition] = []
        for group in groups:
            along = torch.arange(group.units).reshape(group.layout).movedim(1, -1)
            rows = along.reshape(-1, group.layout[1])
            whole = group.layout[1] // self.of * self.of
            parts = [rows[:, :whole].reshape(-1, self.of), rows[:, whole:]]
            found += [Competition((group.name,), part) for part in parts if part.numel()]
        return found

    def divisor(self, scores: Tensor) -> float:
        return 1.0


SCOPES: dict[str, type[Scope]] = {"global": Global, "layer": WithinLayer, "row": WithinRow, "blocks": WithinBlocks}
