"""The server's side of a store for workers on other machines, which cannot reach its file."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pruning.errors import JobError
from pruning.execution.error_messages import explain
from pruning.execution.ipc import log_file
from pruning.execution.store.records import Lease
from pruning.execution.store.store import Store


class StoreProxy:
    """Calls the store's methods for an `actor.RemoteRunStore`, a message each: those listed and no others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._methods: dict[str, Callable[..., Any]] = {
            "has_work": store.leases.has_work,
            "claim": store.leases.claim,
            "carried_out": store.leases.carried_out,
            "append": store.leases.append,
            "finish": store.leases.finish,
            "pause": store.leases.pause,
            "heartbeat": store.leases.heartbeat,
            "stop_requested": store.leases.stop_requested,
            "receive": self._receive,
            "received": self._received,
        }

    def answer(self, message: bytes) -> bytes:
        """(answer, None) or (None, error), pickled."""
        method, arguments = pickle.loads(message)
        try:
            return pickle.dumps((self._methods[method](*arguments), None))
        except Exception as error:
            home = self._store.home
            return pickle.dumps((None, explain(error, f"the run's {method}", "close other programs", log_file(home))))

    def _receive(self, lease: Lease, name: str, chunk: bytes, begin: bool) -> None:
        """The next piece of a file of the run, the first one with `begin`."""
        partial = self._partial(lease, name)
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb" if begin else "ab") as file:
            file.write(chunk)

    def _received(self, lease: Lease, name: str) -> str:
        """All of the file has come; returns its path. It is whole or not there, whoever is killed."""
        partial = self._partial(lease, name)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        return str(partial.replace(partial.with_name(name)))

    def _partial(self, lease: Lease, name: str) -> Path:
        if not name.strip(".") or Path(name).name != name:
            raise JobError(f"{name!r} is not a file's name; the run's files lie in one folder")
        if not self._store.leases.heartbeat(lease):
            raise JobError(f"run {lease.run} is not this worker's any more: no file of it is taken")
        return self._store.folder(lease.run) / f".{name}.partial"
