"""Units and unit groups: what lives or dies together, and how a decision about units becomes masks on tensors."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Keep = Mapping[str, Tensor]
"""Group name -> bool [units], True where the unit stays."""

Masks = dict[str, Tensor]
"""Parameter name -> bool of the parameter's shape, True where the value stays. Parameters not named are whole."""


@dataclass(frozen=True, eq=False)
class Slice:
    """Unit i owns `index[i]` along dimension `dim` of the tensor `param`; `index` is int64 [units, width]."""

    param: str
    dim: int
    index: Tensor


@dataclass(frozen=True, eq=False)
class UnitGroup:
    """All units of one kind that form one row of the layer table, with every slice that falls with each unit.

    `name` is the layer that gives the row its name and `members` are all layers that produce these units (more than one
    when residual additions couple them). `params` are the members' weights, whose values rank the units. Without
    `slices` every weight of `params[0]`, of shape `shape`, is its own unit.
    """

    name: str
    members: tuple[str, ...]
    params: tuple[str, ...]
    shape: tuple[int, ...]
    units: int
    slices: tuple[Slice, ...] = ()

    def sums(self, values: Mapping[str, Tensor]) -> Tensor:
        """Sum of `values[param]` (each of its parameter's shape) over every unit: float32 [units].

        Weights that are their own units come back flat. Coupled producers are added up.
        """
        if not self.slices:
            return values[self.params[0]].detach().float().flatten()
        total = torch.zeros(self.units)
        for piece in self.slices:
            if piece.param in self.params and piece.dim == 0:
                rows = values[piece.param].detach().float().flatten(1).sum(dim=1)
                total = total.to(rows.device) + rows[piece.index.to(rows.device)].sum(dim=1)
        return total


def masks_of(groups: Iterable[UnitGroup], keep: Keep, model: nn.Module) -> Masks:
    """The masks that a decision about units makes. A value stays only if every unit that owns it stays."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    masks: Masks = {}
    for group in groups:
        stays = keep[group.name]
        if bool(stays.all()):
            continue
        if not group.slices:
            masks[group.params[0]] = stays.reshape(group.shape)
            continue
        for piece in group.slices:
            if piece.param not in parameters:
                continue  # a norm's running statistics: removed by surgery, harmless while its scale and shift are zero
            shape = parameters[piece.param].shape
            mask = masks.setdefault(piece.param, torch.ones(shape, dtype=torch.bool, device=stays.device))
            gone = piece.index.to(stays.device)[~stays].flatten()
            mask.index_fill_(piece.dim, gone, value=False)
    return masks


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Masks) -> None:
    """Set every value that does not stay to zero, in place. `masked_fill_` and not a product: NaN times 0 is NaN."""
    for name, stays in masks.items():
        parameter = model.get_parameter(name)
        parameter.masked_fill_(~stays.to(parameter.device), 0.0)


def group_of(groups: Sequence[UnitGroup], layer: str) -> UnitGroup | None:
    """The group that the layer belongs to, by its own name or as a member."""
    return next((group for group in groups if layer == group.name or layer in group.members), None)
