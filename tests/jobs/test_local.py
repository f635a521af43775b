"""The local backend with real worker processes. Bounds in seconds are what the product promises, not what it takes."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import torch

from pruning.errors import JobError, PruningError, RecipeError
from pruning.events import Exported, Failed, Finished, Started, TuningStep, Warned
from pruning.jobs import local
from pruning.jobs.local import LocalBackend
from pruning.jobs.store import RunRow, Store
from tests.jobs import functions
from tests.jobs.tiny_worker import LONG, QUICK

COMMAND = (sys.executable, "-m", "tests.jobs.tiny_worker")
ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0

T = TypeVar("T")


def eventually(ask: Callable[[], T], seconds: float = PATIENCE_S) -> T:
    """The first true answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {ask}")


def result(answer: Future[T]) -> T:
    return answer.result(timeout=PATIENCE_S)


def over(backend: LocalBackend, run: str, seconds: float = PATIENCE_S) -> RunRow:
    return eventually(lambda: row if (row := backend.store.run(run)).over else None, seconds)


def tuning(store: Store, run: str) -> int:
    """Wait until the run is in mid-training; returns the worker's process id."""
    eventually(lambda: any(isinstance(event, TuningStep) for _, event in store.events(run)))
    (sentence,) = (event.sentence for _, event in store.events(run) if isinstance(event, Warned))
    return int(sentence.removeprefix("pid "))


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBackend]:
    backend = LocalBackend(tmp_path_factory.mktemp("home"), command=COMMAND)
    yield backend
    backend.close()


@pytest.fixture
def held(backend: LocalBackend, tmp_path: Path) -> Iterator["tuple[Future[int], Path]"]:
    """A call that the worker is executing until the file at the path is there."""
    answer = backend.call(functions.wait_for, str(tmp_path / "go"))
    eventually((tmp_path / "go.waiting").exists)
    yield answer, tmp_path / "go"
    (tmp_path / "go").touch()


def test_a_call_returns_what_the_function_returns(backend: LocalBackend):
    assert result(backend.call(functions.add, 1, right=2)) == 3
    assert result(backend.call(functions.pid)) != os.getpid()


def test_calls_from_many_threads_all_get_their_own_answer(backend: LocalBackend):
    answers: dict[int, Future[int]] = {}

    def ask(number: int) -> None:
        answers[number] = backend.call(functions.add, number, number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: result(answer) for number, answer in answers.items()} == {n: 2 * n for n in range(20)}


@pytest.mark.parametrize(
    ("function", "kind", "sentence"),
    [
        (functions.raise_recipe_error, RecipeError, "criterion.kind is 'x'; use one of magnitude"),
        (functions.raise_foreign_error, PruningError, "here: wrong"),
        (functions.raise_bug, JobError, r"raise_bug\(\) failed with ZeroDivisionError: division by zero; .*worker.log"),
        (functions.raise_out_of_memory, JobError, "needs more memory than there is"),
        (functions.return_what_cannot_be_sent, JobError, r"return_what_cannot_be_sent\(\) failed with"),
    ],
)
def test_an_error_comes_back_as_one_sentence(
    backend: LocalBackend, function: Callable[..., Any], kind: type[PruningError], sentence: str
):
    with pytest.raises(kind, match=sentence) as caught:
        result(backend.call(function))
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert result(backend.call(functions.add, 1)) == 1


def test_tracebacks_go_to_the_log(backend: LocalBackend):
    with pytest.raises(JobError):
        result(backend.call(functions.raise_bug))
    log = (backend.store.home / "worker.log").read_text()
    assert "Traceback" in log and 'raise ZeroDivisionError("division by zero")' in log


def test_a_call_that_cannot_be_sent_says_so(backend: LocalBackend):
    with pytest.raises(JobError, match="cannot be sent to the worker"):
        result(backend.call(lambda lab: 1))


def test_a_call_not_yet_sent_can_be_taken_back(backend: LocalBackend, held: "tuple[Future[int], Path]"):
    first, go = held
    second, third = backend.call(functions.add, 2), backend.call(functions.add, 3)
    assert not first.cancel()
    assert second.cancel()
    go.touch()
    assert result(third) == 3
    with pytest.raises(CancelledError):
        second.result(timeout=0)


def test_a_killed_interactive_worker_is_replaced(backend: LocalBackend, held: "tuple[Future[int], Path]"):
    first, go = held
    waiting = backend.call(functions.pid)
    pid = int(go.with_name("go.waiting").read_text())
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(JobError, match="the interactive worker was lost; it has been restarted: repeat what you did"):
        first.result(timeout=5)
    assert result(waiting) != pid
    go.touch()
    assert result(backend.call(functions.wait_for, str(go))) == result(waiting)


def test_a_run_ends_with_its_result(backend: LocalBackend):
    run = backend.start(QUICK, "session")
    row = over(backend, run)
    assert (row.state, row.session, row.sentence) == ("finished", "session", "")
    events = [event for _, event in backend.store.events(run)]
    assert isinstance(events[1], Started) and isinstance(events[-1], Finished)
    assert [type(event) for event in events].count(TuningStep) == 2
    (files,) = (event.artefacts for event in events if isinstance(event, Exported))
    assert Path(files["pt"]).parent == backend.store.folder(run)
    zeros = sum(int((tensor == 0).sum()) for name, tensor in torch.load(files["pt"]).items() if "weight" in name)
    assert zeros == 31  # half of 30 + 20 + 12 weights


@pytest.mark.parametrize(
    ("workload", "sentence"),
    [
        ("nothing", "workload is 'nothing'; use one of bug, mlp, no_memory"),
        ("no_memory", r"the run needs more memory than there is; lower tuning.batch_size \(it is 50\)"),
        (
            "bug",
            "the run failed with ZeroDivisionError: division by zero; this is a fault of the program, and .*worker",
        ),
    ],
)
def test_a_run_that_goes_wrong_says_so_in_one_sentence(backend: LocalBackend, workload: str, sentence: str):
    run = backend.start(replace(QUICK, workload=workload), "s")
    row = over(backend, run)
    assert row.state == "failed" and re.search(sentence, row.sentence) and "\n" not in row.sentence
    assert backend.store.events(run)[-1][1] == Failed(row.sentence)


def test_a_cancelled_run_keeps_what_there_is(backend: LocalBackend):
    run, queued = backend.start(LONG, "s"), backend.start(LONG, "s")
    tuning(backend.store, run)
    backend.cancel(queued)
    assert backend.store.run(queued).state == "stopped"
    backend.cancel(run)
    assert over(backend, run).state == "stopped"
    *_, exported, finished = (event for _, event in backend.store.events(run))
    assert isinstance(exported, Exported) and Path(exported.artefacts["pt"]).exists()
    assert isinstance(finished, Finished) and finished.stopped
    steps = [event for _, event in backend.store.events(run) if isinstance(event, TuningStep)]
    assert 0 < steps[-1].step < 600_000


def test_a_killed_run_worker_fails_its_run_and_the_next_one_works(backend: LocalBackend):
    run = backend.start(LONG, "s")
    os.kill(tuning(backend.store, run), signal.SIGKILL)
    row = over(backend, run, seconds=5)
    assert row.state == "failed" and row.sentence.startswith("worker lost")
    assert backend.store.events(run)[-1][1] == Failed(row.sentence)
    assert over(backend, backend.start(QUICK, "s")).state == "finished"


def test_interactive_calls_are_answered_during_a_run(backend: LocalBackend):
    run = backend.start(LONG, "s")
    tuning(backend.store, run)
    assert result(backend.call(functions.add, 4)) == 4
    backend.cancel(run)
    over(backend, run)


def test_an_unknown_run_cannot_be_cancelled(backend: LocalBackend):
    with pytest.raises(JobError, match="no run nothing-1"):
        backend.cancel("nothing-1")


def test_a_worker_that_does_not_start_is_said_and_tried_again(tmp_path: Path):
    gate = tmp_path / "gate"
    script = (
        f"import pathlib, sys; pathlib.Path({str(gate)!r}).exists() or sys.exit('no torch today')\n"
        "import runpy; runpy.run_module('tests.jobs.tiny_worker', run_name='__main__')"
    )
    backend = LocalBackend(tmp_path / "home", command=(sys.executable, "-c", script))
    try:
        with pytest.raises(JobError, match=r"the worker for calls ended while it was starting; see the end of .*\.log"):
            result(backend.call(functions.add, 1))
        assert "no torch today" in (tmp_path / "home" / "worker.log").read_text()
        row = over(backend, backend.start(QUICK, "s"))
        assert row.state == "failed" and "the worker for runs ended while it was starting" in row.sentence
        gate.touch()
        assert result(backend.call(functions.add, 1)) == 1
    finally:
        backend.close()


def test_a_command_that_does_not_exist_is_said(tmp_path: Path):
    backend = LocalBackend(tmp_path, command=(str(tmp_path / "python"),))
    with pytest.raises(JobError, match="ended while it was starting"):
        result(backend.call(functions.add, 1))
    backend.close()


SERVER = """
import sys
from pathlib import Path
from pruning.jobs.local import LocalBackend
from tests.jobs import functions
backend = LocalBackend(Path(sys.argv[1]), command=(sys.executable, "-m", "tests.jobs.tiny_worker"))
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

    monkeypatch.setattr(local, "LOST_AFTER_S", 2.0)
    monkeypatch.setattr(local, "LOOK_S", 0.1)
    backend = LocalBackend(tmp_path, command=COMMAND, interactive=0)
    row = over(backend, lost)
    assert row.state == "failed" and row.sentence.startswith("worker lost")
    following = backend.start(QUICK, "s")
    assert over(backend, following).state == "finished"
    assert backend.store.run(queued).state == "finished"
    backend.close()


def test_close_ends_all_workers_and_what_they_do(tmp_path: Path):
    backend = LocalBackend(tmp_path, command=COMMAND)
    interactive = result(backend.call(functions.pid))
    run = backend.start(LONG, "s")
    runner = tuning(backend.store, run)
    held, waiting = backend.call(functions.wait_for, str(tmp_path / "never")), backend.call(functions.pid)
    eventually((tmp_path / "never.waiting").exists)
    backend.close()
    backend.close()
    assert gone(interactive) and gone(runner)
    row = backend.store.run(run)
    assert row.state == "failed" and row.sentence.startswith("worker lost")
    for answer in (held, waiting, backend.call(functions.pid)):
        assert isinstance(answer.exception(timeout=5), JobError)
    with pytest.raises(JobError, match="the program is ending"):
        backend.start(QUICK, "s")


def test_what_the_page_imports_from_here_does_not_bring_torch():
    code = "import sys, pruning.jobs.local, pruning.jobs.backend; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_worker_started_by_hand_says_that_it_is_not():
    command = [sys.executable, "-m", "pruning.jobs.worker"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: a worker is started by the backend, not by hand")
