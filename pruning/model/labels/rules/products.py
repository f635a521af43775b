"""Operations that multiply and add up: products of matrices, convolutions, lookups."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pruning.model.labels.marks import UNMARKED, Marks, Plane, marked
from pruning.model.labels.meeting import Factor, Operand, contract, meet
from pruning.model.labels.rules.call import Call, operand_of
from pruning.model.labels.rules.unknown import unknown

COLUMN = frozenset({1})

_FACTORS = {
    "mm": ("self", "mat2"),
    "bmm": ("self", "mat2"),
    "addmm": ("mat1", "mat2"),
    "baddbmm": ("batch1", "batch2"),
}


def product(call: Call) -> Marks:
    """mm and bmm, without and with something added."""
    first, second = (call.given[n] for n in _FACTORS[call.name])
    letters = ("bmk", "bkn", "bmn") if first.dim() == 3 else ("mk", "kn", "mn")
    planes = contract(
        call.relations,
        Factor(call.marks_of(first), letters[0]),
        Factor(call.marks_of(second), letters[1]),
        letters[2],
    )
    data = _multiplied_data(call, first, second)
    added = None if first is call.given["self"] else call.given["self"]
    return _plus(call, planes, data, added, call.result)


def _multiplied_data(call: Call, first: Tensor, second: Tensor) -> bool:
    """Whether a product is data: a weight times what the code makes by itself is not, two weights are taken for it."""
    marks = call.marks_of(first), call.marks_of(second)
    return any(each.data for each in marks) or all(each.planes for each in marks)


def _plus(call: Call, planes: Sequence[Plane], data: bool, added: Tensor | None, result: Tensor) -> Marks:
    if added is None:
        return marked(planes, data)
    shape = frozenset(dim for dim, size in enumerate(result.shape) if size > 1)
    operands = [Operand(tuple(planes), shape, data), operand_of(call, added, result.dim())]
    # a bias that the units own is zero with them
    return marked(meet(call.relations, operands, lambda zeros: len(zeros) == 2), data or call.data())


def grouped_product(call: Call) -> Any:
    """Each row of a matrix times one of several weights [weights, in, out], as where experts share out the words."""
    first, second = call.given["self"], call.given["mat2"]
    if (first.dim(), second.dim()) != (2, 3):
        return unknown(call)
    weights = call.marks_of(second)
    of_one = tuple(Plane(p.labels[0], p.vanishes) for p in weights.planes if 0 not in p.dims)
    planes = contract(
        call.relations, Factor(call.marks_of(first), "mk"), Factor(Marks(of_one, weights.data), "kn"), "mn"
    )
    return marked(planes, call.data())


def vector_product(call: Call) -> Marks:
    """mv and dot: a vector is a matrix of one column."""
    second = call.given["vec"] if "vec" in call.given else call.given["tensor"]
    letters = "mk" if call.source.dim() == 2 else "k"
    planes = contract(
        call.relations,
        Factor(call.marks_of(call.source), letters),
        Factor(call.marks_of(second), "k"),
        letters[:-1],
    )
    return marked(planes, call.data())


def distances(call: Call) -> Marks:
    """cdist: added up over the last dimension of both."""
    first, second = call.given["x1"], call.given["x2"]
    letters = "abcde"[: first.dim() - 2]
    planes = contract(
        call.relations,
        Factor(call.marks_of(first), f"{letters}mk"),
        Factor(call.marks_of(second), f"{letters}nk"),
        f"{letters}mn",
    )
    return marked([Plane(p.labels, False) for p in planes], call.data())


def embedding(call: Call) -> Any:
    """A row of the weight for each index: the columns are the units."""
    weight, indices = call.given["weight"], call.given["indices"]
    columns = [p for p in call.marks_of(weight).planes if p.dims == COLUMN]
    call.relations.written += [p.labels.unique() for p in columns]
    bag = call.name == "_embedding_bag"
    before = 1 if bag else indices.dim()
    planes = [Plane(p.labels.reshape([1] * before + [-1]), p.vanishes) for p in columns]
    made = marked(planes, True)
    return [made, UNMARKED, UNMARKED, UNMARKED] if bag else made
