"""Operations on values position by position."""

from torch import Tensor

from pruning.model.labels.marks import Marks, Plane, aligned, compact, marked, own_sizes
from pruning.model.labels.meeting import Operand, meet
from pruning.model.labels.rules.call import Call, operand_of, vanishes_with


def pointwise(call: Call) -> Marks:
    """Values meet position by position."""
    result: Tensor = call.result if isinstance(call.result, Tensor) else call.result[0]
    dims = result.dim()
    operands = [operand_of(call, tensor, dims) for tensor in call.tensors()]
    return marked(meet(call.relations, operands, lambda zeros: vanishes_with(call, zeros)), call.data())


def gated(call: Call) -> Marks:
    """glu: the first half times the sigmoid of the second."""
    source = call.source
    dim = call.given.get("dim", -1) % source.dim()
    half = source.shape[dim] // 2
    marks = call.marks_of(source)
    operands = [
        Operand(
            tuple(
                Plane(compact(p.labels.narrow(dim, start, half)) if dim in p.dims else p.labels, p.vanishes)
                for p in marks.planes
            ),
            own_sizes(source, source.dim()),
            marks.data,
        )
        for start in (0, half)
    ]
    return marked(meet(call.relations, operands, lambda zeros: 0 in zeros), call.data())


def add_at(call: Call) -> Marks:
    """Values are added or put at places along a dimension: along all others units must fall together."""
    source, added = call.source, call.given.get("source", call.given.get("src", call.given.get("values")))
    dim = call.given.get("dim", 0) % max(source.dim(), 1)
    operands: list[Operand] = []
    for tensor in (source, added):
        if not isinstance(tensor, Tensor):
            continue
        marks = call.marks_of(tensor)
        planes = tuple(
            Plane(call.relations.tie(aligned(p.labels, source.dim()), p.dims & {dim}), p.vanishes) for p in marks.planes
        )
        sizes = own_sizes(tensor, source.dim()) - {dim}
        operands.append(Operand(planes, sizes, marks.data))
    return marked(meet(call.relations, operands, lambda zeros: len(zeros) == len(operands)), call.data())
