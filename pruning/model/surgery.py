"""Taking units out, so that the network is really smaller; and trying beforehand whether that goes well."""

import copy
from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from pruning.errors import SurgeryError, describe
from pruning.model.dependency_graph import cut, renumber_norms, traced
from pruning.model.devices import place
from pruning.model.patching import copy_modes, evaluating, replaced_forwards
from pruning.model.units import Keep, Piece, Slice, UnitGroup, apply_masks, masks_of

_OUTPUT = "its units are the model's output: they always stay"


def why_whole(model: nn.Module, example: Tensor, groups: Sequence[UnitGroup]) -> dict[str, str]:
    """Group name -> why its units must stay: they are the model's output, or removing some was tried and went wrong."""
    reasons = {group.name: _OUTPUT for group in groups if not any(_is_column(piece) for piece in group.pieces)}
    suspects = [group for group in groups if group.name not in reasons and group.units > 1]
    # one trial for all is enough for nearly every network; only if it fails is each group tried alone
    if _went_wrong(model, example, suspects):
        tried = {group.name: _went_wrong(model, example, [group]) for group in suspects}
        reasons |= {name: why_not for name, why_not in tried.items() if why_not}
    return reasons


def remove_units(model: nn.Module, example: Tensor, groups: Iterable[UnitGroup], keep: Keep) -> nn.Module:
    """A new, physically smaller model without the units that do not stay; the given model is untouched.

    Copy, cut, check that it runs and that the output keeps its shape. SurgeryError says what failed.
    """
    shape = _output_shape(model, example)
    copied, graph = traced(model, example)
    for group in groups:
        stays = keep[group.name]
        if not bool(stays.any()):
            raise SurgeryError(f"{group.name}: all {group.units} units would be removed; keep at least one")
        if not bool(stays.all()):
            try:
                cut(copied, graph, group, ~stays)
            except Exception as error:
                raise SurgeryError(f"{group.name}: its units cannot be removed ({describe(error)})") from error
    renumber_norms(model, copied)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    for name, parameter in copied.named_parameters():
        parameter.requires_grad_(name not in frozen)
        parameter.grad = None
    copied = place(copied, example, example.device)
    copy_modes(model, copied)
    try:
        after = _output_shape(copied, example)
    except Exception as error:
        raise SurgeryError(f"the smaller model does not run ({describe(error)}); the old model is untouched") from error
    if after != shape:
        raise SurgeryError(f"removing units changed the output from {shape} to {after}; the old model is untouched")
    return copied


def masked_copy(model: nn.Module, groups: Sequence[UnitGroup], keep: Keep) -> nn.Module:
    """A new model in which the units that do not stay are zero."""
    masked = copy.deepcopy(model)
    apply_masks(masked, masks_of(groups, keep, masked))
    return masked


def _is_column(piece: Piece) -> bool:
    """Whether somebody reads the units: their columns in a next layer's weight."""
    return isinstance(piece, Slice) and piece.dim == 1


def _went_wrong(model: nn.Module, example: Tensor, groups: Sequence[UnitGroup]) -> str:
    """Remove about half of the units of each group, by lot: a sentence if that differs from setting them to zero."""
    lots = torch.Generator().manual_seed(0)
    keep = {group.name: torch.randperm(group.units, generator=lots) * 2 < group.units for group in groups}
    masked = masked_copy(model, groups, keep)
    smaller, graph = traced(model, example)
    inputs = _within(example, lots)
    try:
        for group in groups:
            cut(smaller, graph, group, ~keep[group.name])
        renumber_norms(model, smaller)
        _output_shape(smaller, example)
        expected, output = _plain_outputs((masked, smaller), inputs)
    except Exception:  # whatever a stranger's forward raises on tensors that no longer fit
        return "the network does not run without some of its units: they always stay"
    if output.shape != expected.shape:
        return _OUTPUT
    rounding = max(torch.finfo(output.dtype).eps ** 0.5, 1e-4) * expected.abs().max()
    # without their statistics a deep network's values may grow beyond all bounds: then they tell nothing
    if bool(expected.isfinite().all()) and not bool((output - expected).abs().max() <= rounding):
        return (
            "without its units the network computes something else than with them set to zero, as where channels are "
            "shuffled or averaged: they always stay"
        )
    return ""


def _within(example: Tensor, lots: torch.Generator) -> Tensor:
    """Random values in the range of the example; the example itself if it holds whole numbers."""
    if not example.is_floating_point():
        return example
    low, high = example.min(), example.max()
    return low + (high - low) * torch.rand(example.shape, generator=lots).to(example)


def _plain_outputs(models: Sequence[nn.Module], inputs: Tensor) -> list[Tensor]:
    """The models' outputs with every LayerNorm and GroupNorm only scaling and shifting, in float64 where they can.

    Their statistics change when units are removed, rightly so; what is left shows whether the right slices were pruned.
    """
    if inputs.is_floating_point():
        try:
            return [_plain_output(copy.deepcopy(model).double(), inputs.double()) for model in models]
        except Exception:  # the device has no float64, or a forward makes tensors of another type
            pass
    return [_plain_output(model, inputs) for model in models]


@torch.no_grad()
def _plain_output(model: nn.Module, inputs: Tensor) -> Tensor:
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm | nn.GroupNorm)]
    with evaluating(model), replaced_forwards({norm: partial(_scaled_and_shifted, norm) for norm in norms}):
        return model(inputs)


def _scaled_and_shifted(norm: nn.LayerNorm | nn.GroupNorm, values: Tensor) -> Tensor:
    parameters = dict(norm.named_parameters())
    shape = (-1, *[1] * (values.dim() - 2)) if isinstance(norm, nn.GroupNorm) else norm.normalized_shape
    if "weight" in parameters:
        values = values * parameters["weight"].reshape(shape)
    return values + parameters["bias"].reshape(shape) if "bias" in parameters else values


@torch.no_grad()
def _output_shape(model: nn.Module, example: Tensor) -> list[int]:
    with evaluating(model):
        return list(model(example).shape)
