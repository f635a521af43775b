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
from pruning.model.devices import recurrence_apart
from pruning.model.layer_types import NORMS, WITH_MATRICES, is_a
from pruning.model.patching import evaluating, frozen

BARE = "a parameter of no layer of its own: it stays unless granularity weights or blocks is given bare_parameters"


class Weight(NamedTuple):
    """A weight matrix that can be pruned: the name of its row, its full name as a parameter, and its module."""

    name: str
    param: str
    module: nn.Module


def layer_table(model: nn.Module, example: Tensor) -> list[LayerRow]:
    """A row for each weight matrix and each other layer with parameters, in the order in which the model lists them."""
    macs = layer_macs(model, example)
    stands = {model.get_parameter(each.param).data_ptr(): each.name for each in prunable_weights(model, True)}
    rows: list[LayerRow] = []
    for name, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        for matrix, counted in _rows_of(module).items():
            word = matrix or ("weight" if "weight" in counted else "")
            row = _row(name, module, matrix) or counted[0]
            why_not = _why_not(module, matrix)
            if not why_not and (owner := stands[own[matrix].data_ptr()]) != row:
                why_not = f"shares its weight with {owner}, which stands for both"
            rows.append(
                LayerRow(
                    row,
                    type(module).__name__,
                    tuple(own[word].shape) if word else _shape(module),
                    sum(own[each].numel() for each in counted),
                    _macs_of(model, name, matrix, macs),
                    why_not or ("" if _is_layer(module) else BARE),
                    _path(name, word) if word else "",
                )
            )
    return rows


def prunable_weights(model: nn.Module, bare_parameters: bool = False) -> Iterator[Weight]:
    """Every weight matrix that can be pruned; a shared one once, under the first of its names that is a layer's.

    `bare_parameters`: also those that hang beside layers, or in a list.
    """
    free = [
        (Weight(_row(name, module, matrix), _path(name, matrix), module), module.get_parameter(matrix).data_ptr())
        for name, module in model.named_modules()
        for matrix in _matrices(module)
        if not _why_not(module, matrix)
    ]
    seen = set[int]()
    of_layers = {place for weight, place in free if _is_layer(weight.module)}
    for weight, place in free:
        bare = not _is_layer(weight.module)
        if place not in seen and not (bare and (place in of_layers or not bare_parameters)):
            seen.add(place)
            yield weight


def _rows_of(module: nn.Module) -> dict[str, list[str]]:
    """Weight matrix -> the module's own parameters that its row counts; "" is the row of those that go with none.

    A layer's biases go with their matrix, and what else it has with the first.
    """
    matrices = _matrices(module)
    rest = matrices[0] if matrices and _is_layer(module) else ""
    rows: dict[str, list[str]] = {matrix: [] for matrix in matrices}
    for name, _ in module.named_parameters(recurse=False):
        homes = (name, name.replace("bias", "weight"), name.removesuffix("_bias"))
        rows.setdefault(next((home for home in homes if home in matrices), rest), []).append(name)
    return rows or ({"": []} if _is_quantised(module) else {})


def _matrices(module: nn.Module) -> list[str]:
    """Names of the module's own parameters that are weight matrices."""
    return [name for name, parameter in module.named_parameters(recurse=False) if _is_matrix(module, name, parameter)]


def _is_matrix(module: nn.Module, name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a weight matrix: of two dimensions or more, and more than a scale [1, channels, 1, 1].

    A mixture of experts has a bias for each expert, and yet it is a bias.
    """
    if "bias" in name or parameter.dim() < 2:
        return False
    at_any_length = is_a(module, WITH_MATRICES) or not _is_layer(module)
    return at_any_length or sum(length > 1 for length in parameter.shape) > 1


def _is_layer(module: nn.Module) -> bool:
    """Whether a module's own parameters are those of one layer: not where they hang beside layers, or in a list."""
    if is_a(module, WITH_MATRICES):
        return True
    beside = any(next(child.parameters(), None) is not None for child in module.children())
    return not beside and not isinstance(module, nn.ParameterList | nn.ParameterDict)


def _path(layer: str, matrix: str) -> str:
    return f"{layer}.{matrix}" if layer else matrix


def _row(layer: str, module: nn.Module, matrix: str) -> str:
    of_the_layer = not matrix or (matrix == "weight" and _is_layer(module))
    return layer if layer and of_the_layer else _path(layer, matrix)


def _shape(module: nn.Module) -> tuple[int, ...]:
    weight = getattr(module, "weight", None)
    return tuple(weight.shape) if isinstance(weight, Tensor) else ()


def _macs_of(model: nn.Module, layer: str, matrix: str, macs: dict[str, int]) -> int | None:
    """A layer's MACs; of a layer with several weight matrices the part of this one, by its size.

    None where a parameter hangs beside layers, or in a list, and the module that has it computes something by itself:
    nobody can tell whether with this parameter.
    """
    module, place = model.get_submodule(layer), _called(model, layer)
    computed = macs.get(place, 0) - _macs_within(model, place, macs)
    if not _is_layer(module):
        return None if computed > 0 else 0
    if not matrix:
        return computed
    called = model.get_submodule(place)
    parts = called.modules() if isinstance(called, nn.MultiheadAttention) else [module]
    sizes = [part.get_parameter(name).numel() for part in parts for name in _matrices(part)]
    return round(computed * module.get_parameter(matrix).numel() / sum(sizes))


def _called(model: nn.Module, layer: str) -> str:
    """The module whose call computes with a layer's parameters: attention reads its projection, nobody calls a list."""
    parent = layer.rpartition(".")[0]
    if layer and isinstance(model.get_submodule(layer), nn.ParameterList | nn.ParameterDict):
        return _called(model, parent)
    return parent if isinstance(model.get_submodule(parent), nn.MultiheadAttention) else layer


def _macs_within(model: nn.Module, place: str, macs: dict[str, int]) -> int:
    """MACs of all that a module calls."""
    inner = [_path(place, child) for child, _ in model.get_submodule(place).named_children()]
    return sum(macs[path] if path in macs else _macs_within(model, path, macs) for path in inner)


def layer_macs(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Multiply-accumulates of every module for one sample (`example` is [1, *input]); "" is the model itself."""
    root = type(model).__name__
    counts = {name: sum(ops.values()) // 2 for name, ops in _counted(model, example).get_flop_counts().items()}
    return {name[len(root) + 1 :]: macs for name, macs in counts.items() if name == root or name.startswith(f"{root}.")}


def model_macs(model: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of the whole model for one sample."""
    return _counted(model, example).get_total_flops() // 2


@torch.no_grad()
def _counted(model: nn.Module, example: Tensor) -> FlopCounterMode:
    # the fast paths of transformer layers and of attention are single operations, which the counter does not know
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        counter = FlopCounterMode(display=False)
        # the counter hooks what asks for a gradient, and fails at a slice of a parameter, which does and has no history
        with (
            frozen(model),
            evaluating(model),
            recurrence_apart(),
            sdpa_kernel(SDPBackend.MATH),
            _no_compiler(),
            counter,
        ):
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


def owning_layer(model: nn.Module, param: str) -> nn.Module:
    """The layer that a parameter belongs to, as the model calls it: attention reads its output projection's weight."""
    path = param.rpartition(".")[0]
    parent = model.get_submodule(path.rpartition(".")[0])
    return parent if isinstance(parent, nn.MultiheadAttention) else model.get_submodule(path)


def _is_quantised(module: nn.Module) -> bool:
    return "quantized" in type(module).__module__


def _why_not(module: nn.Module, matrix: str) -> str:
    """Why no granularity may prune a parameter of the module, or the module where `matrix` names no weight matrix."""
    kind = type(module).__name__
    if _is_quantised(module):
        return f"{kind} is quantised: prune the float model first, then quantise it"
    if is_a(module, NORMS):
        return "a norm has no units of its own: it is pruned with the channels that it follows"
    if matrix not in _matrices(module):
        return "no weight matrix: scales and biases are pruned with the units that they belong to"
    weight = module.get_parameter(matrix)
    if not weight.is_floating_point():
        return f"its values are {weight.dtype}, and only real floating-point numbers can be ranked: they stay"
    return "" if weight.requires_grad else "frozen: set requires_grad to True to let it be pruned"
