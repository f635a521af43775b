"""Taking units out, so that the network is really smaller: every tensor loses the slices that they own.

Units that are whole blocks go with all their tensors.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from pruning.errors import SurgeryError, describe
from pruning.model.copying import deep_copy
from pruning.model.descriptions import ZEROED
from pruning.model.devices import place
from pruning.model.narrow_layers import NarrowEmbedding, become
from pruning.model.patching import copy_modes, evaluating
from pruning.model.resizing import resize_layers
from pruning.model.units import Keep, Slice, UnitGroup, apply_masks, masks_of


def remove_units(model: nn.Module, example: Tensor, groups: Iterable[UnitGroup], keep: Keep) -> nn.Module:
    """A new, physically smaller model without the units that do not stay; the given model is untouched.

    Units of a group that is `fixed` stay as they are, which is zero in a masked model. Copy, cut, check that it runs
    and that the output keeps its shape. SurgeryError says what failed.
    """
    shape = output_shape(model, example)
    smaller = without_units(model, groups, keep)
    for parameter in smaller.parameters():
        parameter.grad = None
    smaller = place(smaller, example, example.device)
    copy_modes(model, smaller)
    try:
        after = output_shape(smaller, example)
    except Exception as error:
        raise SurgeryError(f"the smaller model does not run ({describe(error)}); the old model is untouched") from error
    if after != shape:
        raise SurgeryError(f"removing units changed the output from {shape} to {after}; the old model is untouched")
    return smaller


def without_units(model: nn.Module, groups: Iterable[UnitGroup], keep: Keep) -> nn.Module:
    """A copy of the model without the slices and the blocks of units that do not stay. It is not run."""
    smaller = deep_copy(model)
    gone: dict[tuple[str, int], Tensor] = {}
    for group in groups:
        stays = keep[group.name].cpu()
        if bool(stays.all()) or group.fixed:
            continue
        if not bool(stays.any()):
            raise SurgeryError(f"{group.name}: all {group.units} units would be removed; keep at least one")
        if group.blocks:
            for block in itertools.compress(group.blocks, (~stays).tolist()):
                become(smaller.get_submodule(block.path), block.becomes)
            continue
        for piece in group.pieces:
            assert isinstance(piece, Slice)  # what can be removed is a block or a slice
            index = piece.index.cpu()[~stays].flatten()
            before = gone.get((piece.param, piece.dim))
            gone[piece.param, piece.dim] = index if before is None else torch.cat([before, index])
        for size in group.sizes:
            size.shrink(smaller, int((~stays).sum()))
    _take_out(smaller, gone)
    resize_layers(smaller, model)
    return smaller


@torch.no_grad()
def _take_out(model: nn.Module, gone: Mapping[tuple[str, int], Tensor]) -> None:
    tensors: dict[str, Tensor] = {**dict(model.named_buffers()), **dict(model.named_parameters())}
    for (name, dim), index in gone.items():
        tensor = tensors[name]
        stays = torch.ones(tensor.shape[dim], dtype=torch.bool)
        stays[index] = False
        # the same object with other data: whoever shares the parameter goes on sharing it
        tensor.data = tensor.data.index_select(dim, stays.nonzero().flatten().to(tensor.device))
        layer = model.get_submodule(name.rpartition(".")[0])
        if dim == 0 and isinstance(layer, nn.Embedding):
            _renumber(layer, stays)


def _renumber(embedding: nn.Embedding, stays: Tensor) -> None:
    """Let every word find its vector among the rows that stay, bool [rows]."""
    if not isinstance(embedding, NarrowEmbedding):
        become(embedding, NarrowEmbedding.__name__)
    assert isinstance(embedding, NarrowEmbedding)
    before = embedding.row_of
    after = torch.where(stays, stays.cumsum(0) - 1, -1).to(before)
    embedding.row_of.copy_(torch.where(before < 0, -1, after[before.clamp(min=0)]))


def zeroed_note(groups: Sequence[UnitGroup], keep: Keep) -> str:
    """A sentence that names the groups whose pruned units are set to zero and not removed, with the reasons.

    Empty if there are none.
    """
    named: dict[str, list[str]] = {}
    for group in groups:
        if group.fixed and not bool(keep[group.name].all()):
            named.setdefault(group.fixed.removesuffix(ZEROED), []).append(group.name)
    if not named:
        return ""
    parts = [f"{names[0]}{_and_others(len(names) - 1)} ({reason})" for reason, names in named.items()]
    count = sum(map(len, named.values()))
    return f"pruned units of {count} of {len(groups)} groups are set to zero and not removed: {'; '.join(parts)}"


def _and_others(count: int) -> str:
    return {0: "", 1: " and another"}.get(count, f" and {count} others")


def masked_copy(model: nn.Module, groups: Sequence[UnitGroup], keep: Keep) -> nn.Module:
    """A new model in which the units that do not stay are zero."""
    masked = deep_copy(model)
    apply_masks(masked, masks_of(groups, keep, masked))
    return masked


def largest_difference(first: Tensor, second: Tensor) -> float:
    """The largest |first - second|; 0 where both are the same infinity, infinite where one alone is not a number.

    0 where there are no values, as of an expert that nothing is given to.
    """
    if not first.numel():
        return 0.0
    largest = float((first - second).abs().max())
    if math.isfinite(largest):
        return largest
    same = first == second
    return float((first - second).masked_fill(same, 0.0).abs().nan_to_num(torch.inf, torch.inf).max())


def magnitude(output: Tensor) -> float:
    """The largest finite |value|; 0 where there is none."""
    if output.numel() and math.isfinite(largest := float(output.abs().max())):
        return largest
    finite = output[output.isfinite()]
    return float(finite.abs().max()) if len(finite) else 0.0


@torch.no_grad()
def output_shape(model: nn.Module, example: Tensor) -> list[int]:
    with evaluating(model):
        return list(model(example).shape)
