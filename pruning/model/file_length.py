"""How long a .safetensors file is, told from what it would hold."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

_DTYPES = {
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.float8_e8m0fnu: "F8_E8M0",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""What the format calls them, in the order in which a file holds its tensors."""


def file_length(
    shapes: Mapping[str, Sequence[int]], dtypes: Mapping[str, torch.dtype], metadata: Mapping[str, str]
) -> int:
    """Bytes of the file with tensors of these shapes and types, by name."""
    order = list(_DTYPES)
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in sorted(shapes, key=lambda name: (order.index(dtypes[name]), name)):
        begin, end = end, end + math.prod(shapes[name]) * dtypes[name].itemsize
        header[name] = {"dtype": _DTYPES[dtypes[name]], "shape": shapes[name], "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return 8 + -(-len(text) // 8) * 8 + end  # the values begin at a multiple of 8 bytes
