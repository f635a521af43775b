"""A layer, something between, a layer: what of them falls together, as plain lists."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pruning.model.labels.dependencies import Dependencies, dependencies_of

Parts = list[tuple[list[int], list[int]]]
"""Which rows of `first` fall together, each time with the columns of `last` that fall with them."""


class Between(nn.Module):
    """`last` reads what `between`, a function or a module, makes of `first`; it is given the input as well."""

    def __init__(self, first: nn.Module, between: Callable[..., Tensor], last: nn.Module) -> None:
        super().__init__()
        self.first, self.last, self.between = first, last, between

    def forward(self, values: Tensor) -> Tensor:
        made = self.first(values)
        return self.last(self.between(made, values) if not isinstance(self.between, nn.Module) else self.between(made))


def slices_of(found: Dependencies, root: int) -> dict[tuple[str, int], list[int]]:
    """Parameter and dimension -> the slices with this root."""
    owned = {(axis.param, axis.dim): (found.roots_of(axis) == root).nonzero().flatten().tolist() for axis in found.axes}
    return {axis: indices for axis, indices in owned.items() if indices}


def parts_of(found: Dependencies, param: str, dim: int = 0) -> list[dict[tuple[str, int], list[int]]]:
    """What each slice of an axis falls together with, those together that do, in the order of their first slices."""
    (axis,) = [axis for axis in found.axes if (axis.param, axis.dim) == (param, dim)]
    return [slices_of(found, root) for root in dict.fromkeys(found.roots_of(axis).tolist())]


def followed(first: nn.Module, between: Callable[..., Tensor], last: nn.Module, example: Tensor) -> Dependencies:
    return dependencies_of(Between(first, between, last).eval(), example)


def rows_and_columns(found: Dependencies, rows_dim: int = 0) -> Parts:
    return [
        (part["first.weight", rows_dim], part.get(("last.weight", 1), []))
        for part in parts_of(found, "first.weight", rows_dim)
    ]


def locked_rows(found: Dependencies, param: str = "first.weight") -> dict[int, str]:
    """Row -> why it never falls, for the rows that do not."""
    (axis,) = [axis for axis in found.axes if (axis.param, axis.dim) == (param, 0)]
    roots = found.roots_of(axis).tolist()
    return {row: found.locked[root] for row, root in enumerate(roots) if root in found.locked}


VECTORS = torch.randn(1, 3, generator=torch.Generator().manual_seed(0))
STEPS = torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))


def single(*columns: list[int]) -> Parts:
    """Every row by itself, with these columns."""
    return [([row], of) for row, of in enumerate(columns)]
