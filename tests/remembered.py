"""What a granularity makes of a network, found once for all tests that only take its units for given.

To find what falls together takes longer than most of what is tested of it, and the tests ask it thousands of times of
the same few networks. Tests of granularities call `sorted_out` themselves, and nothing is remembered there.
"""

import hashlib
from collections.abc import Callable, Hashable
from types import BuiltinFunctionType, FunctionType
from typing import ClassVar

import torch
from torch import Tensor, nn

from pruning.criteria import Criterion
from pruning.granularities import Granularity
from pruning.model.units import UnitGroup

Found = tuple[list[UnitGroup], dict[str, str]]
Scorable = Callable[[Criterion, Granularity, nn.Module, Tensor], Found]

_PLAIN = (int, float, str, type(None), torch.dtype, torch.device)
_OF_EVERY_MODULE = vars(nn.Module()).keys()
_RECURRENT = ("_flat_weights", "_flat_weight_refs", "_flat_weights_names", "_all_weights")
"""Attributes of recurrent layers that name or hold their parameters again."""


class Unknown(Exception):
    """Something of a network that cannot be compared, such as a hook: nothing of it is remembered."""


class Remembered:
    """A granularity that is asked once about networks that are the same in every class, number, value and name."""

    found: ClassVar[dict[Hashable, Found]] = {}

    def __init__(self, granularity: Granularity) -> None:
        self._granularity = granularity

    def sorted_out(self, model: nn.Module, example: Tensor) -> Found:
        try:
            key = (self._granularity, of_model(model), of_tensor(example))
        except Unknown:
            return self._granularity.sorted_out(model, example)
        if key not in self.found:
            self.found[key] = self._granularity.sorted_out(model, example)
        groups, reasons = self.found[key]
        return list(groups), dict(reasons)


def remembering(scorable_groups: Scorable) -> Scorable:
    """The same function, which asks granularities as above."""

    def asked(criterion: Criterion, granularity: Granularity, model: nn.Module, example: Tensor) -> Found:
        return scorable_groups(criterion, Remembered(granularity), model, example)  # type: ignore[arg-type]

    return asked


def of_model(model: nn.Module) -> Hashable:
    """All that decides what a network computes. Unknown where that cannot be said."""
    modules = [
        (name, type(module), type(module).forward, module.training, _attributes(module))
        for name, module in model.named_modules(remove_duplicate=False)
    ]
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    places: dict[int, int] = {}
    tensors = [(name, places.setdefault(tensor.data_ptr(), len(places)), of_tensor(tensor)) for name, tensor in named]
    return tuple(modules), tuple(tensors)


def of_tensor(tensor: Tensor) -> Hashable:
    if tensor.device.type != "cpu" or tensor.layout != torch.strided:
        raise Unknown
    values = hashlib.blake2b(tensor.detach().reshape(-1).view(torch.uint8).numpy())
    return tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.requires_grad, values.digest()


def _attributes(module: nn.Module) -> Hashable:
    own = vars(module)
    if any(own[name] for name in _OF_EVERY_MODULE if name.endswith("hooks") and name in own):
        raise Unknown
    skipped = _RECURRENT if isinstance(module, nn.RNNBase) else ()
    return tuple((n, _value(v)) for n, v in own.items() if n not in _OF_EVERY_MODULE and n not in skipped)


def _value(value: object) -> Hashable:
    if isinstance(value, _PLAIN):
        return type(value), value
    if isinstance(value, tuple | list):
        return type(value), tuple(map(_value, value))
    if isinstance(value, BuiltinFunctionType) or (isinstance(value, FunctionType) and not value.__closure__):
        return value  # such as a transformer layer's activation
    raise Unknown
