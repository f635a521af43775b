"""A full disk: nothing is begun, what goes on waits with a sentence, no attempt is lost, and it goes on by itself."""

import errno
import sqlite3
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pruning.errors import ExportError, JobError, NoRoomError, no_room
from pruning.events import Event, Finished, TuningStep, Warned
from pruning.execution import run_worker as serving
from pruning.execution.local_backend import LocalBackend
from pruning.execution.run_worker import carry_out_run
from pruning.execution.settings import Limits
from pruning.execution.store import disk_room
from pruning.execution.store.store import Store
from pruning.files.atomic_write import write_whole
from tests.execution.leasing import OTHER, RECIPE, claimed, reported, running
from tests.execution.small_disk import fill, small_disk
from tests.execution.tiny_worker import QUICK, WHOLE
from tests.execution.waiting import eventually, over
from tests.networks import tiny

LIMITS = Limits(runs_per_session=1000, disk_reserve_mb=1)
WORKLOADS = {"mlp": lambda: tiny("mlp")}
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_room, "AGAIN_S", 0.0)
    monkeypatch.setattr(serving, "WAIT_S", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", LIMITS)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 24) as place:  # SQLite's log alone takes four
        yield place


def free_is(monkeypatch: pytest.MonkeyPatch, mb: float) -> None:
    usage = SimpleNamespace(total=1000 * 2**20, free=int(mb * 2**20))
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda path: usage)


def test_nothing_is_begun_without_the_reserve(store: Store, monkeypatch: pytest.MonkeyPatch):
    run = store.create(RECIPE, "s")
    free_is(monkeypatch, 0.5)
    assert not store.leases.has_work()
    assert store.paused(store.run(run)) == "waiting for room on the disk: 0 MB free, 1 MB needed"
    free_is(monkeypatch, 1.5)
    assert store.leases.has_work() and store.paused(store.run(run)) == ""
    assert (store.home / "disk.reserve").stat().st_size == 2**20
    free_is(monkeypatch, 0.5)  # the reserve is there: that is what it is for
    assert store.leases.has_work()
    store.disk.give_up_reserve()
    assert not store.leases.has_work()


@pytest.mark.parametrize(
    "error",
    [FULL, OSError(errno.EDQUOT, "quota"), OSError(errno.EROFS, "read-only"), OSError(errno.EIO, "I/O error")],
)
def test_what_cannot_be_written_pauses_the_run_and_costs_no_attempt(store: Store, error: OSError):
    def full(*_: object, **__: object) -> Generator[Event, None, None]:
        yield Warned("begun")
        raise ExportError("the folder cannot be written to") from error

    run = store.create(RECIPE, "s")
    for attempt in range(1, 6):
        free = store.run(run).needs
        assert attempt == 1 or free > 0
        with sqlite3.connect(store.path) as connection:
            connection.execute("UPDATE runs SET needs = min(needs, 1)")  # as if there was room by now
        connection.close()
        carry_out_run(store.leases, claimed(store), WORKLOADS, full, store.home)
        row = store.run(run)
        assert (row.state, row.attempt, row.sentence) == ("queued", attempt, "")
        assert store.leases.release("w") == []
    lease = claimed(store)
    store.leases.append(lease, Warned("anew"))
    assert store.leases.release("w") == [run] and store.run(run).state == "queued"  # the first loss of three


def test_another_error_still_fails_the_run(store: Store):
    def denied(*_: object, **__: object) -> Generator[Event, None, None]:
        raise ExportError("the folder cannot be written to") from OSError(errno.EACCES, "Permission denied")
        yield

    lease = running(store)
    carry_out_run(store.leases, lease, WORKLOADS, denied, store.home)
    assert store.run(lease.run).state == "failed"


def test_a_paused_run_waits_for_room_and_others_pass_it(store: Store, monkeypatch: pytest.MonkeyPatch):
    free_is(monkeypatch, 3.0)
    lease = running(store)
    assert store.leases.pause(lease)
    store.disk.look()
    row = store.run(lease.run)
    assert row.needs == 2 * 2**20 and store.paused(row) == ""
    free_is(monkeypatch, 1.5)
    assert store.paused(row) == "waiting for room on the disk: 1 MB free, 2 MB needed"
    assert store.leases.claim("w") is None
    small = store.create(OTHER, "s")
    assert claimed(store).run == small
    free_is(monkeypatch, 3.0)
    again = claimed(store)
    assert again.run == lease.run and store.leases.pause(again)
    assert store.run(lease.run).needs == 4 * 2**20  # it was not enough


def test_a_run_that_was_stopping_is_stopped(store: Store):
    lease = running(store)
    store.request_stop(lease.run)
    assert store.leases.pause(lease)
    row = store.run(lease.run)
    assert row.state == "stopped" and row.sentence.startswith("the disk was full while it was stopping: ")


def test_a_worker_that_was_given_up_pauses_nothing(store: Store):
    lease = running(store)
    store.leases.release("w")
    assert not store.leases.pause(lease) and store.run(lease.run).needs == 0


@pytest.mark.parametrize("method", ["append", "finish"])
def test_a_store_that_takes_nothing_pauses_the_run_once_it_takes_that(
    store: Store, method: str, monkeypatch: pytest.MonkeyPatch
):
    def whole(*_: object, **__: object) -> Generator[Event, None, None]:
        yield TuningStep(0, 0, 1, 0.5)
        yield Finished(False, 1.0)

    lease, refused = running(store), iter([True, True, False])
    pause = store.leases._pause

    def full(*_: object) -> bool:
        raise NoRoomError("database or disk is full")

    def sometimes(lease: Any) -> bool:
        return full() if next(refused) else pause(lease)

    monkeypatch.setattr(store.leases, method, full)
    monkeypatch.setattr(store.leases, "_pause", sometimes)
    carry_out_run(store.leases, lease, WORKLOADS, whole, store.home)
    assert store.run(lease.run).state == "queued" and next(refused, None) is None


@pytest.mark.parametrize(
    ("code", "waits"),
    [
        (sqlite3.SQLITE_FULL, True),
        (sqlite3.SQLITE_IOERR_WRITE, True),
        (sqlite3.SQLITE_READONLY, True),
        (sqlite3.SQLITE_CORRUPT, False),
    ],
)
def test_what_sqlite_says_of_the_disk_is_told_from_other_faults(store: Store, code: int, waits: bool):
    with pytest.raises(JobError) as found, store._database.reading():
        error = sqlite3.OperationalError("as SQLite says it")
        error.sqlite_errorcode = code
        raise error
    assert isinstance(found.value, NoRoomError) == no_room(found.value) == waits


def test_a_really_full_disk_pauses_with_the_reserve_and_goes_on(disk: Path):
    store = Store(disk, LIMITS)
    first = store.create(RECIPE, "s")
    assert store.leases.has_work()
    lease = claimed(store)
    filler = fill(disk)
    with pytest.raises(NoRoomError):
        for step in range(10_000):
            store.leases.append(lease, *(TuningStep(0, 0, step, 0.5) for _ in range(100)))
    with pytest.raises(ExportError) as unwritten:
        write_whole(store.folder(first) / "model.pt", bytes(2**16))
    assert no_room(unwritten.value)
    assert store.leases.pause(lease)
    assert store.run(first).state == "queued" and not (disk / "disk.reserve").exists()
    assert not store.leases.has_work()
    assert store.paused(store.run(first)).startswith("waiting for room on the disk: ")
    filler.unlink()
    assert store.leases.has_work() and claimed(store).run == first
    reported(store, first)


def test_runs_on_a_disk_that_fills_up_go_on_by_themselves(disk: Path):
    with closing(LocalBackend(disk, 0, command=(sys.executable, "-m", "tests.execution.tiny_worker"))) as backend:
        assert over(backend.store, backend.start(QUICK, "s", again=True)).state == "finished"
        filler = fill(disk)
        run = None
        while run is None:  # the page cannot queue anything on a full disk either: it says so
            try:
                run = backend.start(WHOLE, "s", again=True)
            except NoRoomError:
                filler.write_bytes(filler.read_bytes()[: -(2**17)])
        fill(disk)
        assert eventually(lambda: backend.store.paused(backend.store.run(run))).startswith("waiting for room")
        filler.unlink()
        assert over(backend.store, run).state == "finished"
        connection = sqlite3.connect(backend.store.path)
        assert connection.execute("SELECT losses FROM runs WHERE id = ?", (run,)).fetchone() == (0,)
        connection.close()
    log = (disk / "worker.log").read_text()
    assert "Traceback" not in log


def test_the_doubling_has_an_end(store: Store, monkeypatch: pytest.MonkeyPatch):
    free_is(monkeypatch, 400.0)
    store.create(RECIPE, "s")
    for _ in range(20):
        assert store.leases.pause(claimed(store))
    assert store.runs()[0].needs == 16 * 2**20
