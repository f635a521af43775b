"""What one interactive worker has computed and the others need not: files whose tensors are mapped, not copied.

A worker that asks for what another is computing waits for it. The folder belongs to one server, and only its own
workers write there: that is why its files may be unpickled.
"""

import hashlib
import io
import mmap
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock
from torch import Tensor

T = TypeVar("T")

MOST_BYTES = 2 * 2**30
ALIGNED = 64


class SharedAnswers:
    """Answers by name, in a folder that the workers of one server share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def computed(self, name: str, compute: Callable[[], T]) -> T:
        """The answer of that name: computed by the first worker that asks, read by all others."""
        path = self._path(name)
        if (found := _read(path)) is not None:
            return found[0]
        with FileLock(f"{path}.lock"):
            if (found := _read(path)) is not None:  # by now
                return found[0]
            value = compute()
            self._write(path, value)
        return value

    def has(self, name: str) -> bool:
        return self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self._folder / hashlib.sha256(name.encode()).hexdigest()[:32]

    def _write(self, path: Path, value: object) -> None:
        """Where it cannot be written each worker computes for itself: nothing is lost but time."""
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            with unfinished.open("wb") as file:
                _dump(value, file)
            unfinished.replace(path)
        except (OSError, pickle.PicklingError, TypeError, AttributeError):
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
        self._make_room()

    def _make_room(self) -> None:
        """What was written longest ago goes first; whoever has mapped it keeps it."""
        with suppress(OSError):
            answers = [(path.stat(), path) for path in self._folder.iterdir() if not path.suffix]
            left = sum(stat.st_size for stat, _ in answers)
            for stat, path in sorted(answers, key=lambda answer: answer[0].st_mtime):
                if left <= MOST_BYTES:
                    return
                path.unlink()
                left -= stat.st_size


def _read(path: Path) -> tuple[Any] | None:
    """The value in a tuple; None if there is none."""
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # who writes into it writes into a copy
    except (OSError, ValueError):
        return None
    length, count = (int.from_bytes(mapped[i : i + 8], "little") for i in (0, 8))
    table = [int.from_bytes(mapped[i : i + 8], "little") for i in range(16, 16 + 16 * count, 8)]
    whole = memoryview(mapped)
    buffers = [whole[start : start + size] for start, size in zip(table[::2], table[1::2], strict=True)]
    head = 16 + 16 * count
    return (pickle.loads(whole[head : head + length], buffers=buffers),)


def _dump(value: object, file: io.BufferedWriter) -> None:
    """Two lengths, a table of buffers, the pickled value without them, and the buffers, each where it can be mapped."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = io.BytesIO()
    _Pickler(pickled, protocol=5, buffer_callback=buffers.append).dump(value)
    views = [buffer.raw() for buffer in buffers]
    place = 16 + 16 * len(views) + len(pickled.getbuffer())
    table: list[int] = []
    for view in views:
        place = -(-place // ALIGNED) * ALIGNED
        table += [place, view.nbytes]
        place += view.nbytes
    for number in (len(pickled.getbuffer()), len(views), *table):
        file.write(number.to_bytes(8, "little"))
    file.write(pickled.getbuffer())
    for start, view in zip(table[::2], views, strict=True):
        file.write(b"\0" * (start - file.tell()))
        file.write(view)


class _Pickler(pickle.Pickler):
    """torch's own way copies tensors into the stream; here their memory stays outside of it."""

    def reducer_override(self, obj: object) -> Any:
        if type(obj) is Tensor and obj.device.type == "cpu" and obj.layout == torch.strided and obj.numel():
            values = obj.detach().contiguous()
            memory: Any = values.reshape(-1).view(torch.uint8).numpy()
            return _tensor, (pickle.PickleBuffer(memory), values.dtype, tuple(values.shape))
        return NotImplemented


def _tensor(memory: memoryview, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    return torch.frombuffer(memory, dtype=dtype).view(shape)
