"""What a file says of one tensor, and whether its bytes can be that."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from pruning.errors import WorkloadError
from pruning.files.preflight.limits import DIMENSIONS
from pruning.files.shown import shown

SIZES = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint64": 8, "uint32": 4, "uint16": 2, "uint8": 1, "bool": 1,
}  # fmt: skip
"""torch's name of each dtype that a network's file may hold -> bytes of one value."""

MOST_VALUES = 2**60
"""Beyond that torch's own arithmetic of sizes overflows, also where a dimension is 0."""


@dataclass(frozen=True)
class Declared:
    """A tensor as a file describes it: torch's name of its dtype, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """How many bytes its values take, each counted once."""
        return math.prod(self.shape) * SIZES[self.dtype]


def shape_of(name: str, values: object) -> tuple[int, ...]:
    """The sizes as a tuple. WorkloadError unless they are whole numbers that a tensor can have."""
    if not isinstance(values, list | tuple):
        raise WorkloadError(f"the shape of {shown(name)} is no list; export it again")
    sizes = cast(Sequence[object], values)
    shape = tuple(size for size in sizes if type(size) is int and size >= 0)
    if len(shape) < len(sizes):
        raise WorkloadError(f"the shape of {shown(name)} is not made of whole numbers; export it again")
    if len(shape) > DIMENSIONS or math.prod(max(size, 1) for size in shape) > MOST_VALUES:
        raise WorkloadError(
            f"{shown(name)} is said to have {len(shape)} dimensions or more than {MOST_VALUES:.0e} values, which no "
            "tensor has; export it again"
        )
    return shape
