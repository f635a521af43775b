"""What a granularity finds in a network, as plain values to compare with what was worked out by hand."""

import torch
from torch import Tensor, nn

from pruning.granularities import Channels, Granularity
from pruning.model.surgery import masked_copy, remove_units
from pruning.model.trial import compute_the_same

Owned = dict[tuple[str, int], list[list[int]]]
"""(tensor, dimension) -> what each unit owns."""


def each(index: list[list[int]], *places: tuple[str, int]) -> Owned:
    """The same slices of every one of these tensors."""
    return dict.fromkeys(places, index)


def singly(units: int, *places: tuple[str, int]) -> Owned:
    return each([[unit] for unit in range(units)], *places)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rows(model: nn.Module, *shape: int) -> dict[str, tuple[tuple[str, ...], int]]:
    """Group -> its members and how many units it has, of channels."""
    return {g.name: (g.members, g.units) for g in Channels().sorted_out(model, normal(1, *shape))[0]}


def left_out(model: nn.Module, *shape: int) -> dict[str, str]:
    """Row -> why it has no channels."""
    return Channels().sorted_out(model, normal(1, *shape))[1]


def owned(model: nn.Module, example: Tensor, granularity: Granularity) -> dict[str, Owned]:
    """Group -> what its units own."""
    groups, _ = granularity.sorted_out(model, example)
    return {group.name: {(piece.param, piece.dim): piece.index.tolist() for piece in group.pieces} for group in groups}


def smaller_as_masked(model: nn.Module, inputs: Tensor, granularity: Granularity) -> nn.Module:
    """The network without a third of the units of each group, once it is found to compute what it does with zeros."""
    groups, _ = granularity.sorted_out(model, inputs[:1])
    assert groups and not any(group.fixed for group in groups), groups
    keep = {group.name: torch.arange(group.units) % 3 != 1 for group in groups}
    smaller = remove_units(model, inputs[:1], groups, keep)
    for group in groups:
        for piece in group.pieces:
            before, after = (each.state_dict()[piece.param].shape[piece.dim] for each in (model, smaller))
            assert after < before, f"{piece.param} is as long as before"
    assert compute_the_same(masked_copy(model, groups, keep), smaller, inputs)
    return smaller
