"""Convolutions: each output channel adds up over input channels and positions."""

import torch
from torch import Tensor

from pruning.model.labels.marks import CONSTANT, DATA, Marks, Plane, marked
from pruning.model.labels.meeting import Factor, Operand, contract, meet
from pruning.model.labels.rules.call import Call

ROW, COLUMN = frozenset({0}), frozenset({1})


def convolution(call: Call) -> Marks:
    """Each output channel adds up over input channels and positions; in groups, over those of its group."""
    values, weight, bias = call.given["input"], call.given["weight"], call.given.get("bias")
    groups, transposed = call.given["groups"], call.given["transposed"]
    relations, dims = call.relations, values.dim()
    spatial = range(2, dims)
    planes = [Plane(relations.tie(p.labels, p.dims & set(spatial)), p.vanishes) for p in call.marks_of(values).planes]
    kernel = [p for p in call.marks_of(weight).planes if not p.dims & set(spatial)]
    flat = Marks(tuple(Plane(_flat(p.labels), p.vanishes) for p in planes if p.dims), call.marks_of(values).data)
    weights = Marks(tuple(Plane(_flat(p.labels), p.vanishes) for p in kernel), call.marks_of(weight).data)
    if transposed:
        weights = Marks(tuple(Plane(p.labels.T, p.vanishes) for p in weights.planes), weights.data)
    if groups == 1:
        made = contract(relations, Factor(flat, "nk"), Factor(weights, "ok"), "no")
    else:
        made = _grouped(call, flat, weights, groups, transposed)
    planes = [Plane(p.labels.reshape([*p.labels.shape, *[1] * (dims - 2)]), p.vanishes) for p in made]
    if bias is None:
        return marked(planes, call.data())
    along = Marks(
        tuple(Plane(p.labels.reshape([1, -1, *[1] * (dims - 2)]), p.vanishes) for p in call.marks_of(bias).planes)
    )
    operands = [Operand(tuple(planes), frozenset({1}), True), Operand(along.planes, frozenset({1}), False)]
    return marked(meet(relations, operands, lambda zeros: len(zeros) == 2), call.data())


def _flat(labels: Tensor) -> Tensor:
    return labels.reshape(labels.shape[:2])


def _grouped(call: Call, values: Marks, weights: Marks, groups: int, transposed: bool) -> tuple[Plane, ...]:
    """Groups stay equal: they lose their first channel together, or their second. One channel a group falls with it."""
    relations = call.relations
    channels, made = call.given["input"].shape[1], call.result.shape[1]
    inputs, outputs = channels // groups, made // groups
    read = next((p for p in values.planes if p.dims == COLUMN), None)
    others = [p for p in values.planes if 1 not in p.dims]
    for plane in values.planes:
        if 1 in plane.dims and plane.dims != COLUMN:
            relations.lock(plane.labels, f"its units lie along several dimensions at {relations.here}")
    # of a transposed convolution the weight is [in, out of a group], here turned round: [out of a group, in]
    rows = next((p.labels.flatten() for p in weights.planes if p.dims == ROW), torch.full((1,), CONSTANT))
    columns = next((p.labels.flatten() for p in weights.planes if p.dims == COLUMN), torch.full((1,), CONSTANT))
    seen = read.labels.flatten() if read is not None else torch.full((channels,), DATA if values.data else CONSTANT)
    if not weights.data:
        relations.written.append(rows.unique())
    if inputs == 1:
        per_channel = seen.repeat_interleave(outputs)
        if transposed:
            seen = relations.couple(seen, columns if columns.numel() > 1 else torch.full((channels,), CONSTANT))
            per_channel = seen.repeat_interleave(outputs)
            relations.lock(rows, f"every group has its own of these outputs at {relations.here}")
        else:
            per_channel = relations.couple(per_channel, rows.expand(made))
        out = per_channel
    else:
        if not weights.data:
            relations.read.append(columns.unique())
        relations.consumed.append(seen.unique())
        each = relations.tie(seen.reshape(groups, inputs), {0})
        if transposed:
            tied = relations.tie(columns.expand(channels).reshape(groups, inputs), {0})
            relations.couple(each.expand(1, inputs), tied)
            out = rows.expand(outputs).repeat(groups)
        else:
            relations.couple(each.expand(1, inputs), columns.expand(inputs)[None])
            out = relations.tie(rows.expand(made).reshape(groups, outputs), {0}).expand(groups, outputs).flatten()
    found = [Plane(out[None], True), *(Plane(p.labels, p.vanishes) for p in others)]
    return tuple(found)
