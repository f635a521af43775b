"""A worker on a node of a cluster: the same two kinds of work as on this machine, over an actor instead of a socket.

Ray is not imported here: `pruning.execution.ray_cluster.backend` makes the actor of `WorkerActor`.
"""

import gc
import logging
import os
import pickle
import queue
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pruning.events import Event, Exported, Failed, Finished
from pruning.execution.ipc import WorkerKind
from pruning.execution.store.records import Lease, RunRow
from pruning.execution.store.run_folders import SHARED

if TYPE_CHECKING:
    from pruning.execution.run_worker import CarryOut
    from pruning.workload import Workloads

CHUNK = 8 * 2**20

Equip = Callable[[], "tuple[Workloads, CarryOut]"]
"""Imported on the node by its name: what there is to work on, and how a run is carried out."""
ActorMessage = tuple[Literal["message", "log", "end"], bytes]


@dataclass(frozen=True)
class ActorConfig:
    """What a worker on a node needs to know when it starts: its id, what it does, and its number of threads (0 = all).

    `home` is the server's, for sentences that name it. `checkpoints` must be reachable from every node, else a run that
    loses its node begins anew.
    """

    worker: str
    kind: WorkerKind
    home: str
    checkpoints: str
    threads: int


class WorkerActor:
    """The actor. `serve` sends messages to the server and `receive` takes those from it.

    Each needs a thread of the actor (`max_concurrency=2`).
    """

    def __init__(self, config: ActorConfig, equip: Equip) -> None:
        self._config = config
        self._equip = equip
        self._received = queue.SimpleQueue[bytes]()
        self._to_send = queue.SimpleQueue[ActorMessage]()

    def serve(self) -> Generator[ActorMessage]:
        """Work, and give for ever what is to be sent: messages, and lines for the server's log of workers."""
        threading.Thread(target=self._work, name="work", daemon=True).start()
        while (message := self._to_send.get())[0] != "end":
            yield message

    def receive(self, message: bytes) -> None:
        self._received.put(message)

    def _work(self) -> None:
        logging.basicConfig(
            format="%(asctime)s %(process)d %(name)s: %(message)s",
            level=logging.WARNING,
            handlers=[_Log(self._to_send)],
            force=True,
        )
        try:
            self._work_for_ever()
        except Exception:
            logging.exception("the worker for %s has ended", self._config.kind)
        self._to_send.put(("end", b""))

    def _work_for_ever(self) -> None:
        _take_threads(self._config.threads)
        os.environ[SHARED] = self._config.checkpoints
        from pruning.execution.call_worker import serve_calls  # brings torch, which reads the threads when it is loaded
        from pruning.execution.run_worker import serve_runs

        link = ActorLink(self._config, self._received, self._to_send)
        workloads, carry_out = self._equip()
        gc.freeze()
        if self._config.kind != "runs":
            serve_calls(link, workloads)
            return
        from pruning.execution.worker_main import NICE

        if sys.platform != "win32":
            os.nice(NICE["runs"])
        serve_runs(link, RemoteRunStore(link), workloads, carry_out)


class ActorLink:
    """A `WorkerLink` over the actor's two queues."""

    def __init__(
        self, config: ActorConfig, received: "queue.SimpleQueue[bytes]", to_send: "queue.SimpleQueue[ActorMessage]"
    ) -> None:
        self.worker = config.worker
        self.home = Path(config.home)
        self.answers = ""  # nodes share no folder
        self._received = received
        self._to_send = to_send

    def ready(self) -> None:
        self.send(b"ready")

    def send(self, message: bytes) -> None:
        self._to_send.put(("message", message))

    def receive(self) -> bytes:
        return self._received.get()


class RemoteRunStore:
    """A `RunStore` where the store's file cannot be reached: the server's `StoreProxy` carries out every method.

    The run writes its files into a folder of the node; they are sent to the server before the event that names them.
    """

    def __init__(self, link: ActorLink) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._scratch = Path(tempfile.mkdtemp(prefix="pruning-"))

    def folder(self, run: str) -> Path:
        return self._scratch / run

    def has_work(self) -> bool:
        return self._ask("has_work")

    def claim(self, worker: str) -> Lease | None:
        return self._ask("claim", worker)

    def carried_out(self, run: str) -> RunRow:
        return self._ask("carried_out", run)

    def append(self, lease: Lease, *events: Event) -> None:
        self._ask("append", lease, *(self._delivered(lease, event) for event in events))

    def finish(self, lease: Lease, event: Finished | Failed) -> bool:
        shutil.rmtree(self.folder(lease.run), ignore_errors=True)
        return self._ask("finish", lease, event)

    def pause(self, lease: Lease) -> bool:
        return self._ask("pause", lease)

    def heartbeat(self, lease: Lease) -> bool:
        return self._ask("heartbeat", lease)

    def stop_requested(self, run: str) -> bool:
        return self._ask("stop_requested", run)

    def _delivered(self, lease: Lease, event: Event) -> Event:
        """The event with its files where the server has them."""
        if not isinstance(event, Exported):
            return event
        return replace(event, artefacts={kind: self._deliver(lease, path) for kind, path in event.artefacts.items()})

    def _deliver(self, lease: Lease, path: str) -> str:
        with Path(path).open("rb") as file:
            begin = True
            while (chunk := file.read(CHUNK)) or begin:
                self._ask("receive", lease, Path(path).name, chunk, begin)
                begin = False
        return self._ask("received", lease, Path(path).name)

    def _ask(self, method: str, *arguments: object) -> Any:
        with self._lock:  # the heartbeat's thread asks too
            self._link.send(pickle.dumps((method, arguments)))
            answer, error = pickle.loads(self._link.receive())
        if error is not None:
            raise error
        return answer


class _Log(logging.Handler):
    def __init__(self, to_send: "queue.SimpleQueue[ActorMessage]") -> None:
        super().__init__()
        self._to_send = to_send

    def emit(self, record: logging.LogRecord) -> None:
        self._to_send.put(("log", f"{self.format(record)}\n".encode(errors="replace")))


def _take_threads(threads: int) -> None:
    """Ray allots one thread to what reserves no core; the processes that a run starts inherit what is set here."""
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    else:
        os.environ.pop("OMP_NUM_THREADS", None)
