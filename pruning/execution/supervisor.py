"""A worker process that is always there: started, watched, and replaced when it dies."""

import logging
import os
import signal
import sys
import threading
import time
import uuid
from abc import ABC, abstractmethod
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from pruning.errors import JobError
from pruning.execution.fork_server import ForkServer
from pruning.execution.ipc import Assignment, WorkerKind, WorkerListener, arrived, log_file
from pruning.execution.settings import Limits
from pruning.execution.worker_memory import allowed_bytes, resident_bytes, too_much
from pruning.execution.worker_start import WorkerHandle, WorkerStarter

START_ATTEMPTS = 2
LONGEST_LOG = 5 * 2**20
MEASURE_S = 1.0

log = logging.getLogger(__name__)


class WorkerOwner(Protocol):
    """Is called by the slot, in its own thread, when something happens to the worker. Its methods raise nothing."""

    def ready(self, slot: "WorkerSlot") -> None:
        """A worker has started and can be sent messages."""
        ...

    def received(self, slot: "WorkerSlot", message: bytes) -> None: ...

    def lost(self, slot: "WorkerSlot") -> None:
        """A worker that was ready has ended, whatever the reason; the next one is about to be started."""
        ...

    def gave_up(self, sentence: str) -> None:
        """Workers end before they are ready. Nothing is tried again until the next `start`."""
        ...


class WorkerSlot(ABC):
    """Keeps one worker alive: a thread starts it, watches it and replaces it, from the first `start` to `close`."""

    def __init__(self, kind: WorkerKind, home: Path, owner: WorkerOwner) -> None:
        self.worker = ""
        """The id of the worker that is in the slot now, or was in it last."""
        self.starting = False
        """Whether that worker has not said yet that it is ready."""
        self.ended_because = ""
        """Why we ended that worker ourselves, in a sentence; "" if we did not."""
        self.memory_bytes: int | None = None
        """What it took when it was measured last, with its children; None where it is not measured."""
        self.allowed_bytes: int | None = None
        """Beyond that it is ended."""
        self._kind: WorkerKind = kind
        self._home = home
        self._owner = owner
        self._lock = threading.Lock()
        self._keeper: threading.Thread | None = None
        self._closed = False

    @property
    def kind(self) -> WorkerKind:
        return self._kind

    def start(self) -> None:
        """See to it that a worker is there or on its way; returns at once."""
        with self._lock:
            if self._keeper is None and not self._closed:
                self._keeper = threading.Thread(target=self._keep, name=f"{self._kind} worker", daemon=True)
                self._keeper.start()

    def close(self) -> None:
        """End the worker and do not replace it."""
        with self._lock:
            self._closed = True
            keeper = self._keeper
        self.end_worker(self.worker)
        if keeper is not None and keeper is not threading.current_thread():
            keeper.join(timeout=5.0)

    @abstractmethod
    def send(self, message: bytes) -> None:
        """To a worker that is ready. If it has just died, its `lost` follows; nothing is raised here."""

    @abstractmethod
    def end_worker(self, worker: str) -> None:
        """End that worker with its children, if it is still in the slot. Returns when it is gone; another follows."""

    @abstractmethod
    def _run_once(self) -> bool:
        """Start a worker and watch it until it ends; True if it was ready in between.

        JobError, with the sentence that a person reads, if trying again is of no use.
        """

    def _is_ready(self) -> None:
        self.starting = False
        self._owner.ready(self)

    def _keep(self) -> None:
        failed_starts = 0
        sentence = f"the worker for {self._kind} ended while it was starting; see the end of {log_file(self._home)}"
        try:
            while not self._closed and failed_starts < START_ATTEMPTS:
                self.worker, self.ended_because, self.starting = uuid.uuid4().hex[:12], "", True
                failed_starts = 0 if self._run_once() else failed_starts + 1
        except JobError as error:
            sentence = str(error)
        except Exception:
            log.exception("the slot of a worker for %s", self._kind)
        with self._lock:
            self._keeper, self.starting = None, False
        if not self._closed:
            self._owner.gave_up(sentence)


class WorkerProcess(WorkerSlot):
    """Keeps a worker alive as a process on this machine."""

    def __init__(
        self,
        kind: WorkerKind,
        starter: WorkerStarter,
        listener: WorkerListener,
        owner: WorkerOwner,
        limits: Limits,
        forks: ForkServer | None = None,
    ) -> None:
        """Workers come from the fork server where there is one and it can."""
        super().__init__(kind, starter.home, owner)
        self.allowed_bytes = self._most = allowed_bytes(limits)
        self._starter = starter
        self._listener = listener
        self._forks = forks
        self._process: WorkerHandle | None = None
        self._connection: Connection | None = None

    def send(self, message: bytes) -> None:
        connection = self._connection  # which the thread that listens may take away at any moment
        try:
            if connection is not None:
                connection.send_bytes(message)
        except OSError:
            pass  # the thread that reads from it finds out too

    def end_worker(self, worker: str) -> None:
        with self._lock:
            process = self._process if self.worker == worker else None
        if process is not None:
            _kill(process)
            process.wait()

    def _run_once(self) -> bool:
        assignment, arrival = self._listener.expect(self.worker, self._kind, self._home)
        ready = False
        process = None
        try:
            process = self._spawn(assignment)
            if process is not None:
                threading.Thread(target=self._watch_memory, args=(process,), name="memory", daemon=True).start()
            connection = arrived(arrival, process) if process is not None else None
            if connection is None:
                return False
            with connection:
                while True:
                    message = connection.recv_bytes()
                    if ready:
                        self._owner.received(self, message)
                    else:
                        ready, self._connection = True, connection
                        self._is_ready()
        except (EOFError, OSError) as error:  # it ended, or it could not even be started
            if process is None:
                log.error("the worker for %s cannot be started: %s", self._kind, error)
            return ready
        finally:
            self._connection = self._process = None
            self._listener.forget(self.worker)
            if process is not None:
                _kill(process)
                process.wait()
            if ready:
                self._owner.lost(self)

    def _watch_memory(self, process: WorkerHandle) -> None:
        while process.returncode is None:
            self.memory_bytes = resident_bytes(process.pid)
            if self.memory_bytes > self._most:
                self.ended_because = too_much(self._kind, self._most)
                log.warning("the worker for %s: %s", self._kind, self.ended_because)
                _kill(process)
                return
            time.sleep(MEASURE_S)

    def _spawn(self, assignment: Assignment) -> WorkerHandle | None:
        """The worker's process; None if the slot has been closed in the meantime."""
        forked = None if self._forks is None else self._forks.fork(self._starter.environment(assignment))
        with self._lock:
            if not self._closed:
                self._process = forked or self._starter.start(assignment)
                return self._process
        if forked is not None:
            _kill(forked)
        return None


def shorten_log(home: Path) -> None:
    """Lay the end of a long log aside, over what was laid aside before, and empty it.

    It is emptied and not renamed: workers have it open for as long as they live, and write at its end.
    """
    path = log_file(home)
    with suppress(OSError):  # there is none
        size = path.stat().st_size
        if size <= LONGEST_LOG:
            return
        with path.open("r+b") as file:
            file.seek(size - LONGEST_LOG)
            with suppress(OSError):  # a full disk needs the room more than anybody the lines
                path.with_name(f"{path.name}.1").write_bytes(file.read(LONGEST_LOG))
            file.truncate(0)


def _kill(process: WorkerHandle) -> None:
    """End the worker with its children, if it is not known to have ended."""
    if process.returncode is not None:
        return  # its number may belong to another process by now
    if sys.platform == "win32":
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # ended already; macOS says it may not
        process.kill()
