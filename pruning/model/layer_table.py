"""The layer table: every layer that holds parameters, what it costs, and why it cannot be pruned if it cannot."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import (
    FlopCounterMode,
    _FlopCounterMode,  # pyright: ignore[reportPrivateUsage]
)

from pruning.model.descriptions import LayerRow
from pruning.model.layer_types import NORMS, PRUNABLE, is_a
from pruning.model.patching import evaluating


class Weight(NamedTuple):
    """A weight matrix that can be pruned: the name of its row, its full name as a parameter, and its module."""

    name: str
    param: str
    module: nn.Module


def layer_table(model: nn.Module, example: Tensor) -> list[LayerRow]:
    """A row for each weight matrix and each other layer with parameters, in the order in which the model lists them."""
    macs = layer_macs(model, example)
    first_owner: dict[int, str] = {}
    rows: list[LayerRow] = []
    for name, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if not own and not _is_quantised(module):
            continue
        matrices = _matrices(module)
        for matrix in matrices or [""]:
            weight = own.get(matrix)
            row = _row(name, matrix)
            why_not = _why_not(module, matrix)
            if weight is not None and not why_not:
                owner = first_owner.setdefault(weight.data_ptr(), row)
                why_not = f"shares its weight with {owner}, which stands for both" if owner != row else ""
            shape = tuple(weight.shape) if weight is not None else _shape(module)
            param = f"{name}.{matrix}" if name else matrix
            rows.append(
                LayerRow(
                    row,
                    type(module).__name__,
                    shape,
                    sum(own[p].numel() for p in own if _belongs(p, matrix, matrices)),
                    _macs_of(model, name, param if weight is not None else "", macs),
                    why_not,
                    param if matrix else "",
                )
            )
    return rows


def _macs_of(model: nn.Module, layer: str, param: str, macs: dict[str, int]) -> int:
    """A layer's MACs; of a layer with several weight matrices the part of this one, by its size."""
    called = owning_layer(model, param) if param else model.get_submodule(layer)
    if not param or not isinstance(called, nn.RNNBase | nn.MultiheadAttention):
        return macs.get(layer, 0)
    sizes = {name: weight.numel() for name, weight in called.named_parameters() if weight.dim() == 2}
    whole = next(name for name, module in model.named_modules() if module is called)
    return round(macs.get(whole, 0) * sizes[param.removeprefix(f"{whole}.")] / sum(sizes.values()))


def _matrices(module: nn.Module) -> list[str]:
    """Names of the module's weight matrices, of those types that can be pruned at all."""
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return [name for name, p in module.named_parameters(recurse=False) if p.dim() == 2]
    return ["weight"] if isinstance(getattr(module, "weight", None), nn.Parameter) else []


def _row(layer: str, matrix: str) -> str:
    return layer if matrix in ("", "weight") else f"{layer}.{matrix}" if layer else matrix


def _belongs(param: str, matrix: str, matrices: list[str]) -> bool:
    """Whether a layer's parameter is counted in the row of this matrix: itself, its bias; else in the first."""
    home = param if param in matrices else param.replace("bias", "weight")
    return not matrices or matrix == (home if home in matrices else matrices[0])


def _shape(module: nn.Module) -> tuple[int, ...]:
    weight = getattr(module, "weight", None)
    return tuple(weight.shape) if isinstance(weight, Tensor) else ()


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
    # the fast paths of transformer layers and of attention are single operations, which the counter does not know
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), evaluating(model), flags, sdpa_kernel(SDPBackend.MATH), _no_compiler(), counter:
            model(example)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return counter


@contextmanager
def _no_compiler() -> Generator[None]:
    """Count without torch's compiler, which a process that only evaluates has no other use for.

    torch tells its compiler to keep out of the counter, and imports it for that: over a second of every fresh process.
    """
    wrapped = _FlopCounterMode.__torch_dispatch__
    _FlopCounterMode.__torch_dispatch__ = getattr(wrapped, "__wrapped__", wrapped)
    try:
        yield
    finally:
        _FlopCounterMode.__torch_dispatch__ = wrapped


def prunable_weights(model: nn.Module) -> Iterator[Weight]:
    """Every weight matrix that can be pruned; a shared one once, under its first name."""
    seen: set[int] = set()
    for name, module in model.named_modules():
        for matrix in _matrices(module):
            weight = module.get_parameter(matrix)
            if not _why_not(module, matrix) and weight.data_ptr() not in seen:
                seen.add(weight.data_ptr())
                yield Weight(_row(name, matrix), f"{name}.{matrix}" if name else matrix, module)


def owning_layer(model: nn.Module, param: str) -> nn.Module:
    """The layer that a parameter belongs to, as the model calls it: attention reads its output projection's weight."""
    path = param.rpartition(".")[0]
    parent = model.get_submodule(path.rpartition(".")[0])
    return parent if isinstance(parent, nn.MultiheadAttention) else model.get_submodule(path)


def _is_quantised(module: nn.Module) -> bool:
    return "quantized" in type(module).__module__


def _why_not(module: nn.Module, matrix: str) -> str:
    kind = type(module).__name__
    if _is_quantised(module):
        return f"{kind} is quantised: prune the float model first, then quantise it"
    if is_a(module, NORMS):
        return "a norm has no units of its own: it is pruned with the channels that it follows"
    if not is_a(module, PRUNABLE):
        return f"{kind} is not a type whose weights can be pruned yet"
    if matrix and not module.get_parameter(matrix).requires_grad:
        return "frozen: set requires_grad to True to let it be pruned"
    return ""
