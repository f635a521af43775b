"""Products of what is read with a parameter, wherever a network's code makes them: what every layer comes down to.

Linear, convolutions and transposed ones, the projections of attention, a class of somebody's own: below torch's layers
each is one of three operations. They are seen there, with the very memory of the parameter that they multiply with.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pruning.model.devices import recurrence_apart
from pruning.model.labels.tracing import memory_of, without_fast_path
from pruning.model.layer_types import is_a
from pruning.repair.patches import Window, patches_at

Key = tuple[str, int, tuple[int, ...]]
"""A parameter by name, and which part of it: where that begins, and its shape."""


@dataclass(frozen=True, eq=False)
class Product:
    """One product with a parameter, about to be computed.

    Attributes:
        param: The parameter's name.
        weight: The part of it that is multiplied with, as the code has it: a view, to be changed in place.
        bias: What is added for each output, a view of another parameter; None if nothing is, or not by the same
            operation.
        added: The same where it is no parameter that may learn.
        offset: Where in the parameter's memory the part begins.
        inputs: What is read: [rows, in], or of a convolution [samples, in, *places].
        window: How a convolution moves over its input; None where it is a plain product.
        flipped: Whether the weight is stored [in, out].
    """

    param: str
    weight: Tensor
    bias: Tensor | None
    added: Tensor | None
    offset: int
    inputs: Tensor
    window: Window | None
    flipped: bool

    @property
    def key(self) -> Key:
        return self.param, self.offset, tuple(self.weight.shape)

    @property
    def groups(self) -> int:
        return self.window.groups if self.window else 1

    def part_of(self, whole: Tensor) -> Tensor:
        """The same part of values that are laid out as the whole parameter."""
        return whole.as_strided(self.weight.shape, self.weight.stride(), whole.storage_offset() + self.offset)

    def matrices(self, values: Tensor) -> Tensor:
        """Values of the weight's shape as [groups, out / groups, in / groups x kernel]: a view or a copy."""
        if self.window is None:
            return (values.t() if self.flipped else values)[None]
        if self.window.transposed:  # [in, out / groups, *kernel], and it reads its input back to front
            kernel = values.shape[2:]
            apart = values.reshape(self.groups, -1, *values.shape[1:]).transpose(1, 2)
            return apart.flip(list(range(3, 3 + len(kernel)))).flatten(2)
        return values.reshape(self.groups, len(values) // self.groups, -1)

    @torch.no_grad()
    def write(self, matrices: Tensor) -> None:
        """Put [groups, out / groups, in / groups x kernel] into the weight, in place."""
        if self.window is None:
            (self.weight.t() if self.flipped else self.weight).copy_(matrices[0])
        elif self.window.transposed:
            kernel = self.weight.shape[2:]
            apart = matrices.reshape(*matrices.shape[:2], -1, *kernel).flip(list(range(3, 3 + len(kernel))))
            self.weight.copy_(apart.transpose(1, 2).reshape(self.weight.shape))
        else:
            self.weight.copy_(matrices.reshape(self.weight.shape))

    def given(self, output: Tensor, chosen: Tensor) -> Tensor:
        """What is given at the chosen places [n], but for what is `added`: [groups, n, out / groups]."""
        flat = output if self.window is None else output.flatten(2).transpose(1, 2).flatten(0, 1)
        rows = flat[chosen] if self.added is None else flat[chosen] - self.added
        return rows.reshape(len(chosen), self.groups, -1).transpose(0, 1)

    def read(self, chosen: Tensor, places: Sequence[int]) -> Tensor:
        """What is read for the chosen places [n] of an output with so many along each dimension: [groups, n, ...]."""
        return (
            self.inputs[chosen][None] if self.window is None else patches_at(self.window, self.inputs, chosen, places)
        )


class Watcher(Protocol):
    """Is told of every product before it is computed, and what it gave."""

    def before(self, product: Product) -> None: ...

    def after(self, product: Product, output: Tensor) -> None: ...


class _Products(TorchDispatchMode):
    def __init__(self, params: Mapping[int, tuple[str, Tensor]], watcher: Watcher, differing: frozenset[int]) -> None:
        super().__init__()
        self._params, self._watcher, self._differing = params, watcher, differing
        self.differs = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler to keep it out: nothing is compiled here

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.differs and self._differing:
            used = {memory_of(value) for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)}
            self.differs = bool(used & self._differing)
        product = self._product(func.overloadpacket, args)
        if product is None:
            return func(*args, **kwargs)
        self._watcher.before(product)
        output = func(*args, **kwargs)
        self._watcher.after(product, output)
        return output

    def _product(self, op: Any, args: Sequence[Any]) -> Product | None:
        aten = torch.ops.aten
        if op is aten.mm:
            return self._plain(args[0], args[1], None)
        if op is aten.addmm:
            return self._plain(args[1], args[2], args[0])
        if op is aten.convolution:
            inputs, weight, bias, stride, padding, dilation, transposed, behind, groups = args
            found = self._params.get(memory_of(weight))
            if found is None or weight.shape != found[1].shape:
                return None
            window = Window(
                *map(tuple, (weight.shape[2:], stride, padding, dilation)), groups=groups, transposed=transposed,
                behind=tuple(behind),
            )  # fmt: skip
            return Product(found[0], weight, *self._bias(bias), 0, inputs, window, False)
        return None

    def _plain(self, inputs: Tensor, right: Tensor, bias: Tensor | None) -> Product | None:
        """`inputs @ right` where the right one is a part of a parameter, or of one turned over."""
        found = self._params.get(memory_of(right))
        if found is None or found[1].dim() < 2:
            return None
        name, param = found
        offset = int(right.storage_offset() - param.storage_offset())
        turned = right.stride(0) == 1 and right.stride(1) != 1
        if bias is not None and bias.shape != right.shape[1:]:
            return None  # one number for all outputs, or another for each row
        return Product(name, right.t() if turned else right, *self._bias(bias), offset, inputs, None, not turned)

    def _bias(self, bias: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """The bias that may be changed, and that which stays."""
        if bias is None:
            return None, None
        found = self._params.get(memory_of(bias))
        return (bias, None) if found is not None and found[1].requires_grad else (None, bias)


@contextmanager
def watched(model: nn.Module, watcher: Watcher, differing: frozenset[int] = frozenset()) -> Generator[_Products]:
    """While the block runs, the watcher is told of the products of the model's code with its parameters.

    Of what is entered, `differs` says whether memory that is among `differing` has been used by then.
    """
    params = {memory_of(parameter): (name, parameter) for name, parameter in model.named_parameters()}
    recurrent = any(is_a(module, ("RNNBase",)) for module in model.modules())
    apart = recurrence_apart() if recurrent else nullcontext()
    with without_fast_path(), apart, _Products(params, watcher, differing) as products:
        yield products


def memory(values: Iterable[Tensor]) -> frozenset[int]:
    """Which memory the tensors look into."""
    return frozenset(map(memory_of, values))
