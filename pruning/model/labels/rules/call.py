"""One operation of torch, as a rule sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from pruning.model.labels.marks import Marks, Plane, aligned, own_sizes
from pruning.model.labels.meeting import Operand
from pruning.model.labels.relations import Relations


@dataclass(frozen=True, eq=False)
class Call:
    """One operation of torch: its arguments by the names of its schema, its result, and the marks of every tensor."""

    func: Any
    given: dict[str, Any]
    result: Any
    relations: Relations
    marks_of: Callable[[Tensor], Marks]

    @property
    def name(self) -> str:
        return self.func.overloadpacket.__name__.removesuffix("_")

    @property
    def source(self) -> Tensor:
        """The first argument."""
        return next(iter(self.given.values()))

    def tensors(self) -> list[Tensor]:
        return [value for value in tree_leaves(list(self.given.values())) if isinstance(value, Tensor)]

    def data(self) -> bool:
        return any(self.marks_of(tensor).data for tensor in self.tensors())

    def again(self, source: Any) -> Any:
        """The same operation on another first argument."""
        values = list(self.given.values())
        names = list(self.given)
        schema = self.func._schema.arguments
        positional = [values[i] if i else source for i, a in enumerate(schema) if not a.kwarg_only and i < len(names)]
        keywords = {a.name: self.given[a.name] for a in schema if a.kwarg_only and a.name in self.given}
        return self.func(*positional, **keywords)


Rule = Callable[[Call], Any]


def operand_of(call: Call, tensor: Tensor, dims: int) -> Operand:
    marks = call.marks_of(tensor)
    planes = tuple(Plane(aligned(plane.labels, dims), plane.vanishes) for plane in marks.planes)
    return Operand(planes, own_sizes(tensor, dims), marks.data)


def vanishes_with(call: Call, zeros: frozenset[int]) -> bool:
    """Try the operation on a single number: is it 0 where these of its tensors are?"""
    if not zeros:
        return False
    numbers = iter(range(len(call.tensors())))

    def single(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        number = 0.0 if next(numbers) in zeros else 0.7
        return torch.full((1,), number).to(torch.bool if value.dtype == torch.bool else torch.float64)

    try:
        values = {name: tree_map(single, value) for name, value in call.given.items()}
        return not bool(Call(call.func, values, None, call.relations, call.marks_of).again(next(iter(values.values()))))
    except Exception:  # an operation that does not take a single number of this type
        return False
