"""Running out of memory, as torch says it on its different devices."""

import re

import torch

# a CPU, Windows and MPS raise a plain RuntimeError
_NO_MEMORY = re.compile(r"DefaultCPUAllocator|out of memory|not enough memory")


def out_of_memory(error: BaseException) -> bool:
    """Whether the error means that there was not enough memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None
