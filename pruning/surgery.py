"""Which slices fall together, and taking them out. torch-pruning does both; it is used here and nowhere else.

(DepGraph: Fang et al. 2023, arXiv 2301.12900.)
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from pruning.devices import place
from pruning.errors import SurgeryError
from pruning.layers import CONVOLUTIONS, NORMS, WITH_CHANNELS, shared_weights
from pruning.opening import describe
from pruning.units import Keep, Piece, Slice, UnitGroup, apply_masks, masks_of

OPAQUE = (nn.RNNBase, nn.MultiheadAttention)
"""Layers that are traced as one operation each; what is coupled with them stays whole."""

_OUTPUT = "its units are the model's output: they always stay"


@dataclass(frozen=True, eq=False)
class Coupled:
    """Every slice that falls with each output unit of a layer; `why_not` is a sentence where they cannot fall."""

    slices: tuple[Slice, ...]
    why_not: str = ""


def coupled_slices(model: nn.Module, example: Tensor) -> dict[str, Coupled]:
    """Layer name -> what falls with each output unit of that Linear or convolution. The model is untouched."""
    copied, graph = _traced(model, example)
    names: dict[Any, str] = {module: name for name, module in copied.named_modules()}
    names |= {parameter: name for name, parameter in copied.named_parameters()}
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    shared = shared_weights(model)
    found: dict[str, Coupled] = {}
    for name, module in copied.named_modules():
        if isinstance(module, WITH_CHANNELS) and module in graph.module2node:
            channels = len(module.weight)
            items = [item for item in _group(graph, module, range(channels)) if item.dep.target.module in names]
            units = _units(items, channels)
            reasons = [_why_not(item, names, frozen, shared, units) for item in items]
            reasons += [_why_unequal(item, names, units) for item in items]
            if why_not := next(filter(None, reasons), ""):
                found[name] = Coupled((), why_not)
            else:
                found[name] = Coupled(tuple(piece for item in items for piece in _slices(item, names, units)))
    return found


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
    copied, graph = _traced(model, example)
    for group in groups:
        stays = keep[group.name]
        if not bool(stays.any()):
            raise SurgeryError(f"{group.name}: all {group.units} units would be removed; keep at least one")
        if not bool(stays.all()):
            try:
                _cut(copied, graph, group, ~stays)
            except Exception as error:
                raise SurgeryError(f"{group.name}: its units cannot be removed ({describe(error)})") from error
    _renumber_norms(model, copied)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    for name, parameter in copied.named_parameters():
        parameter.requires_grad_(name not in frozen)
        parameter.grad = None
    copied = place(copied, example, example.device).train(model.training)
    try:
        after = _output_shape(copied, example)
    except Exception as error:
        raise SurgeryError(f"the smaller model does not run ({describe(error)}); the old model is untouched") from error
    if after != shape:
        raise SurgeryError(f"removing units changed the output from {shape} to {after}; the old model is untouched")
    return copied


def _is_column(piece: Piece) -> bool:
    """Whether somebody reads the units: their columns in a next layer's weight."""
    return isinstance(piece, Slice) and piece.dim == 1


def _traced(model: nn.Module, example: Tensor) -> tuple[nn.Module, Any]:
    """A copy of the model and its dependency graph, made with fresh arguments: torch-pruning's defaults leak."""
    copied = copy.deepcopy(model).eval()
    for parameter in copied.parameters():
        parameter.requires_grad_(True)  # tracing follows autograd; a frozen layer would be invisible
    opaque = [module for module in copied.modules() if isinstance(module, OPAQUE)]
    with torch.enable_grad():
        try:
            for module in opaque:
                vars(module)["forward"] = partial(_as_one_operation, module.forward)
            graph = torch_pruning.DependencyGraph().build_dependency(
                copied,
                example_inputs=(example,),  # a bare tensor it would unpack, and trace a sample without its batch
                unwrapped_parameters=[],  # type: ignore[arg-type]
                customized_pruners={type(module): _NeverCut() for module in opaque},
                ignored_layers=[],
                ignored_params=[],
                verbose=False,
            )
        except Exception as error:
            raise SurgeryError(
                f"the network's coupling cannot be traced ({describe(error)}); choose granularity weights"
            ) from error
        finally:
            for module in opaque:
                vars(module).pop("forward", None)
    return copied, graph


def _as_one_operation(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a layer so that autograd sees one operation between its inputs and all its outputs.

    Torch takes a recurrent layer or attention apart into operations that torch-pruning follows to wrong couplings.
    """
    with torch.no_grad():
        outputs, structure = tree_flatten(forward(*args, **kwargs))
    inputs = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor) and value.requires_grad]
    numbers = [i for i, value in enumerate(outputs) if isinstance(value, Tensor) and value.is_floating_point()]
    if not inputs:  # it is the first layer, and the model's input asks for no gradient
        inputs = [torch.zeros(1, requires_grad=True)]
    linked: Any = _OneOperation.apply(len(numbers), *(outputs[i] for i in numbers), *inputs)
    for i, value in zip(numbers, linked, strict=True):
        outputs[i] = value
    return tree_unflatten(outputs, structure)


class _OneOperation(torch.autograd.Function):
    """Gives the first `count` tensors back as the result of all the others. Never differentiated, only followed."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.clone() for tensor in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise NotImplementedError


class _NeverCut(torch_pruning.BasePruningFunc):
    """Tells torch-pruning that a layer's inputs and outputs do not fall together; cutting either is refused earlier."""

    def prune_out_channels(self, layer: Any, idxs: Sequence[int]) -> Any:
        return layer

    def prune_in_channels(self, layer: Any, idxs: Sequence[int]) -> Any:
        return layer

    def get_out_channels(self, layer: Any) -> int:
        if isinstance(layer, nn.MultiheadAttention):
            return layer.embed_dim
        return (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)

    def get_in_channels(self, layer: Any) -> int:
        return layer.embed_dim if isinstance(layer, nn.MultiheadAttention) else layer.input_size


def _group(graph: Any, module: nn.Module, channels: Iterable[int]) -> Any:
    pruner = graph.get_pruner_of_module(module)
    return graph.get_pruning_group(module, pruner.prune_out_channels, list(channels))


def _cut(copied: nn.Module, graph: Any, group: UnitGroup, fallen: Tensor) -> None:
    """Take the units out of the copy, in place."""
    first = group.ranked[0]
    assert isinstance(first, Slice)  # what can be removed is a slice
    _group(graph, copied.get_submodule(group.name), first.index[fallen.cpu()].flatten().tolist()).prune()


def _renumber_norms(model: nn.Module, smaller: nn.Module) -> None:
    """A GroupNorm whose groups fell as wholes has fewer of the same size; torch-pruning keeps their number."""
    for before, after in zip(model.modules(), smaller.modules(), strict=True):
        if isinstance(before, nn.GroupNorm) and isinstance(after, nn.GroupNorm) and before.num_groups > 1:
            after.num_groups = after.num_channels * before.num_groups // before.num_channels


def _units(items: Sequence[Any], channels: int) -> list[int]:
    """The unit that each output channel belongs to: mostly its own, but some layers let channels fall only together.

    The groups of a convolution must stay equal: they lose their first channel together, or their second, and so on. The
    groups of a GroupNorm are normalised as wholes: only as wholes can they fall without changing the others.
    """
    parent = list(range(channels))

    def root(channel: int) -> int:
        while parent[channel] != channel:
            channel = parent[channel]
        return channel

    for item in items:
        together: dict[int, int] = {}
        for index, channel in zip(item.idxs, item.root_idxs, strict=True):
            key = _tie(item, int(index))
            if key is not None:
                one, other = root(int(channel)), root(together.setdefault(key, int(channel)))
                parent[max(one, other)] = min(one, other)
    number: dict[int, int] = {}
    return [number.setdefault(root(channel), len(number)) for channel in range(channels)]


def _tie(item: Any, index: int) -> int | None:
    """A number that channels share which this member lets fall only together; None where it does not mind."""
    module = item.dep.target.module
    if isinstance(module, nn.GroupNorm) and module.num_groups > 1:
        return index // (module.num_channels // module.num_groups)
    if isinstance(module, CONVOLUTIONS) and _is_grouped(module):
        return index % ((module.in_channels if _reads(item) else module.out_channels) // module.groups)
    return None


def _tied_together(module: nn.Module) -> int:
    """How many channels one tie holds together."""
    if isinstance(module, nn.GroupNorm):
        return module.num_channels // module.num_groups
    return module.groups if isinstance(module, CONVOLUTIONS) else 1


def _is_grouped(module: nn.Module) -> bool:
    """Whether it is a convolution in groups of several channels; one channel a group (depthwise) is another matter."""
    return isinstance(module, CONVOLUTIONS) and module.groups > 1 and not _is_depthwise(module)


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, CONVOLUTIONS) and 1 < module.groups == module.in_channels == module.out_channels


def _why_not(item: Any, names: dict[Any, str], frozen: set[str], shared: dict[str, str], units: list[int]) -> str:
    """Why one member of a torch-pruning group must not be cut; "" where it can be."""
    module, name = item.dep.target.module, names[item.dep.target.module]
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) > 1:
        return f"its units fall together with {name}, and a norm over several dimensions cannot be made smaller yet"
    if not isinstance(module, (*WITH_CHANNELS, *NORMS, nn.PReLU)):
        return f"its units fall together with {name}, and {type(module).__name__} cannot be made smaller yet"
    if name in shared:
        return f"its units fall together with the weight that {name} shares with {shared[name]}: they always stay"
    if isinstance(module, WITH_CHANNELS) and not _reads(item) and f"{name}.weight" in frozen:
        return f"its units fall together with those of {name}, which is frozen: set requires_grad to True there"
    if _is_grouped(module) and module.groups == module.out_channels:
        # torch-pruning takes it for depthwise and would cut its inputs like its outputs
        return f"its units fall together with {name}, a convolution with one output a group and several inputs"
    ties = Counter(_tie(item, int(index)) for index in item.idxs)
    if None not in ties and len(units) > 1 and max(units) == 0:
        return f"the groups of {name} let its units fall only all together: they always stay"
    torn = None not in ties and any(count != _tied_together(module) for count in ties.values())
    partial = isinstance(module, WITH_CHANNELS) and not _reads(item) and len(item.idxs) != len(module.weight)
    return _unmatched(name) if torn or partial else ""


def _why_unequal(item: Any, names: dict[Any, str], units: list[int]) -> str:
    """A sentence where some units own more of this member than others."""
    unequal = len({len(owned) for owned in _owned(item, units)}) > 1
    return _unmatched(names[item.dep.target.module]) if unequal else ""


def _unmatched(name: str) -> str:
    return f"its units do not match those of {name} one by one: they always stay"


def _owned(item: Any, units: list[int]) -> list[list[int]]:
    """The indices that fall in this member with each unit, ascending."""
    module = item.dep.target.module
    # every group of a convolution reads its own channels with the same columns of the weight
    columns = module.in_channels // module.groups if _reads(item) and _is_grouped(module) else 0
    owned: list[set[int]] = [set() for _ in range(max(units) + 1)]
    for index, channel in zip(item.idxs, item.root_idxs, strict=True):
        owned[units[int(channel)]].add(int(index) % columns if columns else int(index))
    return [sorted(indices) for indices in owned]


def _reads(item: Any) -> bool:
    """Whether this member takes the units as its input, so that columns fall and not rows."""
    return "in_channels" in item.dep.handler.__name__ and isinstance(item.dep.target.module, WITH_CHANNELS)


def _slices(item: Any, names: dict[Any, str], units: list[int]) -> list[Slice]:
    """The slices of one member of a torch-pruning group."""
    module = item.dep.target.module
    index = torch.tensor(_owned(item, units))
    if isinstance(module, nn.PReLU) and module.num_parameters == 1:
        return []
    reads = _reads(item)
    prefix = f"{names[module]}." if names[module] else ""
    tensors = {**dict(module.named_parameters(recurse=False)), **dict(module.named_buffers(recurse=False))}
    return [
        Slice(prefix + name, int(reads), index)
        for name, tensor in tensors.items()
        if tensor.dim() > 0 and (name == "weight" or not reads)
    ]


def _went_wrong(model: nn.Module, example: Tensor, groups: Sequence[UnitGroup]) -> str:
    """Remove about half of the units of each group, by lot: a sentence if that differs from setting them to zero."""
    lots = torch.Generator().manual_seed(0)
    keep = {group.name: torch.randperm(group.units, generator=lots) * 2 < group.units for group in groups}
    masked = copy.deepcopy(model)
    apply_masks(masked, masks_of(groups, keep, masked))
    smaller, graph = _traced(model, example)
    inputs = _within(example, lots)
    try:
        for group in groups:
            _cut(smaller, graph, group, ~keep[group.name])
        _renumber_norms(model, smaller)
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

    Their statistics change when units are removed, rightly so; what is left shows whether the right slices fell.
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
    for norm in norms:
        vars(norm)["forward"] = partial(_scaled_and_shifted, norm)
    try:
        return model.eval()(inputs)
    finally:
        for norm in norms:
            vars(norm).pop("forward", None)


def _scaled_and_shifted(norm: nn.LayerNorm | nn.GroupNorm, values: Tensor) -> Tensor:
    parameters = dict(norm.named_parameters())
    shape = (-1, *[1] * (values.dim() - 2)) if isinstance(norm, nn.GroupNorm) else norm.normalized_shape
    if "weight" in parameters:
        values = values * parameters["weight"].reshape(shape)
    return values + parameters["bias"].reshape(shape) if "bias" in parameters else values


@torch.no_grad()
def _output_shape(model: nn.Module, example: Tensor) -> list[int]:
    training = model.training
    output = model.eval()(example)
    model.train(training)
    return list(output.shape)
