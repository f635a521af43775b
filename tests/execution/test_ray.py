"""What only the backend on Ray can do: nodes, their shares, files that travel, clusters that are not there."""

import os
import pickle
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.events import Exported, Finished
from pruning.execution.ray_cluster import actor
from pruning.execution.ray_cluster.store_proxy import StoreProxy
from pruning.execution.store.records import Lease
from pruning.execution.store.store import Store
from tests.execution import functions
from tests.execution.tiny_worker import LONG, QUICK
from tests.execution.waiting import eventually, gone, over, reported, result, sentences, tuning

ray = pytest.importorskip("ray")

from pruning.execution.ray_cluster.backend import Cluster, RayBackend, ResourceShare, shares  # noqa: E402
from tests.execution import clustered  # noqa: E402

ROOT = Path(__file__).parents[2]


class Wire:
    """A line from a node's store straight to the server's clerk."""

    def __init__(self, store: Store) -> None:
        self.worker = "node"
        self.home = store.home
        self._clerk = StoreProxy(store)
        self._answer = b""

    def send(self, message: bytes) -> None:
        self._answer = self._clerk.answer(message)

    def receive(self) -> bytes:
        return self._answer


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "server")


@pytest.fixture
def distant(store: Store) -> actor.RemoteRunStore:
    return actor.RemoteRunStore(Wire(store))


@pytest.fixture
def lease(store: Store, distant: actor.RemoteRunStore) -> Lease:
    store.create(QUICK, "s")
    lease = distant.claim("node")
    assert lease is not None
    return lease


def exported(distant: actor.RemoteRunStore, lease: Lease, content: bytes) -> Exported:
    file = distant.folder(lease.run) / "model.pt"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    return Exported({"pt": str(file)})


@pytest.mark.parametrize("size", [0, 1, 10, 11, 25])
def test_files_of_any_size_travel_to_the_server_in_pieces(
    store: Store, distant: actor.RemoteRunStore, lease: Lease, size: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(actor, "CHUNK", 10)
    content = bytes(range(size))
    distant.append(lease, exported(distant, lease, content))
    arrived = store.folder(lease.run) / "model.pt"
    assert reported(store, lease.run) == [Exported({"pt": str(arrived)})]
    assert [(file.path, file.bytes) for file in store.artefacts(lease.run)] == [(arrived, size)]
    assert arrived.read_bytes() == content
    assert list(arrived.parent.iterdir()) == [arrived]
    assert distant.finish(lease, Finished(False, 1.0))
    assert not distant.folder(lease.run).exists()


def test_a_worker_that_was_given_up_can_bring_no_file(store: Store, distant: actor.RemoteRunStore, lease: Lease):
    event = exported(distant, lease, b"late")
    store.leases.release("node")
    with pytest.raises(JobError, match="not this worker's any more"):
        distant.append(lease, event)
    assert not store.folder(lease.run).exists()
    assert not distant.heartbeat(lease) and not distant.finish(lease, Finished(False, 1.0))


def test_a_file_lands_in_the_runs_folder_and_nowhere_else(store: Store, lease: Lease):
    for name in ("../model.pt", "/tmp/model.pt", "a/b", "..", ""):
        answer = StoreProxy(store).answer(pickle.dumps(("receive", (lease, name, b"x", True))))
        _, error = pickle.loads(answer)
        assert isinstance(error, JobError) and "is not a file's name" in str(error)
    assert not store.folder(lease.run).exists()


def test_the_servers_errors_reach_the_node_as_they_are(distant: actor.RemoteRunStore):
    with pytest.raises(JobError, match="there is no run nothing-1"):
        distant.carried_out("nothing-1")
    with pytest.raises(JobError, match=r"the run's delete failed with KeyError"):
        distant._ask("delete", "nothing-1")


def test_shares_of_a_cluster(monkeypatch: pytest.MonkeyPatch):
    def among(*nodes: dict[str, float]) -> None:
        monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": node} for node in nodes])

    among({"CPU": 4.0})
    none = ResourceShare(0, 0)
    assert shares(1, 1, {}) == {"calls": none, "background": none, "runs": ResourceShare(4, 0)}
    assert shares(1, 3, {})["runs"] == ResourceShare(1, 0)
    assert shares(1, 9, {})["runs"] == ResourceShare(1, 0)
    among({"CPU": 4.0}, {"CPU": 8.0})
    assert shares(1, 1, {})["runs"] == ResourceShare(8, 0)
    assert shares(1, 2, {})["runs"] == ResourceShare(6, 0)
    among({"CPU": 4.0}, {"CPU": 4.0, "GPU": 1.0})
    part = ResourceShare(0, 0.05)
    assert shares(2, 2, {}) == {"calls": part, "background": part, "runs": ResourceShare(4, 0.9)}
    set_by_hand = {"PRUNING_CPUS_PER_RUN": "2", "PRUNING_GPUS_PER_RUN": "0.25"}
    assert shares(1, 2, set_by_hand)["runs"] == ResourceShare(2, 0.25)
    for wrong in ("many", "-1", "nan"):
        with pytest.raises(JobError, match=f"PRUNING_GPUS_PER_RUN is '{wrong}'; set it to a number"):
            shares(1, 1, {"PRUNING_GPUS_PER_RUN": wrong})


def test_a_client_address_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(JobError, match=r"RAY_ADDRESS is 'ray://far:10001'.*HOST:6379 or auto"):
        Cluster("ray://far:10001")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_an_address_without_a_cluster_is_said(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(JobError, match=rf"no Ray cluster at {address} that this .*; set RAY_ADDRESS to another one"):
        Cluster(address)


def test_a_run_that_no_node_has_room_for_fails_with_a_sentence(tmp_path: Path):
    clustered.cluster()
    reserved = {"PRUNING_CPUS_PER_RUN": "1", "PRUNING_GPUS_PER_RUN": "2"}
    with closing(RayBackend(tmp_path, 0, 1, equip=clustered.tiny_worker.equipment, environment=reserved)) as backend:
        row = over(backend.store, backend.start(QUICK, "s", again=True))
    assert row.state == "failed"
    assert "no node of the cluster has the 1 cores and 2 GPUs of a worker for runs (there are 8 cores" in row.sentence
    assert row.sentence.endswith("lower PRUNING_CPUS_PER_RUN or PRUNING_GPUS_PER_RUN")


def broken_equipment() -> None:
    raise FileNotFoundError("no weights on this node")


def test_a_worker_that_cannot_start_on_its_node_is_said(tmp_path: Path):
    clustered.cluster()
    with closing(RayBackend(tmp_path, 1, 0, equip=broken_equipment)) as backend:
        with pytest.raises(JobError, match=r"the worker for calls ended while it was starting; see the end of .*\.log"):
            result(backend.call(functions.add, 1))
        assert "FileNotFoundError: no weights on this node" in (tmp_path / "worker.log").read_text()


def script(code: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)


SERVER = """
import sys, threading
from pathlib import Path
from pruning.execution.ray_cluster.backend import RayBackend
from tests.execution import functions
from tests.execution.tiny_worker import equipment

def work():
    global backend
    backend = RayBackend(Path(sys.argv[1]), equip=equipment)
    print(backend.call(functions.pid).result(), flush=True)

thread = threading.Thread(target=work)  # short-lived, as a page's are
thread.start()
thread.join()
backend.call(functions.wait_for, sys.argv[1] + "/never").result()
"""


def test_nothing_works_on_after_a_killed_server_and_its_run_waits_for_the_next_one(tmp_path: Path):
    store = Store(tmp_path)
    run = store.create(LONG, "s")
    server = script(SERVER, str(tmp_path))
    assert server.stdout is not None
    interactive = int(server.stdout.readline())
    runner = tuning(store, run)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    eventually(lambda: gone(interactive) and gone(runner), seconds=10)
    assert store.run(run).state == "running"
    hasty = Store(tmp_path, replace(store.limits, lease_s=0.0))
    assert hasty.leases.release_expired() == []  # it has only just seen it
    assert hasty.leases.release_expired() == [run]
    assert store.run(run).state == "queued"


NODES = """
import sys
from ray.cluster_utils import Cluster
small = dict(object_store_memory=80 * 2**20, include_dashboard=False)
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=0, **small))
nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
print(cluster.address, flush=True)
import os
os.environ["RAY_ADDRESS"] = cluster.address
from pathlib import Path
from dataclasses import replace
import psutil
from pruning.execution.ray_cluster.backend import RayBackend
from tests.execution.tiny_worker import LONG, equipment
from tests.execution.waiting import eventually, over, sentences
backend = RayBackend(Path(sys.argv[1]), 1, 1, equip=equipment)
run = backend.start(replace(LONG, workload="counting"), "s", again=True)
(pid,) = eventually(lambda: sentences(backend.store, run, "attempt 1 "))
raylet = psutil.Process(int(pid)).ppid()
(lost,) = [node for node in nodes if node.all_processes["raylet"][0].process.pid == raylet]
cluster.remove_node(lost, allow_graceful=False)
(pid,) = eventually(lambda: sentences(backend.store, run, "attempt 2 "))
assert psutil.Process(int(pid)).ppid() != raylet
backend.cancel(run)
over(backend.store, run)
backend.close()
cluster.shutdown()
"""


def test_a_lost_nodes_run_goes_on_on_another_from_the_shared_checkpoints(tmp_path: Path):
    shared = tmp_path / "shared"
    nodes = script(NODES, str(tmp_path / "home"), PRUNING_CHECKPOINTS=str(shared), OMP_NUM_THREADS="1")
    nodes.communicate(timeout=120)
    assert nodes.returncode == 0
    store = Store(tmp_path / "home")
    (row,) = store.runs()
    assert (row.state, row.attempt) == ("stopped", 2)
    assert sentences(store, row.id, "attempt ")[0].startswith("2 ")
    assert shared.is_dir() and not list(shared.iterdir())
