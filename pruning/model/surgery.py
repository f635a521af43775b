"""Taking units out, so that the network is really smaller; and trying beforehand whether that goes well."""

import copy
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pruning.errors import SurgeryError, describe
from pruning.model.dependency_graph import cut, renumber_norms, traced
from pruning.model.devices import place
from pruning.model.patching import copy_modes, evaluating, training_tried
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
    """Remove about half of the units of each group, by lot: a sentence if that differs from setting them to zero.

    An odd number: attention that views its channels as heads may run with half of them, and not with others.
    """
    lots = torch.Generator().manual_seed(0)
    keep = {g.name: torch.randperm(g.units, generator=lots) >= (g.units // 2 | 1) for g in groups}
    inputs = _within(example, lots)
    masked = masked_copy(model, groups, keep)
    smaller, graph = traced(model, example)
    try:
        for group in groups:
            cut(smaller, graph, group, ~keep[group.name])
        renumber_norms(model, smaller)
        _output_shape(smaller, example)
        expected, output = _outputs((masked, smaller), inputs, plain_norms=False)
    except Exception:  # whatever a stranger's forward raises on tensors that no longer fit
        return "the network does not run without some of its units: they always stay"
    if output.shape != expected.shape:
        return _OUTPUT
    if not _same(output, expected):
        # rightly so where a norm's statistics change with its units: what is left without them shows whether the right
        # slices were pruned
        expected, output = _outputs((masked, smaller), inputs, plain_norms=True)
        if not _same(output, expected):
            return (
                "without its units the network computes something else than with them set to zero, as where channels "
                "are shuffled or averaged: they always stay"
            )
    if not _runs_in_train_mode(smaller, example) and _runs_in_train_mode(model, example):
        return (
            "in train mode the network does not run without some of its units, as where a head runs in train mode "
            "alone: they always stay"
        )
    return ""


def largest_difference(first: Tensor, second: Tensor) -> float:
    """The largest |first - second|; 0 where both are the same infinity, infinite where one alone is not a number."""
    same = first == second
    return float((first - second).masked_fill(same, 0.0).abs().nan_to_num(torch.inf, torch.inf).max())


def _same(output: Tensor, expected: Tensor) -> bool:
    """Whether the outputs differ by rounding alone. Outputs that are not numbers tell nothing: then they are not."""
    finite = expected[expected.isfinite()]
    if expected.isnan().any() or not len(finite):
        return False
    rounding = max(torch.finfo(output.dtype).eps ** 0.5, 1e-4) * float(finite.abs().max())
    return largest_difference(output, expected) <= rounding


def _runs_in_train_mode(model: nn.Module, example: Tensor) -> bool:
    """Whether it runs on two samples as in fine-tuning, where a network may have heads that evaluation does without."""
    try:
        with training_tried(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
            model(torch.cat([example, example]))
    except Exception:
        return False
    return True


def _within(example: Tensor, lots: torch.Generator) -> Tensor:
    """Random values in the range of the example; the example itself if it holds whole numbers."""
    if not example.is_floating_point():
        return example
    low, high = example.min(), example.max()
    return low + (high - low) * torch.rand(example.shape, generator=lots).to(example)


def _outputs(models: Sequence[nn.Module], inputs: Tensor, plain_norms: bool) -> list[Tensor]:
    """The models' outputs, in float64 where they can; with `plain_norms` every norm only scales and shifts."""
    if inputs.is_floating_point():
        try:
            return [_output(copy.deepcopy(model).double(), inputs.double(), plain_norms) for model in models]
        except Exception:  # the device has no float64, or a forward makes tensors of another type
            pass
    return [_output(model, inputs, plain_norms) for model in models]


@torch.no_grad()
def _output(model: nn.Module, inputs: Tensor, plain_norms: bool) -> Tensor:
    with evaluating(model), _PlainNorms() if plain_norms else nullcontext():
        return model(inputs)


class _PlainNorms(TorchFunctionMode):
    """Norms over units only scale and shift, in whatever module they are called."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in NORM_FUNCTIONS:
            return func(*args, **(kwargs or {}))
        given = dict(zip(NORM_FUNCTIONS[func], args, strict=False)) | (kwargs or {})
        values: Tensor = given["input"]
        shape = given.get("normalized_shape", (-1, *[1] * (values.dim() - 2)))
        for name, apply in (("weight", torch.mul), ("bias", torch.add)):
            if given.get(name) is not None:
                values = apply(values, given[name].reshape(shape))
        return values


NORM_FUNCTIONS: dict[Any, tuple[str, ...]] = {
    F.layer_norm: ("input", "normalized_shape", "weight", "bias", "eps"),
    F.group_norm: ("input", "num_groups", "weight", "bias", "eps"),
    F.rms_norm: ("input", "normalized_shape", "weight", "eps"),
}
"""What computes statistics over units, and the names of its arguments."""


@torch.no_grad()
def _output_shape(model: nn.Module, example: Tensor) -> list[int]:
    with evaluating(model):
        return list(model(example).shape)
