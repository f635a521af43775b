"""Operations that put values together along dimensions, or mix them up."""

from typing import Any

from torch import Tensor

from pruning.model.labels.marks import Plane, marked
from pruning.model.labels.rules.call import Call

SUMS = ("sum", "linalg_vector_norm", "norm", "any", "count_nonzero")


def reduce(call: Call) -> Any:
    """Values are put together along dimensions."""
    source = call.source
    given = call.given.get("dim", call.given.get("dims"))
    dims = range(source.dim()) if given is None or given == [] else [given] if isinstance(given, int) else given
    over = {dim % source.dim() for dim in dims} if source.dim() else set[int]()
    keeps = bool(call.given.get("keepdim", False))
    planes: list[Plane] = []
    for plane in call.marks_of(source).planes:
        labels, units = plane.labels, plane.dims & over
        if plane.dims <= over and not (call.name in SUMS and plane.vanishes):
            call.relations.average(labels)
        if plane.dims <= over:
            continue
        labels = call.relations.tie(labels, units)
        shape = [size for dim, size in enumerate(labels.shape) if keeps or dim not in over]
        planes.append(Plane(labels.reshape(shape), plane.vanishes))
    made = marked(planes, call.data())
    return made if isinstance(call.result, Tensor) else [made] * len(call.result)


def mix(call: Call) -> Any:
    """Along some dimensions values change places by what they are, or depend on others there."""
    given = call.given.get("dim", -1)
    dims = {dim % max(call.source.dim(), 1) for dim in ([given] if isinstance(given, int) else given)}
    planes = [Plane(call.relations.tie(p.labels, p.dims & dims), p.vanishes) for p in call.marks_of(call.source).planes]
    made = marked(planes, call.data())
    return made if isinstance(call.result, Tensor) else [made] * len(call.result)


def over_positions(call: Call) -> Any:
    """Pooling and resizing: each channel by itself, over positions."""
    source = call.source
    spatial = next((int(c) for c, d in zip(call.name, call.name[1:], strict=False) if c.isdigit() and d == "d"), 2)
    places = set(range(source.dim() - spatial, source.dim()))
    planes = [Plane(call.relations.tie(p.labels, p.dims & places), p.vanishes) for p in call.marks_of(source).planes]
    made = marked(planes, call.data())
    return made if isinstance(call.result, Tensor) else [made] * len(call.result)
