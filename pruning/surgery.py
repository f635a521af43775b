"""Which slices fall together, and taking them out. torch-pruning does both; it is used here and nowhere else.

(DepGraph: Fang et al. 2023, arXiv 2301.12900.)
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from pruning.devices import place
from pruning.errors import SurgeryError
from pruning.layers import NORMS, PRUNABLE, shared_weights
from pruning.opening import describe
from pruning.units import Keep, Slice, UnitGroup


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
        if isinstance(module, PRUNABLE) and module in graph.module2node:
            units = len(module.weight)
            items = [item for item in _group(graph, module, range(units)) if item.dep.target.module in names]
            if why_not := next(filter(None, (_why_not(item, names, frozen, shared, units) for item in items)), ""):
                found[name] = Coupled((), why_not)
            else:
                found[name] = Coupled(tuple(piece for item in items for piece in _slices(item, names, units)))
    return found


def why_whole(model: nn.Module, example: Tensor, groups: Sequence[UnitGroup]) -> dict[str, str]:
    """Group name -> why its units must stay: they are the model's output, or the model does not run without one."""
    output = "its units are the model's output: they always stay"
    reasons = {group.name: output for group in groups if all(piece.dim == 0 for piece in group.slices)}
    suspects = [group for group in groups if group.name not in reasons and group.units > 1]
    shape = _output_shape(model, example)
    # one trial for all is enough for nearly every network; only if it fails is each group tried alone
    if _shape_after(model, example, suspects) != shape:
        for group in suspects:
            after = _shape_after(model, example, [group])
            if after is None:
                reasons[group.name] = "the network does not run without one of its units: they always stay"
            elif after != shape:
                reasons[group.name] = output
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
        fallen = torch.nonzero(~stays).flatten().tolist()
        if fallen:
            try:
                _group(graph, copied.get_submodule(group.name), fallen).prune()
            except Exception as error:
                raise SurgeryError(f"{group.name}: its units cannot be removed ({describe(error)})") from error
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


def _traced(model: nn.Module, example: Tensor) -> tuple[nn.Module, Any]:
    """A copy of the model and its dependency graph, made with fresh arguments: torch-pruning's defaults leak."""
    copied = copy.deepcopy(model).eval()
    for parameter in copied.parameters():
        parameter.requires_grad_(True)  # tracing follows autograd; a frozen layer would be invisible
    with torch.enable_grad():
        try:
            graph = torch_pruning.DependencyGraph().build_dependency(
                copied,
                example_inputs=example,
                unwrapped_parameters=[],  # type: ignore[arg-type]
                customized_pruners={},
                ignored_layers=[],
                ignored_params=[],
                verbose=False,
            )
        except Exception as error:
            raise SurgeryError(
                f"the network's coupling cannot be traced ({describe(error)}); choose granularity weights"
            ) from error
    return copied, graph


def _group(graph: Any, module: nn.Module, units: Iterable[int]) -> Any:
    pruner = graph.get_pruner_of_module(module)
    return graph.get_pruning_group(module, pruner.prune_out_channels, list(units))


def _why_not(item: Any, names: dict[Any, str], frozen: set[str], shared: dict[str, str], units: int) -> str:
    """Why one member of a torch-pruning group must not be cut; "" where it can be."""
    module, name = item.dep.target.module, names[item.dep.target.module]
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) > 1:
        return f"its units fall together with {name}, and a norm over several dimensions cannot be made smaller yet"
    if not isinstance(module, (*PRUNABLE, *NORMS, nn.PReLU)):
        return f"its units fall together with {name}, and {type(module).__name__} cannot be made smaller yet"
    if name in shared:
        return f"its units fall together with the weight that {name} shares with {shared[name]}: they always stay"
    if isinstance(module, PRUNABLE) and not _reads(item) and f"{name}.weight" in frozen:
        return f"its units fall together with those of {name}, which is frozen: set requires_grad to True there"
    partial = isinstance(module, PRUNABLE) and not _reads(item) and len(item.idxs) != len(module.weight)
    if partial or len({len(owned) for owned in _owned(item, units)}) > 1:
        return f"its units do not match those of {name} one by one: they always stay"
    return ""


def _owned(item: Any, units: int) -> list[list[int]]:
    """The indices that fall in this member with each unit."""
    owned: list[list[int]] = [[] for _ in range(units)]
    for index, unit in zip(item.idxs, item.root_idxs, strict=True):
        owned[int(unit)].append(int(index))
    return owned


def _reads(item: Any) -> bool:
    """Whether this member takes the units as its input, so that columns fall and not rows."""
    return "in_channels" in item.dep.handler.__name__ and isinstance(item.dep.target.module, PRUNABLE)


def _slices(item: Any, names: dict[Any, str], units: int) -> list[Slice]:
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


def _shape_after(model: nn.Module, example: Tensor, groups: Sequence[UnitGroup]) -> list[int] | None:
    """Output shape with the first unit of each group removed; None if it does not run."""
    keep = {group.name: torch.arange(group.units) > 0 for group in groups}
    copied, graph = _traced(model, example)
    try:
        for group in groups:
            _group(graph, copied.get_submodule(group.name), torch.nonzero(~keep[group.name]).flatten().tolist()).prune()
        return _output_shape(copied, example)
    except Exception:
        return None


@torch.no_grad()
def _output_shape(model: nn.Module, example: Tensor) -> list[int]:
    training = model.training
    output = model.eval()(example)
    model.train(training)
    return list(output.shape)
