"""Units and unit groups: what lives or dies together, and how a decision about units becomes masks on tensors."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Keep = Mapping[str, Tensor]
"""Group name -> bool [units], True where the unit stays."""

Masks = dict[str, Tensor]
"""Parameter name -> bool of the parameter's shape, True where the value stays. Parameters not named are whole."""


class Piece(Protocol):
    """The part of one tensor that a group's units own."""

    @property
    def param(self) -> str: ...

    def owners(self, shape: Sequence[int]) -> Tensor:
        """The unit that owns each value of the tensor, −1 where none does: int64, broadcastable to `shape`."""
        ...

    def sums(self, values: Tensor, units: int) -> Tensor:
        """Sum of float32 values of the tensor's shape over each unit [units], the same every time on every device."""
        ...


@dataclass(frozen=True, eq=False)
class Slice:
    """Unit i owns `index[i]` along dimension `dim` of the tensor `param`; `index` is int64 [units, width]."""

    param: str
    dim: int
    index: Tensor

    def owners(self, shape: Sequence[int]) -> Tensor:
        units, width = self.index.shape
        along = torch.full((shape[self.dim],), -1)
        along[self.index.flatten().cpu()] = torch.arange(units).repeat_interleave(width)
        return along.reshape([-1 if dim == self.dim else 1 for dim in range(len(shape))])

    def sums(self, values: Tensor, units: int) -> Tensor:
        # the other dimensions first: far fewer values are left to gather
        rows = values.movedim(self.dim, 0).flatten(1).sum(dim=1) if values.dim() > 1 else values
        return rows[self.index.to(rows.device)].sum(dim=1)


@dataclass(frozen=True)
class Tiles:
    """Units are tiles of `rows` x `columns` values of the tensor as a matrix [out, rest], row by row of tiles.

    Tiles of 1 x 1 are single weights. At the lower and right edge a tile may be smaller.
    """

    param: str
    rows: int = 1
    columns: int = 1

    def grid(self, shape: Sequence[int]) -> tuple[int, int]:
        """Tiles down and across."""
        return -(-shape[0] // self.rows), -(-math.prod(shape[1:]) // self.columns)

    def owners(self, shape: Sequence[int]) -> Tensor:
        down = torch.arange(shape[0]) // self.rows
        across = torch.arange(math.prod(shape[1:])) // self.columns
        return (down[:, None] * self.grid(shape)[1] + across).reshape(tuple(shape))

    def sums(self, values: Tensor, units: int) -> Tensor:
        matrix = values.reshape(len(values), -1)
        down, across = self.grid(values.shape)
        # zeros fill up the edge; to add up owner by owner (index_add_) is not deterministic on CUDA
        filled = F.pad(matrix, (0, across * self.columns - matrix.shape[1], 0, down * self.rows - len(matrix)))
        return filled.reshape(down, self.rows, across, self.columns).sum(dim=(1, 3)).flatten()


@dataclass(frozen=True)
class Whole:
    """The unit at position `unit` owns all of the tensor `param`."""

    param: str
    unit: int

    def owners(self, shape: Sequence[int]) -> Tensor:
        return torch.full([1] * len(shape), self.unit)

    def sums(self, values: Tensor, units: int) -> Tensor:
        total = torch.zeros(units, device=values.device)
        total[self.unit] = values.sum()
        return total


@dataclass(frozen=True)
class SkippableBlock:
    """A unit that is a module of its own: its path, and the class of `narrow_layers` that it becomes once it is gone.

    `becomes` is empty where it can only be set to zero.
    """

    path: str
    becomes: str = ""


@dataclass(frozen=True)
class SizeAttribute:
    """A whole number that a module of the network's own keeps of its size: the module's path, the attribute's name, and
    how much of it is each unit's. `index` says which entry it is where the attribute is a tuple or a list, else −1.
    """

    module: str
    name: str
    each: int
    index: int = -1

    def shrink(self, model: nn.Module, units: int) -> None:
        """Take off what so many units have of it."""
        owner = model.get_submodule(self.module)
        value = getattr(owner, self.name)
        if self.index < 0:
            setattr(owner, self.name, value - self.each * units)
        else:
            entries = [*value]
            entries[self.index] -= self.each * units
            setattr(owner, self.name, type(value)(entries))


@dataclass(frozen=True, eq=False, repr=False)
class UnitGroup:
    """All units of one kind that form one row of the layer table, with every piece that is pruned with each unit.

    `name` is the row that gives the group its name and `members` are all rows that hold these units (more than one when
    residual additions couple them). `layout` says how the units lie: (out, in, ...) for single weights, (units,) where
    they lie in no matrix. The values of `ranked` rank the units; `follows` is pruned with them: bias, norm, the next
    layers' columns. `sizes` are numbers in modules of the network's own that go down with units that are removed;
    `fixed` says why units of a granularity that removes them can only be set to zero here; `attends` are the modules
    that multiply the units, which are heads, with one another; `blocks` are the units, in their order, where each is a
    whole module.
    """

    name: str
    members: tuple[str, ...]
    layout: tuple[int, ...]
    ranked: tuple[Piece, ...]
    follows: tuple[Piece, ...] = ()
    sizes: tuple[SizeAttribute, ...] = ()
    fixed: str = ""
    attends: tuple[str, ...] = ()
    blocks: tuple[SkippableBlock, ...] = ()

    def __repr__(self) -> str:
        """The layers and tensors that are pruned together, without their numbers."""
        layers = ", ".join(self.members)
        return f"UnitGroup {self.name}: {self.units} units of {layers}; pruned with each: {self._tensors()}"

    def _repr_html_(self) -> str:
        rows = {"units": str(self.units), "layers": ", ".join(self.members), "pruned with each": self._tensors()}
        cells = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in rows.items()
        )
        return f"<table><caption>{escape(self.name)}</caption><tbody>{cells}</tbody></table>"

    def _tensors(self) -> str:
        return ", ".join(dict.fromkeys(piece.param for piece in self.pieces))

    @property
    def units(self) -> int:
        return math.prod(self.layout)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return self.ranked + self.follows

    @property
    def params(self) -> tuple[str, ...]:
        """The tensors whose values rank the units, each once."""
        return tuple(dict.fromkeys(piece.param for piece in self.ranked))

    @property
    def of_weights(self) -> bool:
        """Whether every unit is a single weight."""
        return all(isinstance(piece, Tiles) and piece.rows == piece.columns == 1 for piece in self.ranked)

    def sums(self, values: Mapping[str, Tensor]) -> Tensor:
        """Sum of `values[param]` (each of its parameter's shape) over what ranks every unit: float32 [units].

        Weights that are their own units come back flat. Coupled layers are added up.
        """
        if self.of_weights:
            return values[self.ranked[0].param].detach().float().flatten()
        total = torch.zeros(self.units, device=values[self.ranked[0].param].device)
        for piece in self.ranked:
            total += piece.sums(values[piece.param].detach().float(), self.units)
        return total

    def means(self, values: Mapping[str, Tensor]) -> Tensor:
        """Mean of `values[param]` over what ranks every unit: float32 [units]."""
        counts = self.sums({name: torch.ones_like(values[name], dtype=torch.float32) for name in self.params})
        return self.sums(values) / counts

    def owned(self, shapes: Mapping[str, Sequence[int]]) -> Tensor:
        """How many values are pruned with every unit: int64 [units]. `shapes` are of the tensors by name."""
        if self.of_weights and not self.follows:
            return torch.ones(self.units, dtype=torch.long)
        total = torch.zeros(self.units, dtype=torch.long)
        for piece in self.pieces:
            owners = piece.owners(shapes[piece.param]).expand(tuple(shapes[piece.param])).flatten()
            total += torch.bincount(owners[owners >= 0], minlength=self.units)
        return total


def parameter_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Parameter name -> its shape; a shared parameter under each of its names."""
    return {name: tuple(each.shape) for name, each in model.named_parameters(remove_duplicate=False)}


def masks_of(groups: Iterable[UnitGroup], keep: Keep, model: nn.Module) -> Masks:
    """As `masks_for`, of the parameters of the model."""
    return masks_for(groups, keep, parameter_shapes(model))


def masks_for(groups: Iterable[UnitGroup], keep: Keep, shapes: Mapping[str, Sequence[int]]) -> Masks:
    """The masks that a decision about units makes on parameters of these shapes.

    A value stays only if every unit that owns it stays.
    """
    masks: Masks = {}
    for group in groups:
        stays = keep[group.name]
        if bool(stays.all()):
            continue
        for piece in group.pieces:
            if piece.param not in shapes:
                continue  # a norm's running statistics: removed by surgery, harmless while its scale and shift are zero
            mask = _mask(piece, stays, shapes[piece.param])
            masks[piece.param] = masks[piece.param] & mask if piece.param in masks else mask
    return masks


def owned_values(groups: Iterable[UnitGroup], shapes: Mapping[str, Sequence[int]]) -> int:
    """How many values of the parameters of these shapes belong to units: all that could be pruned."""
    free: dict[str, list[Tensor]] = {}  # along each dimension, the places of which no unit owns the slice
    for piece in (piece for group in groups for piece in group.pieces if piece.param in shapes):
        along = free.setdefault(piece.param, [torch.ones(length, dtype=torch.bool) for length in shapes[piece.param]])
        if isinstance(piece, Slice):
            along[piece.dim][piece.index.flatten().cpu()] = False
        else:  # tiles and whole tensors leave nothing
            along[0][:] = False
    stay = {param: math.prod(int(places.sum()) for places in along) for param, along in free.items()}
    return sum(math.prod(shapes[param]) - values for param, values in stay.items())


def _mask(piece: Piece, stays: Tensor, shape: Sequence[int]) -> Tensor:
    """Which values of the tensor stay: bool of its shape."""
    if isinstance(piece, Tiles) and piece.rows == piece.columns == 1:
        return stays.reshape(tuple(shape))
    owners = piece.owners(shape).to(stays.device)
    return torch.where(owners < 0, True, stays[owners.clamp(min=0)]).expand(tuple(shape)).contiguous()


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Masks) -> None:
    """Set every value that does not stay to zero, in place. `masked_fill_` and not a product: NaN times 0 is NaN."""
    for name, stays in masks.items():
        parameter = model.get_parameter(name)
        parameter.masked_fill_(~stays.to(parameter.device), 0.0)


def zeroed(values: Tensor, gone: Tensor) -> Tensor:
    """A copy of the values with those that are `gone` set to zero, laid out in memory as they were.

    `masked_fill` lays a convolution of one input channel out anew: all that follows it then takes twice the time.
    """
    return values.clone().masked_fill_(gone, 0.0)


def group_of(groups: Sequence[UnitGroup], layer: str) -> UnitGroup | None:
    """The group that the row belongs to, by its own name or as a member."""
    return next((group for group in groups if layer == group.name or layer in group.members), None)
