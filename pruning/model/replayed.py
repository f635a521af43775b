"""Statistics over units, taken in one network and used in another: what is left then shows whether the cut was right.

A norm or a mean over units changes when some are gone, and rightly so. With the statistics of the network whose units
are zero, the network without them must compute the same to the last digit.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Statistics(TorchDispatchMode):
    """Notes every statistic that is taken in the block; used again, `replaying`, it gives those that were noted.

    Only where the values that it is taken over have other sizes than they had: that is where units are gone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.replaying = False
        self._noted: dict[str, list[tuple[torch.Size, Any]]] = {}
        self._taken: dict[str, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler to keep it out: nothing is compiled here

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = _statistic(func)
        if not name:
            return result
        values: Tensor = args[0]
        noted = self._noted.setdefault(name, [])
        if not self.replaying:
            noted.append((values.shape, result))
            return result
        number = self._taken.get(name, 0)
        self._taken[name] = number + 1
        if number >= len(noted) or noted[number][0] == values.shape:
            return result
        before = noted[number][1]
        if name in NORMS:
            return NORMS[name](values, args, before) or result
        return before if _alike(before, result) else result


@cache
def _statistic(func: Any) -> str:
    """The name of an operation that takes a statistic, "" of any other: asked at every operation of every network."""
    name = func.overloadpacket.__name__
    tagged = torch.Tag.reduction in func.tags and name not in SUMS
    return name if tagged or name in NORMS else ""


SUMS = ("sum", "any", "all", "linalg_vector_norm", "norm", "count_nonzero")
"""What units that are zero add nothing to."""


def _alike(first: Any, second: Any) -> bool:
    pairs = zip(tree_leaves(first), tree_leaves(second), strict=True)
    return all(not isinstance(a, Tensor) or a.shape == b.shape for a, b in pairs)


def _layer_norm(values: Tensor, args: Any, before: Any) -> Any:
    _, mean, deviation = before
    scaled = (values - mean) * deviation
    weight, bias = args[2], args[3]
    scaled = scaled if weight is None else scaled * weight
    return scaled if bias is None else scaled + bias, mean, deviation


def _rms_norm(values: Tensor, args: Any, before: Any) -> Any:
    scaled = values * before[1]
    weight = args[2]
    return scaled if weight is None else scaled * weight, before[1]


def _group_norm(values: Tensor, args: Any, before: Any) -> Any:
    """Only one group of all channels has the same statistics before and after."""
    _, mean, deviation = before
    if args[6] != 1 or mean.numel() != len(values):
        return None
    shape = [len(values), *[1] * (values.dim() - 1)]
    scaled = (values - mean.reshape(shape)) * deviation.reshape(shape)
    owned = [-1, *[1] * (values.dim() - 2)]
    weight, bias = args[1], args[2]
    scaled = scaled if weight is None else scaled * weight.reshape(owned)
    return scaled if bias is None else scaled + bias.reshape(owned), mean, deviation


NORMS: dict[str, Callable[[Tensor, Any, Any], Any]] = {
    "native_layer_norm": _layer_norm,
    "_fused_rms_norm": _rms_norm,
    "native_group_norm": _group_norm,
}
"""Norms that give their statistics back, and how to compute them with others."""
