"""Operations after which values lie elsewhere: the operation itself is carried out on the labels."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from pruning.model.labels.marks import CONSTANT, DATA, UNMARKED, Marks, Plane, aligned, marked
from pruning.model.labels.meeting import Operand, meet
from pruning.model.labels.rules.call import Call


def move(call: Call) -> Any:
    """Values only change places: the operation itself is carried out on the labels."""
    marks, source = call.marks_of(call.source), call.source
    moved = [(_moved(call, plane.labels.expand(source.shape)), plane.vanishes) for plane in marks.planes]
    if isinstance(call.result, Tensor):
        return marked([Plane(labels, vanishes) for labels, vanishes in moved], call.data())
    return [
        marked([Plane(labels[number], vanishes) for labels, vanishes in moved], call.data())
        for number in range(len(call.result))
    ]


def _moved(call: Call, labels: Tensor) -> Any:
    if call.name in ("view", "_unsafe_view", "_reshape_alias", "reshape"):
        return labels.reshape(call.result.shape)
    if call.name == "as_strided":
        laid_out = torch.empty_strided(call.source.shape, call.source.stride(), dtype=torch.long).copy_(labels)
        return call.again(laid_out)
    try:
        return call.again(labels.cpu())
    except Exception:  # some operations are made for floating-point numbers only, which hold labels exactly too
        return tree_map(_whole, call.again(labels.cpu().double()))


def _whole(labels: Tensor) -> Tensor:
    return labels.long()


def same(call: Call) -> Marks:
    """The values of one tensor, in another form."""
    marks = call.marks_of(call.source)
    return Marks(marks.planes, call.data())


def written_over(call: Call) -> Marks:
    """copy_: what was there before is gone."""
    source, target = call.given["src"], call.source
    planes = tuple(Plane(aligned(p.labels, target.dim()), p.vanishes) for p in call.marks_of(source).planes)
    return marked(planes, call.marks_of(source).data)


def made_alike(call: Call) -> Marks:
    """A tensor of the size of another, with values of the code's own."""
    return UNMARKED


def pad(call: Call) -> Marks:
    """Numbers made by the code are added at the edges."""
    source, widths = call.source, call.given["pad"]
    padded = {source.dim() - 1 - i // 2 for i, width in enumerate(widths) if width}
    planes: list[Plane] = []
    for plane in call.marks_of(source).planes:
        vanishes = plane.vanishes and not call.given.get("value")
        labels = plane.labels
        if plane.dims & padded:
            labels = torch.constant_pad_nd(labels.expand(source.shape), widths, CONSTANT)
        planes.append(Plane(labels, vanishes))
    return marked(planes, call.data())


def as_complex(call: Call) -> Marks:
    """Two numbers beside one another are one."""
    last = call.source.dim() - 1
    planes = [
        Plane(call.relations.tie(p.labels, p.dims & {last}).squeeze(-1), p.vanishes)
        for p in call.marks_of(call.source).planes
    ]
    return marked(planes, call.data())


def as_real(call: Call) -> Marks:
    return marked([Plane(p.labels.unsqueeze(-1), p.vanishes) for p in call.marks_of(call.source).planes], call.data())


def unfold_image(call: Call) -> Marks:
    """Patches as columns [n, channels x kernel, patches]."""
    area = call.given["kernel_size"][0] * call.given["kernel_size"][1]
    planes: list[Plane] = []
    for plane in call.marks_of(call.source).planes:
        labels = call.relations.tie(plane.labels, plane.dims - {0, 1}).flatten(2)
        planes.append(Plane(labels.repeat_interleave(area, 1) if labels.shape[1] > 1 else labels, plane.vanishes))
    return marked(planes, call.data())


def concatenate(call: Call) -> Marks:
    """Tensors beside one another: along all other dimensions their units must fall together."""
    stacked = call.name == "stack"
    tensors: list[Tensor] = [t for t in call.given["tensors"] if t.dim() > 1 or t.numel() or stacked]
    dims = call.result.dim()
    dim = call.given.get("dim", 0) % dims
    operands: list[Operand] = []
    shapes: list[list[int]] = []
    for tensor in tensors:
        marks = call.marks_of(tensor)
        labels = [p.labels.unsqueeze(dim) if stacked else p.labels for p in marks.planes]
        shapes.append(list(tensor.unsqueeze(dim).shape if stacked else tensor.shape))
        planes = tuple(Plane(each, p.vanishes) for each, p in zip(labels, marks.planes, strict=True))
        operands.append(Operand(planes, frozenset(d for d, n in enumerate(shapes[-1]) if n > 1), marks.data))
    if call.relations.loose:
        # recurrent layers put the states of their layers beside one another, and are made anew if these differ
        return marked(_side_by_side([list(o.planes) for o in operands], operands, shapes, dim), call.data())
    across: list[Operand] = []
    beside: list[list[Plane]] = []
    for operand in operands:
        together = [p for p in operand.planes if _lies_along(p, operands, dim)]
        beside.append(together)
        rest = tuple(p for p in operand.planes if not any(p is one for one in together))
        across.append(Operand(rest, operand.sizes - {dim}, operand.data))
    found = list(meet(call.relations, across, lambda zeros: len(zeros) == len(tensors)))
    return marked(found + _side_by_side(beside, operands, shapes, dim), call.data())


def _lies_along(plane: Plane, operands: Sequence[Operand], dim: int) -> bool:
    """Whether the labels differ along the dimension, or those do that they lie beside."""
    return dim in plane.dims or any(
        dim in other.dims and bool(other.dims & plane.dims) for operand in operands for other in operand.planes
    )


def _side_by_side(
    beside: Sequence[Sequence[Plane]], operands: Sequence[Operand], shapes: Sequence[list[int]], dim: int
) -> list[Plane]:
    """The planes that differ along the dimension itself: one after the other, with what lies between them."""
    made: list[Plane] = []
    for number in range(max(map(len, beside))):
        planes = [planes[number] if number < len(planes) else None for planes in beside]
        there = [plane for plane in planes if plane is not None]
        sizes = [max(lengths) for lengths in zip(*(plane.labels.shape for plane in there), strict=True)]
        parts: list[Tensor] = []
        for plane, operand, shape in zip(planes, operands, shapes, strict=True):
            size = [*sizes[:dim], shape[dim], *sizes[dim + 1 :]]
            filler = torch.full([1] * len(size), DATA if operand.data else CONSTANT)
            parts.append((filler if plane is None else plane.labels).expand(size))
        made.append(Plane(torch.cat(parts, dim), all(plane.vanishes for plane in there)))
    return made
