"""How much memory a value takes: what caches that are bounded in bytes ask."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from pruning.workload import TensorSplit, Workload


@runtime_checkable
class GrowingBytes(Protocol):
    """A value that takes more memory while it is used, up to `most_bytes`."""

    @property
    def most_bytes(self) -> int: ...


def bytes_of(value: object) -> int:
    """Roughly how much memory a value takes: its tensors and arrays, and a little for all else."""
    if isinstance(value, GrowingBytes):
        return value.most_bytes
    if isinstance(value, Workload | TensorSplit):
        return 64  # its data belongs to whoever made it
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, nn.Module):
        return sum(bytes_of(tensor) for tensor in (*value.parameters(), *value.buffers()))
    if isinstance(value, Mapping):
        return sum(map(bytes_of, value.values()))  # type: ignore[arg-type]
    if isinstance(value, tuple | list):
        return sum(map(bytes_of, value))  # type: ignore[arg-type]
    if is_dataclass(value):
        return sum(bytes_of(getattr(value, field.name)) for field in fields(value))
    return 64
