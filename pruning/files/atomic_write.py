"""Files that are whole or not there: written beside their place, flushed to the disk, then moved into it."""

import contextlib
import os
import time
import uuid
from pathlib import Path

from pruning.errors import ExportError

UNFINISHED = ".part"
STRAY_AFTER_S = 3600.0


def require_writable(folder: Path) -> None:
    """Make the folder, prove that a file can be written in it, and sweep what killed writers left there.

    ExportError names the folder: better before a run of minutes than after it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_beside(folder / "writable", b"").unlink()
    except OSError as error:
        raise _unwritable(folder, error) from error
    for stray in folder.glob(f".*{UNFINISHED}"):
        with contextlib.suppress(OSError):  # another process may finish or sweep it first
            if time.time() - stray.stat().st_mtime > STRAY_AFTER_S:
                stray.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Write the file so that a reader, also after a crash, finds the old content or the new, never a part of it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = _write_beside(path, content)
        try:
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path.parent, error) from error
    _flush_folder(path.parent)


def _write_beside(path: Path, content: bytes) -> Path:
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{UNFINISHED}")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    return unfinished


def _flush_folder(folder: Path) -> None:
    """Make the move itself survive a power cut, where the system lets a folder be flushed (Windows does not)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unwritable(folder: Path, error: OSError) -> ExportError:
    reason = error.strerror or type(error).__name__
    return ExportError(
        f"the folder {folder} cannot be written to ({reason}); choose another output folder, or make this one writable"
    )
