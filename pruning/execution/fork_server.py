"""A process that has imported what interactive workers import, and forks them: a new one is there at once.

Only where Linux tells of the end of a process that is not a child (pidfd). Elsewhere, and where the fork server does
not start, workers are started one by one. Those of runs always are: their threads spin while they wait for one
another, which is settled when torch is imported.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue

import msgspec

from pruning.execution.ipc import ForkRequest, WorkerListener, arrived
from pruning.execution.worker_start import WorkerStarter


class ForkServer:
    """Starts the process when the first worker is asked for, and again when it was lost."""

    def __init__(self, starter: WorkerStarter, listener: WorkerListener) -> None:
        self._starter = starter
        self._listener = listener
        self._asking = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._ended = SimpleQueue[int]()
        """Workers that are over and done with: until the fork server is told, their numbers are nobody else's."""
        self._closed = False

    def fork(self, environment: Mapping[str, str]) -> "ForkedWorker | None":
        """A worker with this environment; None where none can be forked. Waits while the process is starting."""
        with self._asking:
            for _ in range(2):  # one that was lost meanwhile is started again
                with suppress(EOFError, OSError):
                    if self._closed or not self._is_there():
                        break
                    return self._forked(environment)
                self._lose()
            self._lose()
        return None

    def close(self) -> None:
        """End the process; what it has forked ends with the slots that keep it."""
        self._closed = True
        if (process := self._process) is not None:
            process.kill()
            process.wait()

    def _is_there(self) -> bool:
        if self._connection is not None:
            return True
        name = uuid.uuid4().hex[:12]
        assignment, arrival = self._listener.expect(name, "forks", self._starter.home)
        try:
            self._process = self._starter.start(assignment)
            self._connection = arrived(arrival, self._process)
        finally:
            self._listener.forget(name)
        if self._connection is None:
            return False
        self._connection.recv_bytes()  # that it is ready
        return not self._closed

    def _forked(self, environment: Mapping[str, str]) -> "ForkedWorker":
        assert self._connection is not None
        ended = [self._ended.get() for _ in range(self._ended.qsize())]
        self._connection.send_bytes(msgspec.json.encode(ForkRequest(dict(environment), ended)))
        return ForkedWorker(int(self._connection.recv_bytes()), self._ended.put)

    def _lose(self) -> None:
        """It has ended; what it has forked lives on."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._connection = self._process = None


class ForkedWorker:
    """A worker that the fork server has forked, as `subprocess.Popen` shows one that was started."""

    def __init__(self, pid: int, ended: Callable[[int], None]) -> None:
        """`ended` is told its number once nobody asks for it any more."""
        self.pid = pid
        self.returncode: int | None = None
        """0 once it has ended: with what, only the fork server knows."""
        self._tell = ended
        self._lock = threading.Lock()
        self._ends = os.pidfd_open(pid)  # before it can be another process's: it is not reaped until it is told of

    def poll(self) -> int | None:
        """0 if it has ended, else None."""
        return self._ended(0)

    def wait(self) -> int:
        self._ended(None)
        return 0

    def kill(self) -> None:
        if self.returncode is None:  # after that its number may be another's
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def __del__(self) -> None:
        with suppress(AttributeError):  # it was gone before it could be watched
            os.close(self._ends)

    def _ended(self, milliseconds: int | None) -> int | None:
        if self.returncode is None and _readable(self._ends, milliseconds):
            with self._lock:
                if self.returncode is None:
                    self.returncode = 0
                    self._tell(self.pid)
        return self.returncode


def can_fork() -> bool:
    """Whether this system tells of the end of processes that are not children."""
    if sys.platform != "linux":
        return False
    with suppress(OSError, AttributeError):
        os.close(os.pidfd_open(os.getpid()))
        return True
    return False


def _readable(descriptor: int, milliseconds: int | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(milliseconds))
