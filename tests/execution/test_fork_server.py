"""Interactive workers are forked from a process that has imported what they need, and are otherwise as others."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from pruning.execution import local_backend
from pruning.execution.fork_server import ForkedWorker, can_fork
from pruning.execution.local_backend import LocalBackend
from tests.execution import functions
from tests.execution.waiting import eventually, gone, result

pytestmark = pytest.mark.skipif(not can_fork(), reason="workers are started one by one here")

COMMAND = (sys.executable, "-m", "tests.execution.tiny_worker")


def parent_of(process: int) -> psutil.Process:
    parent = psutil.Process(process).parent()
    assert parent is not None
    return parent


def test_workers_come_from_one_process_which_has_no_other_thread(tmp_path: Path) -> None:
    with closing(LocalBackend(tmp_path, 2, command=COMMAND, background=1)) as backend:
        first = result(backend.call(functions.pid))
        eventually(lambda: len(backend.server_state().workers) >= 3)
        behind = result(backend.fan_out(functions.pid, [()])[0])
        server = parent_of(first)
        assert server == parent_of(behind) and server.parent() == psutil.Process()
        assert server.num_threads() == 1  # a fork has only the thread that forks
        assert os.getpgid(first) == first and os.getpgid(behind) == behind
    for process in (first, behind, server.pid):
        eventually(lambda process=process: gone(process), seconds=5)


def test_a_lost_worker_is_replaced_and_reaped(tmp_path: Path) -> None:
    with closing(LocalBackend(tmp_path, 1, command=COMMAND)) as backend:
        before = result(backend.call(functions.pid))
        server = parent_of(before)
        for _ in range(3):
            os.kill(before, 9)
            eventually(lambda old=before: not backend.server_state().workers[0].starting and old != answered(backend))
            before = answered(backend)
            assert parent_of(before) == server
        dead = [child for child in server.children() if child.status() == psutil.STATUS_ZOMBIE]
        assert len(dead) <= 1


def answered(backend: LocalBackend) -> int:
    try:
        return result(backend.call(functions.pid))
    except Exception:  # it was asked of the one that was lost
        return result(backend.call(functions.pid))


def test_workers_outlive_their_fork_server_and_the_next_come_from_another(tmp_path: Path) -> None:
    with closing(LocalBackend(tmp_path, 1, command=COMMAND)) as backend:
        worker = result(backend.call(functions.pid))
        server = parent_of(worker)
        server.kill()
        eventually(lambda: gone(server.pid))
        assert result(backend.call(functions.pid)) == worker
        os.kill(worker, 9)
        eventually(lambda: gone(worker))
        following = answered(backend)
        assert following != worker and parent_of(following) not in (server, psutil.Process())
    eventually(lambda: gone(following), seconds=5)


def test_where_the_fork_server_does_not_start_workers_are_started_one_by_one(tmp_path: Path) -> None:
    script = (
        "import json, os, sys\n"
        "json.loads(os.environ['PRUNING_WORKER'])['kind'] != 'forks' or sys.exit('no forks today')\n"
        "import runpy; runpy.run_module('tests.execution.tiny_worker', run_name='__main__')"
    )
    with closing(LocalBackend(tmp_path, 1, command=(sys.executable, "-c", script))) as backend:
        assert parent_of(result(backend.call(functions.pid))) == psutil.Process()
    assert "no forks today" in (tmp_path / "worker.log").read_text()


def test_where_the_system_cannot_tell_of_their_end_nothing_is_forked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_backend, "can_fork", lambda: False)
    with closing(LocalBackend(tmp_path, 1, command=COMMAND)) as backend:
        assert parent_of(result(backend.call(functions.pid))) == psutil.Process()


def test_a_worker_has_the_environment_of_when_it_was_forked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(LocalBackend(tmp_path, 1, command=COMMAND)) as backend:
        before = result(backend.call(functions.pid))
        monkeypatch.setenv("SAID_LATER", "yes")
        os.kill(before, 9)
        eventually(lambda: gone(before))
        assert psutil.pid_exists(answered(backend)) and result(backend.call(functions.variable, "SAID_LATER")) == "yes"
        assert result(backend.call(functions.variable, "PRUNING_WORKER")) is None  # its own children do not have it


def test_its_end_is_known_once_and_told_once() -> None:
    told: list[int] = []
    process = subprocess.Popen(["sleep", "60"])
    worker = ForkedWorker(process.pid, told.append)
    assert worker.poll() is None and worker.returncode is None and told == []
    worker.kill()
    assert worker.wait() == 0 and worker.poll() == 0 and worker.returncode == 0 and told == [process.pid]
    process.wait()


def test_what_is_imported_before_the_fork_asks_for_no_device() -> None:
    """A driver that was asked before a fork does not answer after it."""
    script = (
        "import torch\n"
        "def asked(*_, **__): raise AssertionError('a device was asked for')\n"
        "for module in (torch.accelerator, torch.cuda):\n"
        "    for name in ('is_available', 'device_count', 'current_accelerator', 'init'):\n"
        "        hasattr(module, name) and setattr(module, name, asked)\n"
        "from pruning.execution import call_worker, run_worker\n"
        "from pruning.interactive import answers\n"
        "from sample_models import MODELS\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
