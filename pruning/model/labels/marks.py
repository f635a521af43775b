"""What a tensor carries while a network is traced: planes of labels, as small as they can be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

DATA = 0
"""In a plane: a value of no unit, such as one that came from the network's input."""
CONSTANT = 1
"""In a plane: a value that the code makes by itself, such as padding. It goes wherever the units beside it go."""
FIRST = 2
"""The first label of a slice."""


class Plane(NamedTuple):
    """For each value of a tensor the label of the slice that it came from along one way: int64, as many dimensions as
    the tensor, size 1 along all those in which it is the same.

    `vanishes` says whether the values are 0 where the slices are zero.
    """

    labels: Tensor
    vanishes: bool

    @property
    def dims(self) -> frozenset[int]:
        """The dimensions along which the labels differ."""
        return frozenset(dim for dim, size in enumerate(self.labels.shape) if size > 1)


@dataclass(frozen=True, eq=False)
class Marks:
    """What is known of a tensor. A value may have labels in several planes: a weight has one for each dimension.

    `data` says whether it depends on the network's input.
    """

    planes: tuple[Plane, ...] = ()
    data: bool = False


UNMARKED = Marks()


def compact(labels: Tensor) -> Tensor:
    """The labels with size 1 along every dimension in which they are the same."""
    for dim, size in enumerate(labels.shape):
        if size > 1:
            first = labels.narrow(dim, 0, 1)
            if labels.stride(dim) == 0 or torch.equal(labels, first.expand_as(labels)):
                labels = first
    return labels


def marked(planes: Iterable[Plane], data: bool) -> Marks:
    """Marks of these planes, each made compact; without those that are the same everywhere."""
    kept = (Plane(compact(plane.labels), plane.vanishes) for plane in planes)
    return Marks(tuple(plane for plane in kept if plane.dims), data)


def aligned(labels: Tensor, dims: int) -> Tensor:
    """The labels with dimensions of size 1 before their own, as broadcasting adds them."""
    return labels.reshape([1] * (dims - labels.dim()) + list(labels.shape))


def own_sizes(tensor: Tensor, dims: int) -> frozenset[int]:
    """The dimensions, counted as in a tensor of `dims` dimensions, along which a tensor is not broadcast."""
    before = dims - tensor.dim()
    return frozenset(before + dim for dim, size in enumerate(tensor.shape) if size > 1 and tensor.stride(dim) != 0)


def lettered(labels: Tensor, letters: str, everything: str) -> Tensor:
    """The labels of a tensor whose dimensions are `letters`, as a tensor whose dimensions are `everything`."""
    ordered = labels.permute([letters.index(letter) for letter in everything if letter in letters])
    sizes = iter(ordered.shape)
    return ordered.reshape([next(sizes) if letter in letters else 1 for letter in everything])


def without(labels: Tensor, dims: Sequence[int]) -> Tensor:
    """The labels without dimensions along which they are the same."""
    return labels.reshape([size for dim, size in enumerate(labels.shape) if dim not in dims])
