"""What a convolution reads at some places of its output."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pruning.model.padding import sides

BYTES = 64 * 2**20
"""Unfolded patches at a time."""


def patches_at(layer: Any, values: Tensor, chosen: Tensor) -> Tensor:
    """Of inputs [n, in, *places] the patches of each sample's chosen places [n, few].

    Returns:
        [groups, n x few, in / groups x kernel], the last as the weight has it.
    """
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    padded = F.pad(values, sides(layer))
    reads = values.shape[1] // layer.groups * math.prod(kernel)
    positions = math.prod(_lengths(padded, kernel, stride, dilation))
    each = max(1, BYTES // max(1, positions * reads * layer.groups * values.element_size()))
    found: list[Tensor] = []
    for part, at in zip(padded.split(each), chosen.split(each), strict=True):
        unfolded = part
        for dim in range(len(kernel)):
            window = dilation[dim] * (kernel[dim] - 1) + 1
            unfolded = unfolded.unfold(2 + dim, window, stride[dim])[..., :: dilation[dim]]
        # [n, in, *places, *kernel] -> [n, places, in, *kernel]
        dims = len(kernel)
        order = [0, *range(2, 2 + dims), 1, *range(2 + dims, 2 + 2 * dims)]
        places = unfolded.permute(order)
        sample = torch.arange(len(part), device=at.device)[:, None]
        coordinates = torch.unravel_index(at, places.shape[1 : 1 + dims])
        found.append(places[(sample, *coordinates)].reshape(at.numel(), layer.groups, reads).transpose(0, 1))
    return torch.cat(found, dim=1)


def _lengths(padded: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> list[int]:
    return [
        (padded.shape[2 + dim] - dilation[dim] * (kernel[dim] - 1) - 1) // stride[dim] + 1 for dim in range(len(kernel))
    ]
