"""Linux's system calls that Python has no function for, by ctypes.

The packages that offer them are unkept, development versions, or need a C library that is not everywhere; it is two
structures and five calls.
"""

import ctypes
import os
import platform
from collections.abc import Callable
from typing import Any


class NotHere(Exception):
    """The kernel, or whoever confines this process already, does not give it."""


LIBC: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
MACHINES = ("x86_64", "aarch64")


def ask(name: str, function: Callable[..., int], *arguments: Any) -> int:
    """The call's result. NotHere says why there is none."""
    result = function(*arguments)
    if result < 0:
        raise NotHere(f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def call(name: str, number: int, *arguments: Any) -> int:
    """A system call by its number."""
    return ask(name, LIBC.syscall, ctypes.c_long(number), *arguments)


def machine() -> int:
    """Which of MACHINES this is. NotHere on others, whose numbers are not known here."""
    try:
        return MACHINES.index(platform.machine())
    except ValueError:
        raise NotHere(f"its numbers on {platform.machine()} are not known") from None
