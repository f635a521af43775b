"""What the tests let a child do. The functions that try what is forbidden say how it went."""

import ctypes
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from pruning.errors import WorkloadError

ROOT = Path(__file__).parents[3]


def about(given: Path, folder: Path) -> object:
    """Where it is and what it knows of its surroundings."""
    print("this goes nowhere")
    (folder / "made").write_bytes(given.read_bytes() * 2)
    return {
        "environment": sorted(os.environ),
        "folder": str(Path.cwd()),
        "session": os.getsid(0) == os.getpid(),
        "terminal": os.isatty(0),
        "isolated": sys.flags.isolated,
        "open": len(list(Path("/proc/self/fd").iterdir())),
    }


def attempts(given: Path, folder: Path) -> object:
    """Name -> what came of it; "done" is what nobody wants to read."""
    there = Path(given.read_text())
    libc = ctypes.CDLL(None)

    def on_disk() -> None:
        (there / "canary").write_text("")

    tries = {
        "read another file": lambda: (there / "secret").read_text(),
        "read the system's users": lambda: Path("/etc/passwd").read_text(),
        "read beside the program": lambda: (ROOT / "pyproject.toml").read_text(),
        "list a folder": lambda: list(there.iterdir()),
        "write elsewhere": on_disk,
        "write over the given file": lambda: given.write_text("other"),
        "remove another file": (there / "secret").unlink,
        "change rights": lambda: (there / "secret").chmod(0o777),
        "change times": lambda: os.utime(there / "secret"),
        "link": lambda: (folder / "link").symlink_to(there / "secret"),
        "open a socket": lambda: socket.socket(),
        "open a local socket": lambda: socket.socketpair(),
        "start a program": lambda: subprocess.run(["/bin/true"], check=True),
        "become a program": lambda: os.execv("/bin/true", ["/bin/true"]),
        "fork": lambda: os.fork() or os._exit(0),
        "start a thread": lambda: threading.Thread(target=print).start(),
        "end its parent": lambda: os.kill(os.getppid(), 0),
        "look into its parent": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "trace": lambda: _asked(libc.ptrace(16, os.getppid(), 0, 0)),
        "raise its limits": lambda: __import__("resource").setrlimit(7, (4096, 4096)),
        "mount": lambda: _asked(libc.mount(b"none", b"/", b"tmpfs", 0, None)),
        "leave its namespaces": lambda: _asked(libc.unshare(0x10000000)),
    }
    return {name: _came_of(attempt) for name, attempt in tries.items()}


def _asked(result: int) -> None:
    if result < 0:
        raise PermissionError


def _came_of(attempt) -> str:
    try:
        attempt()
    except BaseException as error:
        return type(error).__name__
    return "done"


def memory(given: Path, folder: Path) -> int:
    return len(bytearray(int(given.read_text())))


def for_ever(given: Path, folder: Path) -> None:
    (folder / "began").touch()
    while True:
        time.sleep(0.01)


def large_file(given: Path, folder: Path) -> None:
    (folder / "large").write_bytes(bytes(int(given.read_text())))


def refuses(given: Path, folder: Path) -> None:
    raise WorkloadError("it holds nothing; fill it")


def fails(given: Path, folder: Path) -> None:
    raise ZeroDivisionError("of no use to anybody")


def dies(given: Path, folder: Path) -> None:
    os.abort()


def returns_no_plain_value(given: Path, folder: Path) -> object:
    return object()


def talks(given: Path, folder: Path) -> None:
    os.write(1, b'{"value": 3, "missing": []}\n' * 10)
