"""Which kind of file somebody gave, by its first bytes and not by its name, and what it says that it holds."""

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pruning.errors import WorkloadError
from pruning.files.preflight import safetensors, state_dict
from pruning.files.preflight.archive import MAGIC
from pruning.files.preflight.safetensors import Header
from pruning.files.preflight.state_dict import StateDict
from pruning.files.shown import shown

_SAVE = "save model.state_dict() with torch.save, or as .safetensors"
_OTHERS = {
    b"\x89HDF": f"it is an HDF5 file; load it where it was made and {_SAVE}",
    b"GGUF": f"it is a GGUF file; load the model that it was made from and {_SAVE}",
    b"\x1f\x8b": f"it is compressed; unpack it, and if that is no file of weights, {_SAVE}",
    b"\x93NUMPY": "it is a NumPy array; save the network's arrays with safetensors.numpy.save_file",
    b"\x80": "it is pickled as before PyTorch 1.6, or by pickle itself; load it where you trust it and save "
    "model.state_dict() with a newer torch",
}
_ONNX = tuple(bytes([8, version, field]) for version in range(1, 20) for field in (0x12, 0x1A, 0x22, 0x3A, 0x42))


@contextmanager
def opened(path: Path) -> Generator[BinaryIO]:
    """The file, open for reading. WorkloadError if it is not there, may not be read, or is no file of bytes."""
    try:
        # without O_NONBLOCK a pipe that nobody writes to is waited for
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise WorkloadError(f"{shown(str(path), 200)}: no such file; check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file can have this name"
        raise WorkloadError(
            f"{shown(path.name)} cannot be read ({reason}); check the path and who may read it"
        ) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise WorkloadError(f"{shown(path.name)} is a folder, a pipe or a device; name a file with weights")
    with os.fdopen(handle, "rb") as file:
        yield file


def looked_through(file: BinaryIO) -> Header | StateDict:
    """What the open file holds by its own account. WorkloadError says what is wrong with it, without its name."""
    head = file.read(16)
    if head.startswith(MAGIC):
        return state_dict.looked_through(file)
    if head[8:9] == b"{":
        return safetensors.looked_through(file)
    raise WorkloadError(_what_else(head))


def _what_else(head: bytes) -> str:
    for start, sentence in _OTHERS.items():
        if head.startswith(start):
            return sentence
    if head.startswith(_ONNX):
        return f"it is an ONNX model; {_SAVE} of the network that it was made from"
    return (
        "not a readable weights file (it begins as neither .safetensors nor .pt does); export it again, or save "
        "model.state_dict()"
    )
