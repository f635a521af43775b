"""Pickles and archives written step by step, as no library would: what a stranger can put into a .pt file.

A piece is the bytes of the steps that leave one value on the unpickler's stack.
"""

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence

NONE, TRUE, FALSE, EMPTY_TUPLE = b"N", b"\x88", b"\x89", b")"


def name(module: str, attribute: str) -> bytes:
    """A function or class by its name."""
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def several(*values: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(values) + b"t"


def listed(*values: bytes) -> bytes:
    return b"](" + b"".join(values) + b"e"


def mapping(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A dict; the same key may be given twice."""
    return b"}(" + b"".join(key + value for key, value in entries) + b"u"


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + several(*arguments) + b"R"


def ordered() -> bytes:
    return name("collections", "OrderedDict") + EMPTY_TUPLE + b"R"


def storage(key: str, count: int, kind: str = "FloatStorage", place: str = "cpu", module: str = "torch") -> bytes:
    """The values that lie in the member `data/KEY`."""
    return several(text("storage"), name(module, kind), text(key), text(place), number(count)) + b"Q"


def tensor(values: bytes, shape: Sequence[int], steps: Sequence[int], offset: int = 0) -> bytes:
    """A tensor that shows a part of a storage."""
    sizes, strides = (several(*map(number, each)) for each in (shape, steps))
    return call(name("torch._utils", "_rebuild_tensor_v2"), values, number(offset), sizes, strides, FALSE, ordered())


def vector(key: str, count: int) -> bytes:
    return tensor(storage(key, count), [count], [1])


def pickled(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


def state_dict(entries: Mapping[str, bytes]) -> bytes:
    """The pickle of a state dict of these tensors."""
    return pickled(mapping([(text(key), value) for key, value in entries.items()]))


def archived(pickle: bytes, storages: Mapping[str, bytes], folder: str = "archive") -> bytes:
    """The archive as torch.save writes it, but for its alignment."""
    members = {"data.pkl": pickle, "byteorder": b"little", **{f"data/{key}": raw for key, raw in storages.items()}}
    return zipped([(f"{folder}/{key}", raw) for key, raw in {**members, "version": b"3\n"}.items()])


def zipped(members: Sequence[tuple[str | zipfile.ZipInfo, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of these members, in this order; the same name may be given twice."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for member, content in members:
            archive.writestr(member, content)
    return made.getvalue()
