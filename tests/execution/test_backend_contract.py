"""What every backend promises, with real workers. A further backend is a line in MAKERS."""

import hashlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from pruning.errors import JobError, PruningError, RecipeError
from pruning.events import Exported, Failed, Finished, Resumed, Started, TuningStep, Warned
from pruning.execution.backend import Backend
from pruning.execution.followed import Asker
from pruning.execution.local_backend import LocalBackend
from pruning.execution.store.store import Store
from pruning.halving.halving import Halving
from pruning.halving.result import ranking_from_json
from pruning.sweeps.grid import Grid
from tests.execution import functions
from tests.execution.tiny_worker import LONG, QUICK, TORN, WHOLE
from tests.execution.waiting import eventually, gone, over, reported, result, sentences, tuning

Maker = Callable[..., Backend]


def local(home: Path, interactive: int, background: int = 0) -> Backend:
    command = (sys.executable, "-m", "tests.execution.tiny_worker")
    return LocalBackend(home, interactive, command=command, background=background)


def on_ray(home: Path, interactive: int, background: int = 0) -> Backend:
    pytest.importorskip("ray")
    from tests.execution import clustered

    return clustered.backend(home, interactive, background)


MAKERS: dict[str, Maker] = {"local": local, "ray": on_ray}
"""Each makes a backend on that home with so many interactive workers and one for runs, those of `tiny_worker`."""


@pytest.fixture(scope="module", params=MAKERS)
def make(request: pytest.FixtureRequest) -> Maker:
    return MAKERS[request.param]


@pytest.fixture(scope="module")
def backend(make: Maker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    with closing(make(tmp_path_factory.mktemp("home"), 1)) as backend:
        yield backend


@pytest.fixture
def held(backend: Backend, tmp_path: Path) -> Iterator["tuple[Future[int], Path]"]:
    """A call that the worker is executing until the file at the path is there."""
    answer = backend.call(functions.wait_for, str(tmp_path / "go"))
    eventually((tmp_path / "go.waiting").exists)
    yield answer, tmp_path / "go"
    (tmp_path / "go").touch()


def test_a_call_returns_what_the_function_returns(backend: Backend):
    assert result(backend.call(functions.add, 1, right=2)) == 3
    assert result(backend.call(functions.pid)) != os.getpid()


def test_calls_from_many_threads_all_get_their_own_answer(backend: Backend):
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
    backend: Backend, function: Callable[..., Any], kind: type[PruningError], sentence: str
):
    with pytest.raises(kind, match=sentence) as caught:
        result(backend.call(function))
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert result(backend.call(functions.add, 1)) == 1


def test_tracebacks_go_to_the_log(backend: Backend):
    with pytest.raises(JobError):
        result(backend.call(functions.raise_bug))
    log = (backend.store.home / "worker.log").read_text()
    assert "Traceback" in log and 'raise ZeroDivisionError("division by zero")' in log


def test_a_call_that_cannot_be_sent_says_so(backend: Backend):
    with pytest.raises(JobError, match="cannot be sent to the worker"):
        result(backend.call(lambda lab: 1))


def test_a_call_not_yet_sent_can_be_taken_back(backend: Backend, held: "tuple[Future[int], Path]"):
    first, go = held
    second, third = backend.call(functions.add, 2), backend.call(functions.add, 3)
    assert not first.cancel()
    assert second.cancel()
    go.touch()
    assert result(third) == 3
    with pytest.raises(CancelledError):
        second.result(timeout=0)


def test_a_killed_interactive_worker_is_replaced(backend: Backend, held: "tuple[Future[int], Path]"):
    first, go = held
    waiting = backend.call(functions.pid)
    pid = int(go.with_name("go.waiting").read_text())
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(JobError, match="the interactive worker was lost; it has been restarted: repeat what you did"):
        first.result(timeout=5)
    assert result(waiting) != pid
    go.touch()
    assert result(backend.call(functions.wait_for, str(go))) == result(waiting)


def test_a_run_ends_with_its_result(backend: Backend):
    run = backend.start(QUICK, "session")
    row = over(backend.store, run)
    assert (row.state, row.session, row.sentence) == ("finished", "session", "")
    events = reported(backend.store, run)
    assert isinstance(events[1], Started) and isinstance(events[-1], Finished)
    assert [type(event) for event in events].count(TuningStep) == 2
    (files,) = (event.artefacts for event in events if isinstance(event, Exported))
    assert Path(files["pt"]).parent == backend.store.folder(run)
    zeros = sum(int((tensor == 0).sum()) for name, tensor in torch.load(files["pt"]).items() if "weight" in name)
    assert zeros == 31  # half of 30 + 20 + 12 weights


@pytest.mark.parametrize(
    ("workload", "sentence"),
    [
        ("nothing", r"workload is 'nothing'; use one of bug, .* deadly, hungry, mlp, no_memory, torn, whole"),
        ("no_memory", r"the run needs more memory than there is; lower tuning.batch_size \(it is 50\)"),
        (
            "bug",
            "the run failed with ZeroDivisionError: division by zero; this is a fault of the program, and .*worker",
        ),
    ],
)
def test_a_run_that_goes_wrong_says_so_in_one_sentence(backend: Backend, workload: str, sentence: str):
    run = backend.start(replace(QUICK, workload=workload), "s", again=True)
    row = over(backend.store, run)
    assert row.state == "failed" and re.search(sentence, row.sentence) and "\n" not in row.sentence
    assert reported(backend.store, run)[-1] == Failed(row.sentence)


def test_a_cancelled_run_keeps_what_there_is(backend: Backend):
    run, queued = backend.start(LONG, "s", again=True), backend.start(LONG, "s", again=True)
    tuning(backend.store, run)
    backend.cancel(queued)
    assert backend.store.run(queued).state == "stopped"
    backend.cancel(run)
    assert over(backend.store, run).state == "stopped"
    *_, exported, finished = reported(backend.store, run)
    assert isinstance(exported, Exported) and Path(exported.artefacts["pt"]).exists()
    assert isinstance(finished, Finished) and finished.stopped
    steps = [event for event in reported(backend.store, run) if isinstance(event, TuningStep)]
    assert 0 < steps[-1].step < 600_000


def test_a_killed_run_worker_is_replaced_and_its_run_begun_again(backend: Backend):
    run = backend.start(LONG, "s", again=True)
    first = tuning(backend.store, run)
    os.kill(first, signal.SIGKILL)
    second = eventually(
        lambda: pid if backend.store.run(run).attempt == 2 and (pid := tuning(backend.store, run)) else 0
    )
    assert second != first
    backend.cancel(run)
    assert over(backend.store, run).state == "stopped"
    events = reported(backend.store, run)
    assert [event for event in events if isinstance(event, Warned)] == [Warned(f"pid {second}")]
    assert [type(event) for event in events].count(Started) == 1


def test_a_killed_run_goes_on_where_it_was_and_ends_like_an_undisturbed_one(backend: Backend):
    disturbed, undisturbed = backend.start(TORN, "s", again=True), backend.start(WHOLE, "s", again=True)
    for run in (disturbed, undisturbed):
        assert over(backend.store, run).state == "finished"
        eventually(lambda run=run: not (backend.store.folder(run) / "checkpoints").exists())
    events = reported(backend.store, disturbed)
    (resumed,) = (event for event in events if isinstance(event, Resumed))
    assert events.index(resumed) == resumed.events
    assert (resumed.round, resumed.step) == (1, 48)  # killed at step 51, and an epoch has six
    events.remove(resumed)
    assert [e for e in events if not isinstance(e, Exported | Finished)] == [
        e for e in reported(backend.store, undisturbed) if not isinstance(e, Exported | Finished)
    ]
    assert weights(backend.store, disturbed) == weights(backend.store, undisturbed)


def weights(store: Store, run: str) -> str:
    (artefact,) = (artefact for artefact in store.artefacts(run) if artefact.kind == "safetensors")
    assert hashlib.sha256(artefact.path.read_bytes()).hexdigest() == artefact.sha256
    return artefact.sha256


def test_a_run_that_kills_its_worker_fails_after_three_attempts_and_the_next_one_works(backend: Backend):
    run = backend.start(replace(QUICK, workload="deadly"), "s", again=True)
    row = over(backend.store, run)
    assert row.state == "failed" and row.attempt == 3
    assert row.sentence.startswith("worker lost: 3 of 3 processes")
    assert reported(backend.store, run)[-1] == Failed(row.sentence)
    assert over(backend.store, backend.start(QUICK, "s", again=True)).state == "finished"


def test_what_is_ended_is_gone_within_five_seconds_with_its_children(backend: Backend):
    run = backend.start(replace(QUICK, workload="children"), "s", again=True)
    (pids,) = eventually(lambda: sentences(backend.store, run, "pids "))
    worker, child = map(int, pids.split())
    assert psutil.pid_exists(child)
    begun = time.monotonic()
    backend.end(run)
    eventually(lambda: gone(worker) and gone(child), seconds=5)
    assert time.monotonic() - begun < 5
    row = backend.store.run(run)
    assert (row.state, row.sentence) == ("stopped", "ended at once: no file was written; what it had measured is kept")
    assert not (backend.store.folder(run) / "checkpoints").exists()
    assert over(backend.store, backend.start(QUICK, "s", again=True)).state == "finished"


def test_ending_what_is_queued_or_over_ends_no_worker(backend: Backend):
    run, queued, done = (
        backend.start(LONG, "s", again=True),
        backend.start(QUICK, "s", again=True),
        backend.store.runs(["finished"])[0],
    )
    worker = tuning(backend.store, run)
    backend.end(queued)
    backend.end(done.id)
    assert backend.store.run(queued).state == "stopped" and backend.store.run(done.id) == done
    backend.cancel(run)
    over(backend.store, run)
    assert not gone(worker)


def test_checkpoints_go_from_attempt_to_attempt_and_then_away(backend: Backend):
    run = backend.start(replace(LONG, workload="counting"), "s", again=True)
    (pid,) = eventually(lambda: sentences(backend.store, run, "attempt 1 "))
    os.kill(int(pid), signal.SIGKILL)
    eventually(lambda: sentences(backend.store, run, "attempt 2 "))
    backend.cancel(run)
    assert over(backend.store, run).state == "stopped"
    eventually(lambda: not (backend.store.folder(run) / "checkpoints").exists())


def test_interactive_calls_are_answered_during_a_run(backend: Backend):
    run = backend.start(LONG, "s", again=True)
    tuning(backend.store, run)
    assert result(backend.call(functions.add, 4)) == 4
    backend.cancel(run)
    over(backend.store, run)


def test_the_settings_of_a_grid_compete(backend: Backend):
    name = backend.start_halving(Halving(Grid(QUICK, {"amount.share": (0.2, 0.9)}), 200, rungs=2), "s", 120.0)
    eventually(lambda: backend.store.halvings.one(name).state == "over", seconds=90)
    ranking = ranking_from_json(backend.store.halvings.one(name).ranking_json)
    assert len(ranking.entries) == 2 and ranking.best is not None and ranking.best.state == "finished"


def test_what_goes_on_is_told_and_a_worker_that_hangs_is_replaced(make: Maker, tmp_path: Path):
    with closing(make(tmp_path / "home", 1)) as backend:
        hanging = backend.ask("ann", functions.wait_for, str(tmp_path / "never"))
        eventually((tmp_path / "never.waiting").exists)
        run = backend.start(LONG, "bob")
        eventually(lambda: tuning(backend.store, run), seconds=90)
        found = {worker.kind: worker for worker in backend.server_state().workers}
        question = found["calls"].question
        assert question is not None and question.people == ("ann",) and question.what == "wait for"
        assert found["runs"].run == run and found["runs"].question is None
        assert not any(worker.starting for worker in found.values())
        assert all(worker.memory_bytes is None or worker.memory_bytes > 0 for worker in found.values())
        backend.restart_worker(found["calls"].worker)
        with pytest.raises(JobError, match="ended by whoever runs the server"):
            hanging.result(60)
        assert result(backend.call(functions.add, 1, right=2)) == 3
        with pytest.raises(JobError, match="there is no worker"):
            backend.restart_worker(found["calls"].worker)
        backend.restart_worker(found["runs"].worker)
        eventually(lambda: backend.store.run(run).attempt == 2, seconds=90)
        backend.end(run)


def test_a_run_that_two_ask_for_goes_on_until_both_have_ended_it(backend: Backend):
    hers = backend.start(LONG, "ann")
    his = backend.start(LONG, "bob")
    eventually(lambda: tuning(backend.store, hers), seconds=90)
    backend.end(hers)
    assert [backend.store.run(run).state for run in (hers, his)] == ["stopped", "running"]
    count = backend.store.last_event(his)
    eventually(lambda: backend.store.last_event(his) > count)
    again = backend.start(LONG, "cem", again=True)
    assert backend.store.run(again).state == "queued" and backend.store.run(again).carrier == again
    for run in (again, his):
        backend.end(run)
    assert over(backend.store, his).state == "stopped"
    eventually(lambda: not (backend.store.folder(hers) / "checkpoints").exists())


def test_an_unknown_run_can_be_neither_cancelled_nor_ended(backend: Backend):
    for verb in (backend.cancel, backend.end):
        with pytest.raises(JobError, match="no run nothing-1"):
            verb("nothing-1")


def test_parts_of_a_question_go_round_and_always_to_the_same_worker(make: Maker, tmp_path: Path):
    with closing(make(tmp_path, 1, background=2)) as backend:
        assert backend.workers == 2
        front = result(backend.call(functions.pid))
        for _ in range(2):
            pids = [result(answer) for answer in backend.fan_out(functions.pid, [()] * 5)]
            assert front not in pids and result(backend.call(functions.pid)) == front
            first, second, *others = pids
            assert first != second and others == [first, second, first]
        sums = backend.fan_out(functions.add, [(number, 10) for number in range(5)])
        assert [result(answer) for answer in sums] == [10, 11, 12, 13, 14]


def test_a_question_is_followed_until_it_is_complete_by_a_worker_that_no_slider_waits_for(make: Maker, tmp_path: Path):
    with closing(make(tmp_path, 1, background=1)) as backend:
        front = result(backend.call(functions.pid))
        asker = Asker("ann", "tab")

        def known(background: bool) -> "tuple[int, float] | None":
            counted = backend.follow(asker, functions.count_up, (5, background), _counted, background=background)
            return counted.known() if counted.over else None

        worker, seconds = eventually(lambda: known(False))
        assert worker == front and seconds == 0.0  # the slices before a first answer
        worker, seconds = eventually(lambda: known(True))
        assert worker != front and seconds == 0.2
        backend.unfollow(asker)


def _counted(outcome: "tuple[int, float]") -> bool:
    return True


def test_an_error_of_what_is_followed_is_the_workers_sentence(make: Maker, tmp_path: Path):
    with closing(make(tmp_path, 1)) as backend:
        found = eventually(
            lambda: (
                one
                if (one := backend.follow(Asker("ann", "tab"), functions.refuse_to_count, (), _counted)).over
                else None
            )
        )
        with pytest.raises(RecipeError, match="use one of magnitude"):
            found.known()


def test_close_ends_all_workers_and_what_they_do(make: Maker, tmp_path: Path):
    backend = make(tmp_path, 1)
    interactive = result(backend.call(functions.pid))
    run = backend.start(LONG, "s", again=True)
    runner = tuning(backend.store, run)
    held, waiting = backend.call(functions.wait_for, str(tmp_path / "never")), backend.call(functions.pid)
    eventually((tmp_path / "never.waiting").exists)
    backend.close()
    backend.close()
    eventually(lambda: gone(interactive) and gone(runner), seconds=5)
    row = backend.store.run(run)
    assert row.state == "queued" and row.attempt == 1
    for answer in (held, waiting, backend.call(functions.pid)):
        assert isinstance(answer.exception(timeout=5), JobError)
    with pytest.raises(JobError, match="the program is ending"):
        backend.start(QUICK, "s", again=True)
