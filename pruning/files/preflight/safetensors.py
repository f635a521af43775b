"""The header of a .safetensors file: eight bytes of length, JSON, and then nothing but the tensors' bytes.

A file that passes is read in the own process and not in a child: its header is small and has the form that the library
expects, every tensor's bytes lie in the file, once, and nothing in it says what should be done. What reading it takes
is what it weighs.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import msgspec

from pruning.errors import WorkloadError
from pruning.files.preflight.limits import FILE_BYTES, HEADER_BYTES, TENSORS
from pruning.files.preflight.tensors import Declared, shape_of
from pruning.files.shown import shown

METADATA = "__metadata__"
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
"""The header's word -> torch's. What is missing here, such as C64, no network that is pruned here holds."""

_AGAIN = "export it again"
_BRACKETS = 500_000  # three for each tensor, and what the text of the metadata holds


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


@dataclass(frozen=True)
class Header:
    """What a .safetensors file says of its tensors, looked through."""

    tensors: Mapping[str, Declared]


def looked_through(file: BinaryIO) -> Header:
    """What the open file holds. WorkloadError says what is wrong with it, without its name."""
    length = os.fstat(file.fileno()).st_size
    if length > FILE_BYTES:
        raise WorkloadError(
            f"it has {length / 2**30:.1f} GiB, and files of weights are read up to {FILE_BYTES / 2**30:.0f} GiB; load "
            "it in a workload file of your own, in its build()"
        )
    file.seek(0)
    size = int.from_bytes(file.read(8), "little")
    if length < 8 or size > length - 8:
        raise WorkloadError(f"not a readable weights file (it ends before its header does); {_AGAIN}, or copy it again")
    if size > HEADER_BYTES:
        raise WorkloadError(
            f"its header has {size / 1e6:.1f} MB, and {HEADER_BYTES / 1e6:.0f} MB name {TENSORS} tensors; save the "
            "state dict of one network"
        )
    entries = _entries(file.read(size))
    found = {name: (_declared(name, entry), entry.data_offsets) for name, entry in entries.items()}
    _require_places({name: (*offsets, each.bytes) for name, (each, offsets) in found.items()}, length - 8 - size)
    return Header({name: each for name, (each, _) in found.items()})


def _entries(header: bytes) -> dict[str, _Entry]:
    """Read in three steps, each cheap because of the one before: names and raw values, typed values, names that occur
    twice.
    """
    try:
        raw = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        metadata = raw.pop(METADATA, msgspec.Raw(b"{}"))
        if len(raw) > TENSORS:
            raise WorkloadError(
                f"it has {len(raw)} tensors, and files are read up to {TENSORS}; save the state dict of one network"
            )
        msgspec.json.decode(metadata, type=dict[str, str])
        entries = {name: msgspec.json.decode(entry, type=_Entry) for name, entry in raw.items()}
        if header.count(b"{") + header.count(b"[") > _BRACKETS:  # in entries that others of the same name hide
            raise ValueError("a name occurs twice")
        json.loads(header, object_pairs_hook=_once)
    except RecursionError:
        raise WorkloadError(f"not a readable weights file (its header is nested too deep); {_AGAIN}") from None
    except ValueError as error:  # msgspec's and json's are
        raise WorkloadError(f"not a readable weights file (its header: {shown(str(error), 120)}); {_AGAIN}") from None
    return entries


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name occurs twice")


def _declared(name: str, entry: _Entry) -> Declared:
    if entry.dtype not in DTYPES:
        raise WorkloadError(
            f"{shown(name)} holds values of type {shown(entry.dtype)}, and weights are real numbers ("
            f"{', '.join(DTYPES)}); save it as one of these"
        )
    return Declared(DTYPES[entry.dtype], shape_of(name, entry.shape))


def _require_places(places: dict[str, tuple[int, int, int]], length: int) -> None:
    """WorkloadError unless the tensors' bytes lie one behind the other, and fill the rest of the file."""
    end = 0
    for name, (start, stop, needed) in sorted(places.items(), key=lambda item: item[1]):
        if stop - start != needed:
            raise _misplaced(f"{shown(name)} has {stop - start} bytes, and its shape needs {needed}")
        if start != end:
            raise _misplaced(f"the bytes of {shown(name)} begin at a wrong place")
        end = stop
    if end != length:
        raise _misplaced(f"its tensors take {end} bytes, and it has {length}")


def _misplaced(what: str) -> WorkloadError:
    return WorkloadError(f"not a readable weights file ({what}); {_AGAIN}, or copy it again")
