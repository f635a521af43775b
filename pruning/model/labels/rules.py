"""What each of torch's operations does to labels: one table. What is in none of its groups loses its labels with a word."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from pruning.model.labels.marks import (
    CONSTANT,
    DATA,
    FIRST,
    UNMARKED,
    Marks,
    Plane,
    aligned,
    compact,
    marked,
    own_sizes,
)
from pruning.model.labels.meeting import Factor, Operand, contract, meet
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
        found: list[Tensor] = []
        tree_map(lambda value: found.append(value) if isinstance(value, Tensor) else None, list(self.given.values()))
        return found

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
"""Gives marks in the structure of the result: one for a tensor, a list for several."""


def pointwise(call: Call) -> Marks:
    """Values meet position by position."""
    result: Tensor = call.result if isinstance(call.result, Tensor) else call.result[0]
    dims = result.dim()
    operands = [_operand(call, tensor, dims) for tensor in call.tensors()]
    return marked(meet(call.relations, operands, lambda zeros: _vanishes(call, zeros)), call.data())


def _operand(call: Call, tensor: Tensor, dims: int) -> Operand:
    marks = call.marks_of(tensor)
    planes = tuple(Plane(aligned(plane.labels, dims), plane.vanishes) for plane in marks.planes)
    return Operand(planes, own_sizes(tensor, dims), marks.data)


def _vanishes(call: Call, zeros: frozenset[int]) -> bool:
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
        return tree_map(lambda each: each.long(), call.again(labels.cpu().double()))


def same(call: Call) -> Marks:
    """The values of one tensor, in another form."""
    marks = call.marks_of(call.source)
    return Marks(marks.planes, call.data())


def written_over(call: Call) -> Marks:
    """copy_: what was there before is gone."""
    source, target = call.given["src"], call.source
    planes = tuple(Plane(aligned(p.labels, target.dim()), p.vanishes) for p in call.marks_of(source).planes)
    return marked(planes, call.marks_of(source).data)


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
        planes = tuple(Plane(l, p.vanishes) for l, p in zip(labels, marks.planes, strict=True))
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
    operands = [Operand(tuple(planes), shape, data), _operand(call, added, result.dim())]
    # a bias that the units own is zero with them
    return marked(meet(call.relations, operands, lambda zeros: zeros == {0, 1}), data or call.data())


def grouped_product(call: Call) -> Marks:
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
    shaped = None if bias is None else bias
    if shaped is None:
        return marked(planes, call.data())
    along = Marks(
        tuple(Plane(p.labels.reshape([1, -1, *[1] * (dims - 2)]), p.vanishes) for p in call.marks_of(shaped).planes)
    )
    operands = [Operand(tuple(planes), frozenset({1}), True), Operand(along.planes, frozenset({1}), False)]
    return marked(meet(relations, operands, lambda zeros: zeros == {0, 1}), call.data())


def _flat(labels: Tensor) -> Tensor:
    return labels.reshape(labels.shape[:2])


def _grouped(call: Call, values: Marks, weights: Marks, groups: int, transposed: bool) -> tuple[Plane, ...]:
    """Groups stay equal: they lose their first channel together, or their second. One channel a group falls with it."""
    relations = call.relations
    shape = call.given["weight"].shape
    channels, made = call.given["input"].shape[1], call.result.shape[1]
    inputs, outputs = channels // groups, made // groups
    read = next((p for p in values.planes if p.dims == {1}), None)
    others = [p for p in values.planes if 1 not in p.dims]
    for plane in values.planes:
        if 1 in plane.dims and plane.dims != {1}:
            relations.lock(plane.labels, f"its units lie along several dimensions at {relations.here}")
    del shape
    # of a transposed convolution the weight is [in, out of a group], here turned round: [out of a group, in]
    rows = next((p.labels.flatten() for p in weights.planes if p.dims == {0}), torch.full((1,), CONSTANT))
    columns = next((p.labels.flatten() for p in weights.planes if p.dims == {1}), torch.full((1,), CONSTANT))
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


def batch_norm(call: Call) -> Any:
    """Each channel by itself: scale, shift and running statistics are the channel's."""
    return [_channelwise(call, {"weight", "bias", "running_mean", "running_var"}), UNMARKED, UNMARKED, UNMARKED]


def _channelwise(call: Call, names: set[str], dim: int = 1) -> Marks:
    values: Tensor = call.source
    operands = [_operand(call, values, values.dim())]
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
    operands += [_operand(call, tensor, values.dim()) for tensor in affine if tensor is not None]
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


def embedding(call: Call) -> Marks:
    """A row of the weight for each index: the columns are the units."""
    weight, indices = call.given["weight"], call.given["indices"]
    columns = [p for p in call.marks_of(weight).planes if p.dims == {1}]
    call.relations.written += [p.labels.unique() for p in columns]
    bag = call.name == "_embedding_bag"
    before = 1 if bag else indices.dim()
    planes = [Plane(p.labels.reshape([1] * before + [-1]), p.vanishes) for p in columns]
    made = marked(planes, True)
    return [made, UNMARKED, UNMARKED, UNMARKED] if bag else made


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


SUMS = ("sum", "linalg_vector_norm", "norm", "any", "count_nonzero")
"""What units that are zero add nothing to."""


def normalise(call: Call) -> Marks:
    """Softmax and its kin: the values along a dimension share out what there is."""
    planes = _averaged(call, {call.given["dim"] % max(call.source.dim(), 1)})
    return marked(planes, call.data())


def mix(call: Call) -> Any:
    """Along one dimension values change places by what they are, or depend on those before them."""
    dim = call.given.get("dim", -1) % max(call.source.dim(), 1)
    planes = [
        Plane(call.relations.tie(p.labels, p.dims & {dim}), p.vanishes) for p in call.marks_of(call.source).planes
    ]
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


def unfold_image(call: Call) -> Marks:
    """Patches as columns [n, channels x kernel, patches]."""
    area = call.given["kernel_size"][0] * call.given["kernel_size"][1]
    planes: list[Plane] = []
    for plane in call.marks_of(call.source).planes:
        labels = call.relations.tie(plane.labels, plane.dims - {0, 1}).flatten(2)
        planes.append(Plane(labels.repeat_interleave(area, 1) if labels.shape[1] > 1 else labels, plane.vanishes))
    return marked(planes, call.data())


def add_at(call: Call) -> Marks:
    """Values are added or put at places along a dimension: along all others units must fall together."""
    source, added = call.source, call.given.get("source", call.given.get("src", call.given.get("values")))
    dim = call.given.get("dim", 0) % max(source.dim(), 1)
    operands = []
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


def made_alike(call: Call) -> Marks:
    """A tensor of the size of another, with values of the code's own."""
    return UNMARKED


def unknown(call: Call) -> Any:
    """An operation that is not in the table: what goes in stays whole."""
    for tensor in call.tensors():
        for plane in call.marks_of(tensor).planes:
            call.relations.lock(
                plane.labels, f"what torch's {call.name} makes of its units is not known ({call.relations.here})"
            )
    made = Marks((), call.data())
    return tree_map(lambda value: made if isinstance(value, Tensor) else None, call.result)


def rule_of(func: Any, result: Any) -> Rule:
    """The rule of an operation."""
    name = func.overloadpacket.__name__.removesuffix("_")
    if name in RULES:
        return RULES[name]
    if torch.Tag.pointwise in func.tags:
        return pointwise
    if torch.Tag.reduction in func.tags:
        return reduce
    aliases = any(argument.alias_info is not None for argument in func._schema.arguments[:1])
    return move if aliases and not func._schema.is_mutable else unknown


def _group(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: dict[str, Rule] = {
    **_group(product, "mm bmm addmm baddbmm"),
    **_group(grouped_product, "_grouped_mm"),
    **_group(vector_product, "mv dot"),
    **_group(convolution, "convolution _convolution"),
    **_group(
        batch_norm, "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm"
    ),
    **_group(layer_norm, "native_layer_norm _fused_rms_norm rms_norm"),
    **_group(group_norm, "native_group_norm"),
    **_group(written_over, "copy"),
    **_group(embedding, "embedding _embedding_bag"),
    **_group(concatenate, "cat stack concat"),
    **_group(pad, "constant_pad_nd"),
    **_group(gated, "glu"),
    **_group(same, "clone _to_copy contiguous detach alias lift_fresh lift_fresh_copy _conj"),
    **_group(
        move,
        "view _unsafe_view _reshape_alias reshape expand permute transpose t unsqueeze squeeze select slice split "
        "split_with_sizes unsafe_split unsafe_split_with_sizes chunk unsafe_chunk unbind unfold as_strided diagonal "
        "movedim repeat roll flip index index_select gather tile rot90 pixel_shuffle pixel_unshuffle channel_shuffle "
        "native_channel_shuffle reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
        "replication_pad2d replication_pad3d take_along_dim repeat_interleave masked_select tril triu",
    ),
    **_group(normalise, "_softmax _log_softmax _safe_softmax softmax log_softmax"),
    **_group(mix, "cumsum cumprod logcumsumexp cummax cummin sort topk kthvalue mode _fft_c2c _fft_r2c _fft_c2r"),
    **_group(
        reduce,
        "sum mean amax amin max min var std var_mean std_mean prod argmax argmin logsumexp norm linalg_vector_norm any all median nanmean count_nonzero",
    ),
    **_group(
        over_positions,
        "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d "
        "avg_pool3d adaptive_avg_pool1d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool2d "
        "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d upsample_nearest1d upsample_nearest2d "
        "upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d upsample_bilinear2d "
        "upsample_linear1d upsample_trilinear3d upsample_bicubic2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa "
        "grid_sampler_2d grid_sampler_3d",
    ),
    **_group(unfold_image, "im2col"),
    **_group(add_at, "index_add scatter_add scatter index_put scatter_reduce index_copy masked_scatter"),
    **_group(as_complex, "view_as_complex"),
    **_group(as_real, "view_as_real"),
    **_group(distances, "_cdist_forward cdist _euclidean_dist"),
    **_group(
        pointwise, "hardswish prelu _prelu_kernel where masked_fill hardsigmoid silu mish dropout rrelu threshold"
    ),
    **_group(
        made_alike,
        "zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty new_full "
        "bernoulli fill zero uniform normal new_empty_strided",
    ),
}
"""Name of the operation, as torch takes networks apart -> what it does to labels."""

assert FIRST > CONSTANT
