"""What a child gives up before it looks at a stranger's bytes, each thing where the system lets it, and what it says.

Linux: no further process or thread, no network, no other process's memory, and of files only those to read and the
folder to write (`seccomp.py`, `landlock.py`, a network namespace). Everywhere but on Windows: limits of memory (not on
macOS, whose kernel takes no notice), processor time, size of a file and open files. What is left to the parent
everywhere: the clock, and that nobody's environment, terminal or current folder is there.
"""

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pruning.files.child import landlock, seccomp
from pruning.files.child.limits import Limits
from pruning.files.child.system_calls import LIBC, NotHere, ask

_NO_NEW_PRIVILEGES, _DIE_WITH_PARENT, _KILL = 38, 1, 9
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_LIBRARIES = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/nix/store",
    "/etc/ld.so.cache",
    "/proc/self",
)
_LINUX = sys.platform == "linux"


def before_imports() -> list[str]:
    """What an import does not need: to outlive the parent, and to leave its memory behind. Says what it could not."""
    missing: list[str] = []
    if _LINUX:
        _try(missing, "to end with its parent", lambda: _prctl(_DIE_WITH_PARENT, _KILL))
    _limit(missing, "dumps of its memory", "RLIMIT_CORE", 0)
    return missing


def confine(limits: Limits, readable: Path, writable: Path) -> list[str]:
    """Give up all the rest, for good. A phrase for everything that could not be given up."""
    missing: list[str] = []
    _limit(missing, "processor time", "RLIMIT_CPU", int(time.process_time() + limits.seconds) + 2)
    _limit(missing, "file size", "RLIMIT_FSIZE", limits.written_bytes)
    _limit(missing, "open files", "RLIMIT_NOFILE", limits.open_files)
    if not _LINUX:
        missing.append(f"memory, files and network: {sys.platform} does not limit them for a process")
        return missing
    _limit(missing, "memory", "RLIMIT_AS", _mapped() + limits.memory_bytes)
    _limit(missing, "further processes", "RLIMIT_NPROC", 0)
    _try(missing, "new privileges", lambda: _prctl(_NO_NEW_PRIVILEGES, 1))
    _try(missing, "network namespace", _leave_network)
    _try(missing, "landlock", lambda: landlock.restrict([*_installed(), readable], writable))
    _try(missing, "seccomp", seccomp.restrict)  # last: it forbids what the others need
    return missing


def _try(missing: list[str], what: str, give_up: Callable[[], object]) -> None:
    try:
        give_up()
    except (NotHere, OSError) as error:
        missing.append(f"{what}: {error}")


def _prctl(what: int, value: int) -> None:
    ask("prctl", LIBC.prctl, ctypes.c_int(what), *(ctypes.c_ulong(each) for each in (value, 0, 0, 0)))


def _limit(missing: list[str], what: str, name: str, most: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        missing.append(f"{what}: not limited on {sys.platform}")
        return
    which = getattr(resource, name)
    with contextlib.suppress(ValueError):
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    try:
        resource.setrlimit(which, (most, most))
    except (ValueError, OSError) as error:
        missing.append(f"{what}: {error}")


def _installed() -> list[Path]:
    """Where Python, its packages and what is imported already lie: a part of any of it may be imported later.

    Not all of sys.path: the current folder of the server may stand there, with its runs.
    """
    packages = [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    imported = [module for name, module in sys.modules.items() if "." not in name and hasattr(module, "__path__")]
    folders = [Path(place) for package in imported for place in package.__path__]
    return [Path(sys.prefix), Path(sys.base_prefix), *map(Path, _LIBRARIES), *packages, *folders]


def _mapped() -> int:
    """Bytes of the address space in use: code above all."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _leave_network() -> None:
    """Into a network of its own that has no devices. Who is not root needs a user namespace for it."""
    try:
        ask("unshare", LIBC.unshare, ctypes.c_int(_NEW_NETWORK))
    except NotHere:
        ask("unshare", LIBC.unshare, ctypes.c_int(_NEW_USER | _NEW_NETWORK))
