"""Which weight, or which module between its weights, does how many of a network's multiply-accumulates."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from pruning.model.labels.tracing import inside_modules, memory_of, taken_apart
from pruning.model.patching import evaluating


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates for one sample: those with each parameter by its name, and those that multiply what was
    computed before, such as queries with keys, by the module that does it.

    `of_modules` has all that are done while a module computes, by whatever it calls.
    """

    of_parameters: dict[str, int] = field(default_factory=dict[str, int])
    of_products: dict[str, int] = field(default_factory=dict[str, int])
    of_modules: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def total(self) -> int:
        return sum(self.of_parameters.values()) + sum(self.of_products.values())


def macs_of(model: nn.Module, example: Tensor) -> Macs:
    """Count them while the model computes `example` [1, *input]."""
    counter = _Counter(model)
    with torch.no_grad(), evaluating(model), taken_apart(), inside_modules(model) as path, counter.at(path):
        model(example)
    return counter.macs


class _Counter(TorchDispatchMode):
    """Counts as torch's own FlopCounterMode does, which knows modules and not weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.macs = Macs()
        self._model = model
        self._path: list[str] = []
        self._names = {memory_of(parameter): name for name, parameter in model.named_parameters()}

    def at(self, path: list[str]) -> "_Counter":
        """Look up in `path` which module is computing."""
        self._path = path
        return self

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler to keep it out: nothing is compiled here

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        counts = flop_registry.get(func.overloadpacket)
        if counts is not None:
            macs = counts(*args, **kwargs, out_val=result) // 2
            operands = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor) and value.dim() > 1]
            name = self._weight_among(operands)
            counted, key = (self.macs.of_parameters, name) if name else (self.macs.of_products, self._path[-1])
            counted[key] = counted.get(key, 0) + macs
            for module in set(self._path):
                self.macs.of_modules[module] = self.macs.of_modules.get(module, 0) + macs
        return result

    def _weight_among(self, operands: list[Tensor]) -> str:
        for tensor in operands:
            if name := self._names.get(memory_of(tensor)):
                return name
        # a weight that its module makes anew at each call, such as a standardised one
        module = self._model.get_submodule(self._path[-1])
        for own, parameter in module.named_parameters(recurse=False):
            if parameter.dim() > 1 and any(tensor.shape == parameter.shape for tensor in operands):
                return f"{self._path[-1]}.{own}" if self._path[-1] else own
        return ""
