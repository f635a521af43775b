"""What a convolution reads at some places of its output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BYTES = 64 * 2**20
"""Unfolded patches at a time."""


@dataclass(frozen=True)
class Window:
    """How a convolution moves over its input, a number for each dimension.

    Attributes:
        behind: What a transposed convolution adds behind its output (torch: output_padding).
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    transposed: bool = False
    behind: tuple[int, ...] = ()

    @property
    def reach(self) -> tuple[int, ...]:
        """From the first value that it reads to the last."""
        return tuple(d * (k - 1) for d, k in zip(self.dilation, self.kernel, strict=True))


def patches_at(window: Window, values: Tensor, chosen: Tensor, places: Sequence[int]) -> Tensor:
    """Of inputs [n, in, *sizes] what is read for the chosen places [m] of the output, which has `places` of a sample.

    Places are numbered sample by sample.

    Returns:
        [groups, m, in / groups x kernel], the last as the weight has it; of a transposed convolution back to front.
    """
    padded, stride = _padded(window, values)
    reads = values.shape[1] // window.groups * math.prod(window.kernel)
    positions = math.prod(places)
    each = max(1, BYTES // max(1, positions * reads * window.groups * values.element_size()))
    sample, place = chosen // positions, chosen % positions
    found: list[Tensor] = []
    for start in range(0, len(padded), each):
        here = (sample >= start) & (sample < start + each)
        if not bool(here.any()):
            continue
        unfolded = padded[start : start + each]
        for dim, size in enumerate(window.reach):
            unfolded = unfolded.unfold(2 + dim, size + 1, stride[dim])[..., :: window.dilation[dim]]
        # [n, in, *places, *kernel] -> [n, *places, in, *kernel]
        dims = len(window.kernel)
        order = [0, *range(2, 2 + dims), 1, *range(2 + dims, 2 + 2 * dims)]
        at = torch.unravel_index(place[here], tuple(places))
        taken = unfolded.permute(order)[(sample[here] - start, *at)]
        found.append(taken.reshape(len(taken), window.groups, reads).transpose(0, 1))
    return torch.cat(found, dim=1)


def _padded(window: Window, values: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """The input as a plain convolution would read it, and its stride.

    A transposed convolution is a plain one of stride 1 over its input with zeros between the values (Dumoulin and Visin
    2016, arXiv 1603.07285).
    """
    if not window.transposed:
        sides = [side for size in reversed(window.padding) for side in (size, size)]
        return F.pad(values, sides), window.stride
    sizes = [(size - 1) * step + 1 for size, step in zip(values.shape[2:], window.stride, strict=True)]
    spread = values.new_zeros(*values.shape[:2], *sizes)
    spread[(slice(None), slice(None), *(slice(None, None, step) for step in window.stride))] = values
    sides: list[int] = []
    for reach, padding, behind in zip(*map(reversed, (window.reach, window.padding, window.behind)), strict=True):
        sides += [reach - padding, reach - padding + behind]
    return F.pad(spread, sides), (1,) * len(sizes)
