"""Which slices are pruned together with each unit, read off torch-pruning's groups and checked for what they leave
out.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.errors import describe
from pruning.model.dependency_graph import channel_group, traced
from pruning.model.layer_types import NORMS, WITH_CHANNELS, has_channels, is_a, is_convolution
from pruning.model.parameter_sharing import shared_parameters
from pruning.model.units import Slice


@dataclass(frozen=True, eq=False)
class Coupled:
    """Every slice that is pruned with each output unit of a layer; `why_not` is a sentence where they cannot be
    pruned.
    """

    slices: tuple[Slice, ...]
    why_not: str = ""


def coupled_slices(model: nn.Module, example: Tensor) -> dict[str, Coupled]:
    """Layer name -> what is pruned with each output unit of that Linear or convolution. The model is untouched."""
    copied, graph = traced(model, example)
    names: dict[Any, str] = {module: name for name, module in copied.named_modules()}
    names |= {parameter: name for name, parameter in copied.named_parameters()}
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    shared = shared_parameters(model)
    found: dict[str, Coupled] = {}
    for name, module in copied.named_modules():
        if has_channels(module) and module in graph.module2node:
            try:
                items = [
                    i for i in channel_group(graph, module, range(len(module.weight))) if i.dep.target.module in names
                ]
                found[name] = _coupled(items, names, frozen, shared, len(module.weight))
            except Exception as error:  # whatever torch-pruning raises on a network that it does not understand
                found[name] = Coupled(
                    (), f"what is pruned together with its units cannot be traced ({describe(error)}): they always stay"
                )
    return found


def _coupled(
    items: Sequence[Any], names: dict[Any, str], frozen: set[str], shared: dict[str, str], channels: int
) -> Coupled:
    """What is pruned with each unit of a layer, given the members of its torch-pruning group."""
    for item in items:
        if any(channel is None for channel in item.root_idxs):  # it lost sight of which channel came from which
            return Coupled((), _unmatched(names[item.dep.target.module]))
    units = _units(items, channels)
    reasons = [_why_not(item, names, frozen, shared, units) for item in items]
    reasons += [_why_unequal(item, names, units) or _why_outside(item, names, units) for item in items]
    if why_not := next(filter(None, reasons), ""):
        return Coupled((), why_not)
    return Coupled(tuple(piece for item in items for piece in _slices(item, names, units)))


def _units(items: Sequence[Any], channels: int) -> list[int]:
    """The unit that each output channel belongs to: mostly its own, but some layers let channels be pruned only
    together.

    The groups of a convolution must stay equal: they lose their first channel together, or their second, and so on. The
    groups of a GroupNorm are normalised as wholes: only as wholes can they are pruned without changing the others.
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
    """A number that channels share which this member lets be pruned only together; None where it does not mind."""
    module = item.dep.target.module
    if isinstance(module, nn.GroupNorm) and module.num_groups > 1:
        return index // (module.num_channels // module.num_groups)
    if is_convolution(module) and _is_grouped(module):
        return index % ((module.in_channels if _reads(item) else module.out_channels) // module.groups)
    return None


def _tied_together(module: nn.Module) -> int:
    """How many channels one tie holds together."""
    if isinstance(module, nn.GroupNorm):
        return module.num_channels // module.num_groups
    return module.groups if is_convolution(module) else 1


def _is_grouped(module: nn.Module) -> bool:
    """Whether it is a convolution in groups of several channels; one channel a group (depthwise) is another matter."""
    return is_convolution(module) and module.groups > 1 and not _is_depthwise(module)


def _is_depthwise(module: nn.Module) -> bool:
    return is_convolution(module) and 1 < module.groups == module.in_channels == module.out_channels


def _why_not(item: Any, names: dict[Any, str], frozen: set[str], shared: dict[str, str], units: list[int]) -> str:
    """Why one member of a torch-pruning group must not be cut; "" where it can be."""
    module, name = item.dep.target.module, names[item.dep.target.module]
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) > 1:
        return (
            f"its units are pruned together with {name}, and a norm over several dimensions cannot be made smaller yet"
        )
    if not is_a(module, (*WITH_CHANNELS, *NORMS, "PReLU")):
        return f"its units are pruned together with {name}, and {type(module).__name__} cannot be made smaller yet"
    owned = ["weight"] if _reads(item) else [own for own, _ in module.named_parameters(recurse=False)]
    if tied := [f"{name}.{own}" for own in owned if f"{name}.{own}" in shared]:
        return f"its units own a part of {tied[0]}, which {name} shares with {shared[tied[0]]}: they always stay"
    if has_channels(module) and not _reads(item) and f"{name}.weight" in frozen:
        return f"its units are pruned together with those of {name}, which is frozen: set requires_grad to True there"
    if _is_grouped(module) and module.groups == module.out_channels:
        # torch-pruning takes it for depthwise and would cut its inputs like its outputs
        return f"its units are pruned together with {name}, a convolution with one output a group and several inputs"
    ties = Counter(_tie(item, int(index)) for index in item.idxs)
    if None not in ties and len(units) > 1 and max(units) == 0:
        return f"the groups of {name} let its units be pruned only all together: they always stay"
    torn = None not in ties and any(count != _tied_together(module) for count in ties.values())
    partial = has_channels(module) and not _reads(item) and len(item.idxs) != len(module.weight)
    return _unmatched(name) if torn or partial else ""


def _why_unequal(item: Any, names: dict[Any, str], units: list[int]) -> str:
    """A sentence where some units own more of this member than others."""
    unequal = len({len(owned) for owned in _owned(item, units)}) > 1
    return _unmatched(names[item.dep.target.module]) if unequal else ""


def _why_outside(item: Any, names: dict[Any, str], units: list[int]) -> str:
    """A sentence where the traced channels are not this member's: half of them went into a gate (GLU), for one."""
    if not is_a(item.dep.target.module, (*WITH_CHANNELS, *NORMS)):
        return ""
    outside = any(int(piece.index.max()) >= _length(item, piece) for piece in _slices(item, names, units))
    return _unmatched(names[item.dep.target.module]) if outside else ""


def _length(item: Any, piece: Slice) -> int:
    name = piece.param.rpartition(".")[2]
    module = item.dep.target.module
    return (dict(module.named_parameters()) | dict(module.named_buffers()))[name].shape[piece.dim]


def _unmatched(name: str) -> str:
    return f"its units do not match those of {name} one by one: they always stay"


def _owned(item: Any, units: list[int]) -> list[list[int]]:
    """The indices that are pruned in this member with each unit, ascending."""
    module = item.dep.target.module
    # every group of a convolution reads its own channels with the same columns of the weight
    columns = module.in_channels // module.groups if _reads(item) and _is_grouped(module) else 0
    owned: list[set[int]] = [set() for _ in range(max(units) + 1)]
    for index, channel in zip(item.idxs, item.root_idxs, strict=True):
        owned[units[int(channel)]].add(int(index) % columns if columns else int(index))
    return [sorted(indices) for indices in owned]


def _reads(item: Any) -> bool:
    """Whether this member takes the units as its input, so that columns are pruned and not rows."""
    return "in_channels" in item.dep.handler.__name__ and has_channels(item.dep.target.module)


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
