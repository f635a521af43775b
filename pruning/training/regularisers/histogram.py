"""The sizes of units in few numbers: how a regulariser pushes them to zero."""

import math
from collections.abc import Mapping

from torch import Tensor

from pruning.events import NEAR_ZERO, SIZE_BINS, SIZES_FROM, SIZES_TO, UnitSizes


def mean_sizes(sizes: Mapping[str, Tensor]) -> dict[str, float]:
    """Group name -> the mean size of its units; 1 where all are zero."""
    return {name: float(each.double().mean()) or 1.0 for name, each in sizes.items()}


def unit_sizes(number: int, step: int, sizes: Mapping[str, Tensor], means: Mapping[str, float]) -> UnitSizes:
    """The event of round `number` after `step` optimiser steps: sizes [units] by group, beside the dense means.

    Examples:
        >>> import torch
        >>> unit_sizes(0, 5, {"fc": torch.tensor([0.0, 0.001, 2.0])}, {"fc": 2.0}).near_zero
        0.6666666666666666
    """
    counts: dict[str, tuple[int, ...]] = {}
    near = units = 0
    for name, each in sizes.items():
        shares = each.float() / means[name]
        counts[name] = tuple(_bins(shares).tolist())
        near += int((shares < NEAR_ZERO).sum())
        units += len(shares)
    return UnitSizes(number, step, near / max(units, 1), counts)


def _bins(shares: Tensor) -> Tensor:
    """How many lie in each bin: int64 [SIZE_BINS]."""
    low, high = math.log10(SIZES_FROM), math.log10(SIZES_TO)
    at = (shares.clamp(min=SIZES_FROM).log10() - low) / (high - low) * SIZE_BINS
    return at.long().clamp(0, SIZE_BINS - 1).bincount(minlength=SIZE_BINS)
