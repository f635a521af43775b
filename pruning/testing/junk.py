"""Whether a group knows all that writes its units and all that reads them, tried with random values in their place."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from pruning.model.parameter_sharing import shared_parameters
from pruning.model.surgery import masked_copy
from pruning.model.units import Keep, Piece, UnitGroup, masks_of

SIZE = 10.0
"""Of the junk: larger than weights are, so that it is seen."""


@torch.no_grad()
def junked_copy(model: nn.Module, groups: Sequence[UnitGroup], keep: Keep, junk_in: Sequence[Piece]) -> nn.Module:
    """A copy in which the units that do not stay are zero, but for random junk in some of their pieces.

    Where these pieces read the units nothing may change, for what they read is zero. Where one of them writes them,
    neither may anything change, for nobody reads what it writes. In float64 the output is that of the masked network to
    the last bit then. A value that lies in another piece too stays zero, and so does a tensor that several layers
    share: it may write here and read there.

    Args:
        model: The network; it stays as it is.
        groups: Of the network's units.
        keep: Group name -> bool [units], True where the unit stays.
        junk_in: The pieces of these groups that are to hold junk where their units do not stay.

    Returns:
        The copy.
    """
    draw = torch.Generator().manual_seed(0)
    chosen = [replace(group, ranked=tuple(p for p in group.pieces if p in junk_in), follows=()) for group in groups]
    others = [replace(group, ranked=tuple(p for p in group.pieces if p not in junk_in), follows=()) for group in groups]
    copied, stay_zero = masked_copy(model, groups, keep), masks_of(others, keep, model)
    shared = shared_parameters(model)
    for name, stays in masks_of(chosen, keep, model).items():
        if name in shared:
            continue
        values = copied.get_parameter(name)
        junk = SIZE * torch.randn(values.shape, generator=draw, dtype=torch.float64).to(values)
        free = ~stays & stay_zero[name] if name in stay_zero else ~stays
        values.copy_(torch.where(free, junk, values))
    return copied
