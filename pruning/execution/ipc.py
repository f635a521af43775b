"""The connection between the page's process and a worker: bytes over localhost, secured by a key that only they have.

multiprocessing.connection rather than inherited pipes, because it is the same on Windows.
"""

import os
import queue
import secrets
import signal
import sys
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Literal, NoReturn, Protocol, Self

import msgspec

from pruning.errors import JobError

WorkerKind = Literal["calls", "background", "runs"]
ProcessKind = Literal[WorkerKind, "forks"]
"""`forks` is the fork server, which becomes workers."""
VARIABLE = "PRUNING_WORKER"
HOST = "127.0.0.1"


def log_file(home: Path) -> Path:
    """Where workers write what only a programmer wants to know."""
    return home / "worker.log"


@dataclass(frozen=True)
class Assignment:
    """What a worker needs to know when it starts: its id, what it does, and where it connects to.

    `answers` is the folder that it shares with the server's other workers; empty: there is none.
    """

    worker: str
    kind: ProcessKind
    home: str
    port: int
    key: str
    answers: str = ""

    def environment(self) -> dict[str, str]:
        """The variable that carries it. Not an argument: those can be read by every user of the machine."""
        return {VARIABLE: msgspec.json.encode(self).decode()}

    @classmethod
    def from_environment(cls) -> Self:
        """Read and forget it, so that a worker's own children do not have it. JobError if there is none."""
        text = os.environ.pop(VARIABLE, None)
        if text is None:
            raise JobError("a worker is started by the backend, not by hand; use `make run` or `python -m pruning`")
        return msgspec.json.decode(text, type=cls)


@dataclass(frozen=True)
class ForkRequest:
    """What the fork server is asked for: a worker with this environment. `ended` are earlier ones to be reaped."""

    environment: dict[str, str]
    ended: list[int]


class WorkerLink(Protocol):
    """A worker's end of a connection to the server."""

    @property
    def worker(self) -> str: ...
    @property
    def home(self) -> Path: ...
    @property
    def answers(self) -> str:
        """The folder of answers that the workers of one server share; empty where there is none."""
        ...

    def ready(self) -> None:
        """Say that the worker is ready; every message after this one is an answer."""
        ...

    def send(self, message: bytes) -> None: ...
    def receive(self) -> bytes:
        """The next message; waits for it."""
        ...


class SocketLink:
    """The worker's end over a socket. When the other end closes, the worker ends at once, even in mid-training."""

    def __init__(self, assignment: Assignment) -> None:
        self.worker = assignment.worker
        self.kind: ProcessKind = assignment.kind
        self.home = Path(assignment.home)
        self.answers = assignment.answers
        self._messages = queue.SimpleQueue[bytes]()
        try:
            self._connection = Client((HOST, assignment.port), authkey=bytes.fromhex(assignment.key))
            self.send(self.worker.encode())
        except (OSError, EOFError, AuthenticationError):
            end_now()
        self._listens = assignment.kind != "forks"  # which has no other thread when it forks
        if self._listens:
            threading.Thread(target=self._listen, name="messages", daemon=True).start()

    def ready(self) -> None:
        """Say that the worker is ready; every message after this one is an answer."""
        self.send(b"ready")

    def send(self, message: bytes) -> None:
        self._connection.send_bytes(message)

    def receive(self) -> bytes:
        """The next message; waits for it."""
        return self._messages.get() if self._listens else self._received()

    def close(self) -> None:
        """Leave the connection to who has the other copy of it."""
        self._connection.close()

    def _received(self) -> bytes:
        try:
            return self._connection.recv_bytes()
        except (EOFError, OSError):
            end_now()

    def _listen(self) -> None:
        while True:
            self._messages.put(self._received())


def end_now() -> NoReturn:
    """End this process at once, and its children with it. A kill leaves files and the store whole."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


class WorkerListener:
    """The page's end: where new workers connect. One for all workers of a backend."""

    def __init__(self, answers: str = "") -> None:
        """`answers` is the folder that workers share."""
        self._answers = answers
        self._key = secrets.token_bytes(32)
        self._listener = Listener((HOST, 0), backlog=16, authkey=self._key)
        self._expected: dict[str, Future[Connection]] = {}
        self._closed = False
        threading.Thread(target=self._receive, name="new workers", daemon=True).start()

    def expect(self, worker: str, kind: ProcessKind, home: Path) -> "tuple[Assignment, Future[Connection]]":
        """What the worker needs to know, and a future of its connection."""
        arrival = self._expected[worker] = Future()
        _, port = self._address
        return Assignment(worker, kind, str(home), port, self._key.hex(), self._answers), arrival

    def forget(self, worker: str) -> None:
        """Nobody waits for this worker any more."""
        self._expected.pop(worker, None)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with suppress(OSError, EOFError, AuthenticationError):
            Client(self._address, authkey=self._key).close()  # accept() does not notice that its socket was closed

    @property
    def _address(self) -> tuple[str, int]:
        return self._listener.address  # type: ignore[return-value]  # the stub knows only the addresses of pipes

    def _receive(self) -> None:
        with self._listener:
            while not self._closed:
                try:
                    connection = self._listener.accept()
                    worker = connection.recv_bytes(100).decode(errors="replace")
                    self._expected.pop(worker).set_result(connection)
                except (OSError, EOFError, AuthenticationError, KeyError, InvalidStateError):
                    continue  # a stranger, or a worker that died while it reported


class Polled(Protocol):
    def poll(self) -> int | None: ...


def arrived(arrival: "Future[Connection]", process: Polled) -> Connection | None:
    """The connection of a process that was started; None if it ends before it reports."""
    while process.poll() is None:
        try:
            return arrival.result(timeout=0.05)
        except TimeoutError:
            continue
    return None
