"""Running out of memory, as torch says it on its different devices."""

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from pruning.workload import TensorSplit, Workload

# a CPU, Windows and MPS raise a plain RuntimeError
_NO_MEMORY = re.compile(r"DefaultCPUAllocator|out of memory|not enough memory")


def out_of_memory(error: BaseException) -> bool:
    """Whether the error means that there was not enough memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


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
