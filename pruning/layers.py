"""The layer table: every layer that holds parameters, what it costs, and why it cannot be pruned if it cannot."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
    *(nn.GroupNorm, nn.LayerNorm),
)


@dataclass(frozen=True)
class Layer:
    """One row of the layer table. `shape` is the weight's, `macs` are multiply-accumulates for one sample.

    `why_not` is empty where the layer's weights can be pruned, else a sentence that says why they cannot.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    why_not: str = ""


def layer_table(model: nn.Module, example: Tensor) -> list[Layer]:
    """A row for each layer with parameters of its own, in the order in which the model lists them."""
    macs = layer_macs(model, example)
    first_owner: dict[int, str] = {}
    rows: list[Layer] = []
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if not own and not _is_quantised(module):
            continue
        weight = getattr(module, "weight", None)
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else ()
        why_not = _why_not(module)
        if isinstance(weight, Tensor) and not why_not:
            owner = first_owner.setdefault(weight.data_ptr(), name)
            why_not = f"shares its weight with {owner}, which stands for both" if owner != name else ""
        rows.append(Layer(name, type(module).__name__, shape, sum(p.numel() for p in own), macs.get(name, 0), why_not))
    return rows


def layer_macs(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Multiply-accumulates of every layer for one sample (`example` is [1, *input])."""
    counts = {name: sum(ops.values()) // 2 for name, ops in _counted(model, example).get_flop_counts().items()}
    root = type(model).__name__
    return {name.removeprefix(f"{root}."): macs for name, macs in counts.items() if name != root}


def model_macs(model: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of the whole model for one sample."""
    return _counted(model, example).get_total_flops() // 2


def _counted(model: nn.Module, example: Tensor) -> FlopCounterMode:
    # mkldnn is off because with it the counter reports 0 for a CPU nn.LSTM; None leaves TF32 alone, setting it warns
    flags = torch.backends.mkldnn.flags(enabled=False, allow_tf32=None)  # type: ignore[arg-type]
    with torch.no_grad(), flags, FlopCounterMode(display=False) as counter:
        model(example)
    return counter


def prunable_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Name and module of every layer whose weights can be pruned; a shared weight once, under its first name."""
    seen: set[int] = set()
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and not _why_not(module) and weight.data_ptr() not in seen:
            seen.add(weight.data_ptr())
            yield name, module


def shared_weights(model: nn.Module) -> dict[str, str]:
    """Layer name -> another layer that holds the same weight, for every layer that shares its weight."""
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.numel():
            owners.setdefault(weight.data_ptr(), []).append(name)
    return {
        name: names[0] if name != names[0] else names[1]
        for names in owners.values()
        if len(names) > 1
        for name in names
    }


def _is_quantised(module: nn.Module) -> bool:
    return "quantized" in type(module).__module__


def _why_not(module: nn.Module) -> str:
    kind = type(module).__name__
    if _is_quantised(module):
        return f"{kind} is quantised: prune the float model first, then quantise it"
    if isinstance(module, NORMS):
        return "a norm falls with the channels that it follows"
    if not isinstance(module, PRUNABLE):
        return f"{kind} is not a type whose weights can be pruned yet"
    if not module.weight.requires_grad:
        return "frozen: set requires_grad to True to let it be pruned"
    return ""
