"""Which servers are alive on a home: each holds a file lock there, which the system lets go of when a process dies."""

import os
import uuid
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

SERVERS = "servers"
_NO_LOCKS = (OSError, NotImplementedError)
"""What a full disk says, and one that knows no locks."""


class ServerLock:
    """Held from the start of a server to its end. Several servers may be alive on one home."""

    def __init__(self, home: Path) -> None:
        self._path = home / SERVERS / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.lock"
        self._lock = FileLock(self._path, thread_local=False)  # a server is closed by another thread than started it
        with suppress(*_NO_LOCKS):  # a server that cannot be noticed is better than none
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=1)

    def release(self) -> None:
        """The server has ended."""
        with suppress(*_NO_LOCKS):  # while it is held, where a system forbids that, it is left for `live_servers`
            self._path.unlink(missing_ok=True)
        self._lock.release()


def live_servers(home: Path) -> list[int]:
    """The processes that serve this home now. What killed ones have left is deleted."""
    found: list[int] = []
    for path in (home / SERVERS).glob("*-*.lock"):
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            found.append(int(path.name.partition("-")[0]))
        except _NO_LOCKS:
            continue
    return sorted(found)
