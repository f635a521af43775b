"""Runs a network with labels: a mode of torch that sees every operation."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from pruning.model.devices import recurrence_apart
from pruning.model.labels.marks import CONSTANT, FIRST, UNMARKED, Marks, Plane, compact, marked
from pruning.model.labels.relations import Relations
from pruning.model.labels.rules.call import Call
from pruning.model.labels.rules.table import rule_of
from pruning.model.labels.rules.unknown import unknown
from pruning.model.patching import hooked


@dataclass(frozen=True)
class Axis:
    """A dimension of a parameter or buffer: its slices have the labels from `first` on."""

    param: str
    dim: int
    first: int
    length: int


def axes_of(model: nn.Module) -> list[Axis]:
    """Every dimension of every parameter and floating-point buffer, each tensor once."""
    axes: list[Axis] = []
    first = FIRST
    for name, tensor in _tensors(model):
        for dim, length in enumerate(tensor.shape):
            axes.append(Axis(name, dim, first, length))
            first += length
    return axes


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    seen: set[tuple[int, torch.Size]] = set()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        key = (tensor.data_ptr(), tensor.shape)
        if tensor.is_floating_point() and tensor.numel() and key not in seen:
            seen.add(key)
            yield name, tensor


class Tracer(TorchDispatchMode):
    """Follows labels through every operation that torch carries out while the mode is on."""

    def __init__(self, model: nn.Module, axes: list[Axis], relations: Relations, path: list[str]) -> None:
        super().__init__()
        self.relations = relations
        self.model, self.path = model, path
        self.marks = WeakTensorKeyDictionary()
        self.aliases: dict[int, WeakTensorKeyDictionary] = {}
        self.touched: set[str] = set()
        self._names: dict[int, str] = {}
        self._label_parameters(model, axes)

    def _label_parameters(self, model: nn.Module, axes: list[Axis]) -> None:
        first = {(axis.param, axis.dim): axis.first for axis in axes}
        names = {(tensor.data_ptr(), tensor.shape): name for name, tensor in _tensors(model)}
        for tensor in [*model.parameters(), *model.buffers()]:
            name = names.get((tensor.data_ptr(), tensor.shape))
            if name is None:
                continue
            planes = [
                Plane(
                    torch.arange(first[name, dim], first[name, dim] + length).reshape(
                        [-1 if d == dim else 1 for d in range(tensor.dim())]
                    ),
                    True,
                )
                for dim, length in enumerate(tensor.shape)
                if length > 1
            ]
            self.marks[tensor] = Marks(tuple(planes), False)
            self._names[id(tensor)] = name

    def marks_of(self, tensor: Tensor) -> Marks:
        return self.marks.get(tensor, UNMARKED)  # pyright: ignore[reportReturnType]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        followed = [tensor for tensor in inputs if tensor in self.marks]
        self.touched |= {self._names[id(tensor)] for tensor in followed if id(tensor) in self._names}
        given = _named(func, args, kwargs)
        if torch.Tag.inplace_view in func.tags:
            return self._reshaped(func, args, kwargs, given)
        result = func(*args, **kwargs)
        if followed or func._schema.is_mutable:
            name = func.overloadpacket.__name__.strip("_").removeprefix("native_")
            self.relations.at(name, self.path[-1])
            self.relations.loose = isinstance(self.model.get_submodule(self.path[-1]), nn.RNNBase)
            call = Call(func, given, result, self.relations, self.marks_of)
            try:
                made = rule_of(func)(call)
            except Exception:  # a way to call an operation that its rule does not know must not hide the rest
                made = unknown(call)
            self._keep(result, made, mutated=func._schema.is_mutable)
        if isinstance(result, Tensor | list | tuple):
            self._note_aliases(inputs, result)
        return result

    def _reshaped(self, func: Any, args: Any, kwargs: Any, given: dict[str, Any]) -> Any:
        """A tensor that changes its own shape: transpose_ and its kin."""
        source: Tensor = args[0]
        marks = self.marks_of(source)
        moved = [
            Plane(func(plane.labels.expand(source.shape).clone(), *args[1:], **kwargs), plane.vanishes)
            for plane in marks.planes
        ]
        result = func(*args, **kwargs)
        if source in self.marks:
            self.marks[source] = marked(moved, marks.data)
        return result

    def _keep(self, result: Any, made: Any, mutated: bool) -> None:
        """Note the marks of the results; of one that was written into, also those of all that share its memory."""
        tensors: list[Any] = (
            [result] if isinstance(result, Tensor) else [*result] if isinstance(result, list | tuple) else []
        )
        marks: list[Any] = [made] if isinstance(made, Marks) else [*made] if isinstance(made, list | tuple) else []
        for tensor, each in zip(tensors, marks, strict=False):
            if not isinstance(tensor, Tensor) or not isinstance(each, Marks):
                continue
            before = self.marks_of(tensor)
            if each.planes or each.data or mutated:
                self.marks[tensor] = each
            if mutated and not _alike(before, each):
                self._write_through(tensor, each)

    def _note_aliases(self, inputs: list[Tensor], result: Any) -> None:
        results = [result] if isinstance(result, Tensor) else [each for each in result if isinstance(each, Tensor)]
        for source in inputs:
            for tensor in results:
                if tensor is not source and memory_of(tensor) == memory_of(source):
                    family = self.aliases.setdefault(memory_of(source), WeakTensorKeyDictionary())
                    family[source] = family[tensor] = True

    def _write_through(self, written: Tensor, marks: Marks) -> None:
        """What shares memory with a tensor that was written into has its labels there."""
        family = self.aliases.get(memory_of(written))
        if family is None:
            return
        count = written.untyped_storage().nbytes() // written.element_size()
        for other in list(family.keys()):
            if other is written or other.element_size() != written.element_size():
                continue
            before = self.marks_of(other)
            planes: list[Plane] = []
            for number in range(max(len(before.planes), len(marks.planes))):
                flat = torch.full((count,), CONSTANT)
                vanishes = True
                for tensor, of in ((other, before), (written, marks)):
                    view = flat.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
                    if number < len(of.planes):
                        view.copy_(of.planes[number].labels.expand(tensor.shape))
                        vanishes = vanishes and of.planes[number].vanishes
                    elif tensor is written or of.data:
                        view.fill_(0 if of.data else CONSTANT)
                labels = flat.as_strided(other.shape, other.stride(), other.storage_offset())
                planes.append(Plane(compact(labels.clone()), vanishes))
            self.marks[other] = marked(planes, before.data or marks.data)


def memory_of(tensor: Tensor) -> int:
    """Which memory a tensor looks into."""
    return tensor.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]


def _named(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    names = [argument.name for argument in func._schema.arguments]
    return dict(zip(names, args, strict=False)) | kwargs


def _alike(first: Marks, second: Marks) -> bool:
    return (
        first.data == second.data
        and len(first.planes) == len(second.planes)
        and all(
            a.labels.shape == b.labels.shape and torch.equal(a.labels, b.labels)
            for a, b in zip(first.planes, second.planes, strict=True)
        )
    )


# torch wraps this method for its compiler, whose import takes over a second of every fresh process
Tracer.__torch_dispatch__ = getattr(Tracer.__torch_dispatch__, "__wrapped__", Tracer.__torch_dispatch__)


@contextmanager
def without_fast_path() -> Generator[None]:
    """Torch's attention and transformer layers as the operations that their code names, not as one."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def attention_taken_apart() -> Generator[None]:
    """Attention and transformer layers as single operations that the rules know."""
    with without_fast_path(), sdpa_kernel(SDPBackend.MATH):
        yield


@contextmanager
def taken_apart() -> Generator[None]:
    """Recurrent layers too."""
    with attention_taken_apart(), recurrence_apart():
        yield


@contextmanager
def inside_modules(model: nn.Module) -> Generator[list[str]]:
    """A list whose last entry is the path of the module that is computing, while the block runs."""
    path = [""]
    names = {module: name for name, module in model.named_modules()}

    def enter(module: nn.Module, _args: Any, _kwargs: Any) -> None:
        path.append(names[module])

    def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
        path.pop()

    with hooked([(module, enter) for module in names], [(module, leave) for module in names]):
        yield path


@torch.no_grad()
def follow(model: nn.Module, example: Tensor, axes: list[Axis], relations: Relations) -> set[str]:
    """Run the model on the example, in the mode that it is in, and collect what its labels do.

    Returns the names of the parameters and buffers that it used.
    """
    with taken_apart(), inside_modules(model) as path:
        tracer = Tracer(model, axes, relations, path)
        tracer.marks[example] = Marks((), True)
        with tracer:
            output = model(example)
    for tensor in tree_leaves(output):
        if isinstance(tensor, Tensor):
            for plane in tracer.marks_of(tensor).planes:
                relations.lock(plane.labels, OUTPUT)
    return tracer.touched


OUTPUT = "its units are the model's output: they always stay"
