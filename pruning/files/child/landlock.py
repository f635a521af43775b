"""Landlock: of all files only some may be opened, and no TCP port. Linux 5.13, https://docs.kernel.org/userspace-api/landlock.html"""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

from pruning.files.child.system_calls import NotHere, call

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every machine
_VERSION, _BENEATH = 1, 1
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_WRITE = 1 << 1 | 1 << 5 | 1 << 8  # write to a file, remove one, make one
_TRUNCATE = 1 << 14
_KNOWN = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Version -> how many rights to files it knows; from 5 on as many as there."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def restrict(readable: Sequence[Path], writable: Path) -> None:
    """Open nothing from now on but what lies in these places, and write only to the one. NotHere if it cannot be."""
    version = call("not in this kernel", _CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION))
    if threads := len(list(Path("/proc/self/task").iterdir())) - 1:
        raise NotHere(f"{threads} threads that run already would be free of it")
    all_files = (1 << _KNOWN.get(version, 16)) - 1
    rules = _Ruleset(all_files, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = call("landlock_create_ruleset", _CREATE, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint(0))
    try:
        for place in readable:
            _allow(ruleset, place, _READ_FILE | _READ_FOLDER)
        _allow(ruleset, writable, (_READ_FILE | _READ_FOLDER | _WRITE | _TRUNCATE) & all_files)
        call("landlock_restrict_self", _RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, place: Path, rights: int) -> None:
    """What may be done at a place and in all below it. A place that is not there needs no right."""
    try:
        handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = rights if place.is_dir() else rights & ~_READ_FOLDER
        rule = _Beneath(rights, handle)
        call(
            "landlock_add_rule",
            _ADD,
            ctypes.c_int(ruleset),
            ctypes.c_int(_BENEATH),
            ctypes.byref(rule),
            ctypes.c_uint(0),
        )
    finally:
        os.close(handle)
