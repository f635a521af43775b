"""What happens to labels where values meet: position by position, or multiplied and added up along a dimension."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pruning.model.labels.marks import Marks, Plane, lettered, without
from pruning.model.labels.relations import Relations, of_no_layer

Vanishing = Callable[[frozenset[int]], bool]
"""Whether a result is 0 where the operands with these numbers are."""


class Operand(NamedTuple):
    """A tensor that meets others: planes over the dimensions of the result, and along which of them it has sizes of
    its own.
    """

    planes: tuple[Plane, ...]
    sizes: frozenset[int]
    data: bool


@dataclass(eq=False)
class _Family:
    """Labels of several operands that lie along the same dimensions; `zeros` are the operands that vanish with them."""

    labels: Tensor
    members: frozenset[int]
    zeros: frozenset[int]
    constant: bool

    @property
    def dims(self) -> frozenset[int]:
        return frozenset(dim for dim, size in enumerate(self.labels.shape) if size > 1)


def meet(relations: Relations, operands: Sequence[Operand], vanishing: Vanishing) -> tuple[Plane, ...]:
    """The planes of what an operation makes of its operands, position by position."""
    families: list[_Family] = []
    for number, operand in enumerate(operands):
        for plane in operand.planes:
            zeros = frozenset({number} if plane.vanishes else ())
            _add(relations, families, _Family(plane.labels, frozenset({number}), zeros, not operand.data))
    for family in families:
        for number, operand in enumerate(operands):
            # what the code makes by itself goes along with the units; values of the network's input do not
            if operand.data and number not in family.members:
                family.labels = relations.tie(family.labels, family.dims & operand.sizes)
    return tuple(Plane(family.labels, vanishing(family.zeros)) for family in families if family.dims)


def _add(relations: Relations, families: list[_Family], new: _Family) -> None:
    for old in [family for family in families if family.dims & new.dims and not family.members & new.members]:
        if new.dims < old.dims and new.constant:
            relations.share(new.labels, old.labels)
            old.members |= new.members
            return
        if old.dims < new.dims and old.constant:
            relations.share(old.labels, new.labels)
            new.members |= old.members
            families.remove(old)
            continue
        both = old.dims & new.dims
        labels = relations.couple(
            relations.tie(old.labels, old.dims - both), relations.tie(new.labels, new.dims - both)
        )
        families.remove(old)
        new = _Family(labels, old.members | new.members, old.zeros | new.zeros, old.constant and new.constant)
    families.append(new)


class Factor(NamedTuple):
    """A tensor that is multiplied and added up; `letters` name its dimensions as in einsum."""

    marks: Marks
    letters: str


def contract(relations: Relations, first: Factor, second: Factor, result: str) -> tuple[Plane, ...]:
    """The planes of a product that is added up along the letters that are not in the result, one at most."""
    everything = "".join(dict.fromkeys(first.letters + second.letters))
    summed = frozenset(everything) - frozenset(result)
    k = everything.index(next(iter(summed))) if summed else -1
    factors = (first, second)
    planes = [[Plane(lettered(p.labels, f.letters, everything), p.vanishes) for p in f.marks.planes] for f in factors]
    dims = [frozenset(everything.index(letter) for letter in factor.letters) for factor in factors]
    along = [[p for p in of if k in p.dims] for of in planes]
    free = [[p for p in of if k not in p.dims] for of in planes]
    _note_weights(relations, factors, along, free)
    for number, other in ((0, 1), (1, 0)):
        private = dims[number] - dims[other]
        along[number] = [Plane(relations.tie(p.labels, p.dims & private), p.vanishes) for p in along[number]]
        along[number] = [p for p in along[number] if k in p.dims]
    sums = _sum_up(relations, factors, along, k)
    # what met along the sum is of both already
    settled = frozenset[int]().union(*(plane.dims for plane in sums))
    operands = [Operand(tuple(free[number]), dims[number] - settled, factors[number].marks.data) for number in (0, 1)]
    operands.append(Operand(tuple(sums), frozenset(), True))
    found = meet(relations, operands, lambda zeros: bool(zeros))
    if k >= 0 and all(factor.marks.data for factor in factors):
        # attention: what the products of a batch have in common is a head
        shared = dims[0] & dims[1] - {k}
        relations.heads += [(plane.labels.unique(), relations.module) for plane in found if plane.dims & shared]
    gone = [everything.index(letter) for letter in summed]
    kept = "".join(letter for letter in everything if letter in result)
    return tuple(Plane(lettered(without(p.labels, gone), kept, result), p.vanishes) for p in found)


def _note_weights(
    relations: Relations, factors: Sequence[Factor], along: Sequence[list[Plane]], free: Sequence[list[Plane]]
) -> None:
    """What is added up is consumed; a constant that is multiplied is a weight: it reads units along what is added up,
    and makes units along the rest.
    """
    constant = [not factor.marks.data for factor in factors]
    for number in (0, 1):
        relations.consumed.extend(plane.labels.unique() for plane in along[number])
        if constant[number] and constant[1 - number]:
            # a learnt input times a weight, or a weight of low rank: what is stored first is what a weight makes
            relations.unsure.extend(plane.labels.unique() for plane in [*along[number], *free[number]])
        elif constant[number]:
            relations.read.extend(plane.labels.unique() for plane in along[number])
            relations.written.extend(plane.labels.unique() for plane in free[number])


def _sum_up(relations: Relations, factors: Sequence[Factor], along: Sequence[list[Plane]], k: int) -> list[Plane]:
    """Couple what is multiplied along the dimension that is added up. The planes of what is left: the heads of
    attention, whose units differ along other dimensions too.
    """
    left: list[Plane | None] = []
    for first, second in _pairs(relations, along, k):
        if first is not None and second is not None:
            left.append(_multiplied(relations, first, second, k))
            continue
        plane, other = (first, factors[1]) if first is not None else (second, factors[0])
        assert plane is not None
        if other.marks.data:
            if plane.dims == frozenset({k}):
                relations.lock(plane.labels, of_no_layer(relations.here))
        elif not plane.vanishes:
            relations.average(plane.labels)
        left.append(_rest(relations, plane, k))
    return [plane for plane in left if plane is not None]


def _pairs(relations: Relations, along: Sequence[list[Plane]], k: int) -> list[tuple[Plane | None, Plane | None]]:
    """Which plane of one factor meets which of the other: of several, those that differ in the same places."""
    first, second = (list(planes) for planes in along)
    if len(first) <= 1 and len(second) <= 1:
        return [(first[0] if first else None, second[0] if second else None)] if first or second else []
    found: list[tuple[Plane | None, Plane | None]] = []
    for plane in list(first):
        same = next((other for other in second if torch.equal(_pattern(plane, k), _pattern(other, k))), None)
        if same is not None:
            found.append((plane, same))
            first, second = ([p for p in planes if p is not one] for planes, one in ((first, plane), (second, same)))
    if first and second:
        found.append((first.pop(0), second.pop(0)))
    for further in first + second:
        relations.lock(further.labels, f"its units are spread over those of another layer at {relations.here}")
    return found


def _pattern(plane: Plane, k: int) -> Tensor:
    """Which indices along k have the same label: a number for each."""
    columns = plane.labels.movedim(k, 0).flatten(1)
    return torch.unique(columns, dim=0, return_inverse=True)[1]


def _multiplied(relations: Relations, first: Plane, second: Plane, k: int) -> Plane | None:
    vanishes = first.vanishes or second.vanishes
    if not vanishes:
        relations.average(first.labels)
    if first.dims > second.dims:
        relations.share(second.labels, first.labels)
        return _rest(relations, Plane(first.labels, vanishes), k)
    if second.dims > first.dims:
        relations.share(first.labels, second.labels)
        return _rest(relations, Plane(second.labels, vanishes), k)
    both = first.dims & second.dims
    labels = relations.couple(
        relations.tie(first.labels, first.dims - both), relations.tie(second.labels, second.dims - both)
    )
    return _rest(relations, Plane(labels, vanishes), k)


def _rest(relations: Relations, plane: Plane, k: int) -> Plane | None:
    """What is left of a plane once its values are added up along k: nothing, unless it differs along more than that."""
    if plane.dims <= {k}:
        return None
    return Plane(relations.tie(plane.labels, {k}), plane.vanishes)
