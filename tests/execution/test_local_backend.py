"""What only the backend on this machine can do: its server is killed, its workers do not start, its log grows."""

import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.execution import local_backend as local
from pruning.execution import supervisor as resident
from pruning.execution.local_backend import LocalBackend
from pruning.execution.settings import Limits
from pruning.execution.store.store import Store
from tests.execution import functions
from tests.execution.tiny_worker import LONG, QUICK
from tests.execution.waiting import eventually, gone, over, result, tuning

COMMAND = (sys.executable, "-m", "tests.execution.tiny_worker")
ROOT = Path(__file__).parents[2]


def answered(backend: LocalBackend) -> bool:
    try:
        return result(backend.call(functions.add, 1)) == 1
    except JobError:
        return False


def test_a_worker_that_does_not_start_is_said_and_tried_again(tmp_path: Path):
    gate = tmp_path / "gate"
    script = (
        f"import pathlib, sys; pathlib.Path({str(gate)!r}).exists() or sys.exit('no torch today')\n"
        "import runpy; runpy.run_module('tests.execution.tiny_worker', run_name='__main__')"
    )
    backend = LocalBackend(tmp_path / "home", command=(sys.executable, "-c", script))
    try:
        with pytest.raises(JobError, match=r"the worker for calls ended while it was starting; see the end of .*\.log"):
            result(backend.call(functions.add, 1))
        assert "no torch today" in (tmp_path / "home" / "worker.log").read_text()
        row = over(backend.store, backend.start(QUICK, "s", again=True))
        assert row.state == "failed" and "the worker for runs ended while it was starting" in row.sentence
        gate.touch()
        eventually(lambda: answered(backend))  # the first try may find one that set out before the gate was open
    finally:
        backend.close()


def test_a_worker_is_starting_until_it_says_that_it_is_ready(tmp_path: Path):
    gate = tmp_path / "gate"
    script = (
        f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)\n"
        "import runpy; runpy.run_module('tests.execution.tiny_worker', run_name='__main__')"
    )
    with closing(LocalBackend(tmp_path / "home", 1, command=(sys.executable, "-c", script))) as backend:
        asked = backend.call(functions.add, 1)
        eventually(lambda: [worker.starting for worker in backend.server_state().workers] == [True])
        gate.touch()
        assert result(asked) == 1
        eventually(lambda: not backend.server_state().workers[0].starting)


def test_a_command_that_does_not_exist_is_said(tmp_path: Path):
    backend = LocalBackend(tmp_path, command=(str(tmp_path / "python"),))
    with pytest.raises(JobError, match="ended while it was starting"):
        result(backend.call(functions.add, 1))
    backend.close()


SERVER = """
import sys
from pathlib import Path
from pruning.execution.local_backend import LocalBackend
from tests.execution import functions
backend = LocalBackend(Path(sys.argv[1]), command=(sys.executable, "-m", "tests.execution.tiny_worker"))
backend.call(functions.pid).result()
backend.call(functions.wait_for, sys.argv[1] + "/never").result()
"""


def test_nothing_is_left_of_a_killed_server_and_the_next_one_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = Store(tmp_path)
    lost, queued = store.create(LONG, "s"), store.create(QUICK, "s")
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], cwd=ROOT)
    runner = tuning(store, lost)
    eventually((tmp_path / "never.waiting").exists)
    server.kill()
    server.wait()
    interactive = int((tmp_path / "never.waiting").read_text())
    eventually(lambda: gone(interactive) and gone(runner), seconds=5)

    monkeypatch.setattr(local, "LOOK_S", 0.1)
    backend = LocalBackend(tmp_path, command=COMMAND, interactive=0, limits=Limits(lease_s=2.0))
    eventually(lambda: backend.store.run(lost).attempt == 2)
    assert tuning(backend.store, lost) != runner
    backend.cancel(lost)
    assert over(backend.store, lost).state == "stopped"
    assert over(backend.store, queued).state == "finished"
    backend.close()


def test_what_an_earlier_server_left_in_the_queue_is_carried_out_unasked(tmp_path: Path):
    run = Store(tmp_path).create(QUICK, "s")
    with closing(LocalBackend(tmp_path, interactive=0, command=COMMAND)) as backend:
        assert over(backend.store, run).state == "finished"


def test_the_end_of_a_long_log_is_laid_aside_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resident, "LONGEST_LOG", 10)
    (tmp_path / "worker.log").write_text("more than ten bytes")
    LocalBackend(tmp_path, interactive=0).close()
    assert (tmp_path / "worker.log.1").read_text() == " ten bytes" and not (tmp_path / "worker.log").read_text()
    (tmp_path / "worker.log").write_text("ten bytes.")
    LocalBackend(tmp_path, interactive=0).close()
    assert (tmp_path / "worker.log").read_text() == "ten bytes."


def test_a_log_that_grows_while_the_server_runs_stays_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Who has it open goes on writing at its end, which is its beginning by then."""
    monkeypatch.setattr(resident, "LONGEST_LOG", 1000)
    monkeypatch.setattr(local, "LOOK_S", 0.02)
    path = tmp_path / "worker.log"
    with closing(LocalBackend(tmp_path, interactive=0)), path.open("ab", buffering=0) as worker:
        for _ in range(5):
            worker.write(b"x" * 1500)
            eventually(lambda: path.stat().st_size == 0)
        worker.write(b"the last line")
        assert path.read_text() == "the last line"
    assert (tmp_path / "worker.log.1").stat().st_size == 1000


def test_a_worker_that_takes_too_much_memory_is_ended_says_so_and_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(resident, "MEASURE_S", 0.1)
    limits = Limits(worker_memory_mb=1000)
    with closing(LocalBackend(tmp_path, 1, command=COMMAND, limits=limits)) as backend:
        before = result(backend.call(functions.pid))
        hungry = backend.start(replace(QUICK, workload="hungry"), "s", again=True)
        with pytest.raises(JobError, match=r"^it took more than 1000 MB of memory and was ended; take fewer samples"):
            result(backend.call(functions.take_memory, 1500))
        assert result(backend.call(functions.pid)) != before
        row = over(backend.store, hungry)
        assert (row.state, row.attempt) == ("failed", 1)
        assert row.sentence.startswith("it took more than 1000 MB of memory and was ended; lower tuning.batch_size")
        assert over(backend.store, backend.start(QUICK, "s", again=True)).state == "finished"


def test_two_servers_on_one_home_share_its_runs(tmp_path: Path):
    """Neither takes a run from the other's living worker; one that cannot start workers fails no run of the other."""
    with closing(LocalBackend(tmp_path, 0, command=COMMAND)) as able:
        run = able.start(LONG, "s", again=True)
        worker = tuning(able.store, run)
        theirs = able.start(QUICK, "s", again=True)
        with closing(LocalBackend(tmp_path, 0, command=(str(tmp_path / "python"),))) as unable:
            ours = unable.start(QUICK, "s", again=True)
            assert over(unable.store, ours).state == "failed"
            unable.end(run)
            eventually(lambda: gone(worker), seconds=5)
        assert able.store.run(run).state == "stopped"
        assert over(able.store, theirs).state == "finished"


@pytest.mark.skipif(sys.platform == "win32", reason="there the server lowers the priority")
def test_workers_leave_the_processor_to_the_page_and_to_what_a_person_waits_for(tmp_path: Path):
    with closing(LocalBackend(tmp_path, 1, command=COMMAND, background=1)) as backend:
        mine = os.nice(0)
        for answer, by in ((backend.call(functions.niceness), 3), (backend.fan_out(functions.niceness, [()])[0], 7)):
            nice, group = result(answer)
            assert nice == min(mine + by, 19) and group in ("", str(by))


def test_what_the_page_imports_from_here_does_not_bring_torch():
    code = "import sys, pruning.execution.local_backend, pruning.execution.backend; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_worker_started_by_hand_says_that_it_is_not():
    command = [sys.executable, "-m", "pruning.execution.worker_main"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: a worker is started by the backend, not by hand")
