"""Norms and softmax: statistics over some dimensions."""

from typing import Any

from torch import Tensor

from pruning.model.labels.marks import UNMARKED, Marks, Plane, marked, own_sizes
from pruning.model.labels.meeting import Operand, meet
from pruning.model.labels.rules.call import Call, operand_of


def batch_norm(call: Call) -> Any:
    """Each channel by itself: scale, shift and running statistics are the channel's."""
    return [_channelwise(call, {"weight", "bias", "running_mean", "running_var"}), UNMARKED, UNMARKED, UNMARKED]


def _channelwise(call: Call, names: set[str], dim: int = 1) -> Marks:
    values: Tensor = call.source
    operands = [operand_of(call, values, values.dim())]
    shape = [-1 if d == dim else 1 for d in range(values.dim())]
    for name, tensor in call.given.items():
        if name in names and isinstance(tensor, Tensor) and tensor.numel():
            marks = call.marks_of(tensor)
            planes = tuple(Plane(p.labels.reshape(shape), p.vanishes) for p in marks.planes)
            operands.append(Operand(planes, frozenset({dim}), marks.data))
    # scale and shift are zero with their unit: what the norm makes of it is too
    vanishes = call.given.get("weight") is not None
    return marked(meet(call.relations, operands, lambda zeros: vanishes), call.data())


def layer_norm(call: Call) -> Any:
    """Statistics over the last dimensions; scale and shift are each unit's own."""
    values: Tensor = call.source
    normalised = set(range(values.dim() - len(call.given["normalized_shape"]), values.dim()))
    planes = _averaged(call, normalised)
    operands = [Operand(planes, own_sizes(values, values.dim()), call.marks_of(values).data)]
    affine = [call.given.get(name) for name in ("weight", "bias")]
    operands += [operand_of(call, tensor, values.dim()) for tensor in affine if tensor is not None]
    made = marked(meet(call.relations, operands, lambda zeros: 1 in zeros), call.data())
    return [made, *[UNMARKED] * (len(call.result) - 1)] if isinstance(call.result, tuple) else made


def _averaged(call: Call, over: set[int]) -> tuple[Plane, ...]:
    """The planes after statistics over some dimensions: noted where units are averaged, tied where some must stay."""
    planes: list[Plane] = []
    for plane in call.marks_of(call.source).planes:
        labels = plane.labels
        if plane.dims <= over:
            call.relations.average(labels)
        elif plane.dims & over:
            labels = call.relations.tie(labels, plane.dims & over)
        planes.append(Plane(labels, False if plane.dims & over else plane.vanishes))
    return tuple(planes)


def group_norm(call: Call) -> Any:
    """Statistics over the channels of a group and all positions: only whole groups fall without changing the others."""
    values, groups = call.source, call.given["group"]
    channels = values.shape[1]
    planes: list[Plane] = []
    for plane in call.marks_of(values).planes:
        labels = call.relations.tie(plane.labels, plane.dims - {0, 1})
        if labels.shape[1] > 1 and groups == 1:
            call.relations.average(labels)
        elif labels.shape[1] > 1 and groups < channels:
            parts = labels.reshape(labels.shape[0], groups, channels // groups, *labels.shape[2:])
            tied = call.relations.tie(parts, {2})
            labels = tied.expand_as(parts).reshape(labels.shape)
        planes.append(Plane(labels, plane.vanishes))
    operands = [Operand(tuple(planes), own_sizes(values, values.dim()), call.marks_of(values).data)]
    shape = [1, -1, *[1] * (values.dim() - 2)]
    for name in ("weight", "bias"):
        if (tensor := call.given.get(name)) is not None:
            owned = tuple(Plane(p.labels.reshape(shape), p.vanishes) for p in call.marks_of(tensor).planes)
            operands.append(Operand(owned, frozenset({1}), False))
    return [marked(meet(call.relations, operands, lambda zeros: 1 in zeros), call.data()), UNMARKED, UNMARKED]


def normalise(call: Call) -> Marks:
    """Softmax and its kin: the values along a dimension share out what there is."""
    planes = _averaged(call, {call.given["dim"] % max(call.source.dim(), 1)})
    return marked(planes, call.data())
