"""The members of a zip archive, looked at before one of them is read: stored as they are, each once, none outside."""

import os
import stat
import struct
import zipfile
from typing import BinaryIO

from pruning.errors import WorkloadError
from pruning.files.preflight.limits import HEADER_BYTES, TENSORS
from pruning.files.shown import shown

MAGIC = b"PK\x03\x04"
MEMBERS = TENSORS + 100
BROKEN = (zipfile.BadZipFile, ValueError, OverflowError, RuntimeError, OSError, EOFError, struct.error)
"""What Python's reader raises, whatever is wrong with an archive."""

_AGAIN = "save it again with torch.save"
_END, _END64, _PLACE64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")


def opened(file: BinaryIO) -> zipfile.ZipFile:
    """The archive, once its table has been looked at. WorkloadError says what is wrong with it, without its name."""
    length = os.fstat(file.fileno()).st_size
    members, table = _announced(file, length)
    if members > MEMBERS or table > HEADER_BYTES:
        raise WorkloadError(f"it is a zip archive of {members} members, and {MEMBERS} are the most; {_AGAIN}")
    try:
        archive = zipfile.ZipFile(file)
    except BROKEN as error:
        raise damaged(error) from None
    return archive


def member(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a member, whose checksum is right. WorkloadError otherwise."""
    try:
        return archive.read(name)
    except KeyError:
        raise WorkloadError(f"not a readable weights file (it lacks {shown(name)}); {_AGAIN}") from None
    except BROKEN as error:
        raise damaged(error) from None


def damaged(error: Exception) -> WorkloadError:
    """What to say where Python's reader says this."""
    return WorkloadError(f"not a readable weights file (it is damaged: {shown(str(error), 120)}); {_AGAIN}")


def _announced(file: BinaryIO, length: int) -> tuple[int, int]:
    """How many members there are, and how many bytes the table of them has, as Python's reader will believe."""
    places = (_END.size, _END.size + _PLACE64.size, _END.size + _PLACE64.size + _END64.size)
    end, place64, end64 = (_at_end(file, length, place) for place in places)
    if not end.startswith(b"PK\5\6"):
        raise WorkloadError(f"not a readable weights file (it is cut off, or bytes were added); {_AGAIN}")
    if not place64.startswith(b"PK\6\7"):
        _, _, _, _, members, table, _, _ = _END.unpack(end)
        return members, table
    if not end64.startswith(b"PK\6\6"):
        raise WorkloadError(f"not a readable weights file (the end of the archive is damaged); {_AGAIN}")
    _, _, _, _, _, _, _, members, table, _ = _END64.unpack(end64[: _END64.size])
    return members, table


def _at_end(file: BinaryIO, length: int, before: int) -> bytes:
    if length < before:
        return b""
    file.seek(length - before)
    return file.read(before)


def require_plain(archive: zipfile.ZipFile, length: int) -> None:
    """WorkloadError that names the first member which is compressed, a link, there twice, or lies elsewhere."""
    taken: set[str] = set()
    total = 0
    for info in archive.infolist():
        if (what := _fault(info)) or info.filename in taken:
            raise WorkloadError(f"its member {shown(info.filename)} {what or 'is there twice'}; {_AGAIN}")
        taken.add(info.filename)
        total += info.file_size
    if total > length:
        raise WorkloadError(f"its members overlap: they have {total} bytes, and the whole file has {length}; {_AGAIN}")


def _fault(info: zipfile.ZipInfo) -> str:
    """What is wrong with a member; empty where nothing is."""
    parts = info.orig_filename.replace("\\", "/").split("/")
    if not parts[0] or ".." in parts or ":" in parts[0] or "\0" in info.orig_filename:
        return "names a place outside of the archive"
    if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
        return "is a folder or a link and no tensor"
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        return "is compressed, which torch.save never does"
    return "is encrypted" if info.flag_bits & 0x1 else ""
