"""The backend on Ray: a cluster of its own on this machine, or the one that RAY_ADDRESS names.

Only this file knows Ray. Its workers do the same work as processes on this machine, with a link over
an actor (`actor.py`). A streaming generator carries their messages, so that a lost worker or node is known as soon as
Ray knows.
"""

import logging
import math
import os
import socket
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# before Ray is imported: else a late call, after the end, would start a cluster that nobody asked for
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

import ray  # pyright: ignore[reportMissingImports]  # optional
from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

from pruning.errors import JobError
from pruning.execution.ipc import WorkerKind, log_file
from pruning.execution.local_backend import SupervisedBackend
from pruning.execution.ray_cluster.actor import ActorConfig, Equip, WorkerActor
from pruning.execution.ray_cluster.store_proxy import StoreProxy
from pruning.execution.settings import Limits
from pruning.execution.store.run_folders import SHARED
from pruning.execution.store.store import Store
from pruning.execution.supervisor import WorkerOwner, WorkerSlot
from pruning.execution.worker_main import equipment
from pruning.execution.worker_start import ROOT

OBJECT_STORE_BYTES = 128 * 2**20  # what is sent are events, answers, and files in pieces
ENDED_S = 5.0
CONNECT_S = 5.0
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # only runs step back, as they do without Ray
    "RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper": "true",  # also after a crash
}

LOST = (RayError, ValueError)
"""What Ray raises of a worker that has ended; ValueError of one whose cluster has ended too."""


@dataclass(frozen=True)
class ResourceShare:
    """What a worker reserves of a node: cores and GPUs, whole or in parts."""

    cpus: float
    gpus: float

    def __str__(self) -> str:
        return f"{self.cpus:g} cores and {self.gpus:g} GPUs"


def shares(interactive: int, runners: int, environment: Mapping[str, str]) -> dict[WorkerKind, ResourceShare]:
    """What workers of each kind reserve of the cluster that this process is connected to.

    Interactive workers reserve no core, so that they never wait for one, and together a tenth of a GPU where there is
    one. A run has the rest of a GPU (PRUNING_GPUS_PER_RUN) and its part of all cores, at most a whole node's
    (PRUNING_CPUS_PER_RUN). JobError names a variable that makes no sense.
    """
    nodes = _nodes()
    gpus = 1.0 if any(node.gpus for node in nodes) else 0.0
    cores = min(max(node.cpus for node in nodes), max(1.0, sum(node.cpus for node in nodes) // max(runners, 1)))
    interactive_share = ResourceShare(0.0, 0.1 * gpus / max(interactive, 1))
    return {
        "calls": interactive_share,
        "background": interactive_share,
        "runs": ResourceShare(
            _amount(environment, "PRUNING_CPUS_PER_RUN", cores),
            _amount(environment, "PRUNING_GPUS_PER_RUN", 0.9 * gpus),
        ),
    }


class RayBackend(SupervisedBackend):
    """Workers are actors. The store stays with the server; what a run writes on a node is brought there.

    `equip` is imported on the nodes by its name. Another node goes on with a lost node's run if both reach the folder
    of checkpoints (PRUNING_CHECKPOINTS, else beside the store); if not, it begins anew.
    """

    def __init__(
        self,
        home: Path,
        interactive: int = 1,
        runners: int | None = None,
        equip: Equip = equipment,
        limits: Limits | None = None,
        environment: Mapping[str, str] = os.environ,
        background: int = 0,
    ) -> None:
        """JobError if there is no cluster at the RAY_ADDRESS of the environment."""
        limits = limits or Limits.from_environment()
        store = Store(home, limits, limits.run_workers if runners is None else runners)
        self._cluster = Cluster(environment.get("RAY_ADDRESS") or "local")
        reserved = shares(
            interactive + background, store.limits.run_workers if runners is None else runners, environment
        )
        proxy = StoreProxy(store)

        def make_slot(kind: WorkerKind, owner: WorkerOwner) -> WorkerSlot:
            answer = proxy.answer if kind == "runs" else None
            return NodeWorker(kind, store.home, owner, reserved[kind], equip, answer)

        super().__init__(store, make_slot, interactive, background, runners)

    def close(self) -> None:
        super().close()
        self._cluster.close()


class NodeWorker(WorkerSlot):
    """Keeps a worker alive as an actor on whichever node has room for it."""

    def __init__(
        self,
        kind: WorkerKind,
        home: Path,
        owner: WorkerOwner,
        share: ResourceShare,
        equip: Equip,
        answer: Callable[[bytes], bytes] | None,
    ) -> None:
        """`answer` answers the worker's messages; without it they go to the owner."""
        super().__init__(kind, home, owner)
        self._share = share
        self._equip = equip
        self._answer = answer
        self._actor: Any = None
        self._gone = threading.Event()

    def send(self, message: bytes) -> None:
        actor = self._actor
        if actor is not None:
            with suppress(*LOST):  # the thread that reads from it finds out too
                actor.receive.remote(message)

    def end_worker(self, worker: str) -> None:
        with self._lock:
            actor = self._actor if self.worker == worker else None
            gone = self._gone
        if actor is not None:
            with suppress(*LOST):
                ray.kill(actor)
            gone.wait(ENDED_S)

    def _run_once(self) -> bool:
        _require_room(self._kind, self._share)
        with self._lock:
            if self._closed:
                return False
            self._gone = threading.Event()
            self._actor = _made(self._config(), self._equip, self._share)
        ready = False
        try:
            for sent in self._actor.serve.options(num_returns="streaming").remote():
                channel, message = ray.get(sent)
                if channel == "log":
                    _write(log_file(self._home), message)
                elif ready:
                    self._received(message)
                else:
                    ready = True
                    self._is_ready()
        except LOST as error:
            if not ready:
                _write(log_file(self._home), f"the worker for {self._kind} has ended: {error}\n".encode())
        finally:
            with suppress(*LOST):
                ray.kill(self._actor)
            self._actor = None
            if ready:
                self._owner.lost(self)
            self._gone.set()
        return ready

    def _received(self, message: bytes) -> None:
        if self._answer is None:
            self._owner.received(self, message)
        else:
            self.send(self._answer(message))

    def _config(self) -> ActorConfig:
        own = os.environ.get("OMP_NUM_THREADS", "")
        threads = int(own) if own.isdigit() else math.ceil(self._share.cpus)
        checkpoints = Path(os.environ.get(SHARED) or self._home / "runs").absolute()
        return ActorConfig(self.worker, self._kind, str(self._home), str(checkpoints), threads)


class Cluster:
    """This process's connection to Ray, one at a time: a later `Cluster` shares it, the first one ends it."""

    def __init__(self, address: str, cores: int | None = None) -> None:
        """`local` starts a cluster on this machine, with so many cores to reserve; None: as many as there are.

        JobError if there is no cluster at the address.
        """
        self._ending = threading.Event()
        self._keeper: threading.Thread | None = None
        if ray.is_initialized():
            return
        if address.startswith("ray://"):
            raise JobError(
                f"RAY_ADDRESS is {address!r}, which is for clients; start the program on a node of the cluster and set "
                "it to HOST:6379 or auto"
            )
        connected = Future[None]()
        # Ray's processes end with the very thread that has started them, and a page's threads are short-lived
        self._keeper = threading.Thread(
            target=self._keep, args=(address, cores, connected), name="cluster", daemon=True
        )
        self._keeper.start()
        connected.result()

    def close(self) -> None:
        self._ending.set()
        if self._keeper is not None:
            self._keeper.join()

    def _keep(self, address: str, cores: int | None, connected: "Future[None]") -> None:
        try:
            _require_listener(address)
            _connect(address, cores)
        except Exception as error:  # ray.init raises whatever its parts do
            reason = str(error).partition("\n")[0] or type(error).__name__
            connected.set_exception(
                JobError(
                    f"there is no Ray cluster at {address} that this machine is a node of ({reason}); set RAY_ADDRESS "
                    "to another one, or to nothing for one on this machine"
                    if address != "local"
                    else f"Ray does not start on this machine ({reason}); set PRUNING_BACKEND to nothing"
                )
            )
            return
        connected.set_result(None)
        self._ending.wait()
        ray.shutdown()


def _require_listener(address: str) -> None:
    """OSError where nobody listens: Ray itself would try for minutes."""
    if address not in ("local", "auto"):
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()


def _connect(address: str, cores: int | None) -> None:
    if address == "local":
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with _environment({**RAY_ENVIRONMENT, "PYTHONPATH": path}):  # Ray's processes inherit it
            ray.init(
                address,
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    else:
        # nodes need what requirements.txt and requirements-ray.txt name; our own code is sent to them
        code = [str(ROOT / "pruning"), str(ROOT / "sample_models")]
        ray.init(address, runtime_env={"py_modules": code}, log_to_driver=False, logging_level=logging.ERROR)


@contextmanager
def _environment(values: Mapping[str, str]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _made(config: ActorConfig, equip: Equip, share: ResourceShare) -> Any:
    options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "scheduling_strategy": "SPREAD"}
    return ray.remote(WorkerActor).options(max_concurrency=2, max_restarts=0, **options).remote(config, equip)


def _nodes() -> list[ResourceShare]:
    found = [node.get("Resources", {}) for node in ray.nodes() if node["Alive"]]
    return [ResourceShare(resources.get("CPU", 0.0), resources.get("GPU", 0.0)) for resources in found]


def _require_room(kind: WorkerKind, share: ResourceShare) -> None:
    """JobError if no node is large enough, however idle it is: the worker would be waited for in vain."""
    nodes = _nodes()
    if not any(node.cpus >= share.cpus and node.gpus >= share.gpus for node in nodes):
        raise JobError(
            f"no node of the cluster has the {share} of a worker for {kind} (there are {'; '.join(map(str, nodes))}); "
            "lower PRUNING_CPUS_PER_RUN or PRUNING_GPUS_PER_RUN"
        )


def _amount(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name) or str(default)
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < 1e6:
        raise JobError(f"{name} is {text!r}; set it to a number such as 1 or 0.5, or to nothing")
    return amount


def _write(path: Path, line: bytes) -> None:
    with path.open("ab") as file:
        file.write(line)
