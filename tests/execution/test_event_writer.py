"""How a run's events get from its worker into the store."""

import threading
import time
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.events import Event, Failed, Finished, Searching, TuningStep, Warned
from pruning.execution import run_worker as serving
from pruning.execution.run_worker import EventWriter
from pruning.execution.settings import Limits
from pruning.execution.store.records import Lease
from pruning.execution.store.store import Store
from pruning.recipe.recipe import Recipe


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def lease(store: Store) -> Lease:
    store.create(Recipe("mlp"), "s")
    lease = store.leases.claim("w")
    assert lease is not None
    return lease


def never() -> None:
    raise AssertionError("the run was not given up")


def step(number: int) -> TuningStep:
    return TuningStep(0, 0, number, 0.5)


def written(store: Store, lease: Lease) -> list[Event]:
    return [event for _, event in store.events(lease.run)]


def test_steps_wait_for_each_other_and_other_events_do_not(store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "WRITE_S", 60.0)
    monkeypatch.setattr(serving, "BEAT_S", 60.0)
    with EventWriter(store.leases, lease, never) as journal:
        journal.add(Warned("begun"))
        journal.add(step(1))
        journal.add(step(2))
        journal.add(Searching("each group alone", 1, 20, begins=False))
        assert written(store, lease) == [Warned("begun")]
        journal.add(Warned("look"))
        cut = Searching("each group alone", 1, 20, begins=False)
        assert written(store, lease) == [Warned("begun"), step(1), step(2), cut, Warned("look")]
        journal.add(step(3))
        journal.add(Finished(False, 1.0))
        assert journal.over
    assert written(store, lease)[-2:] == [step(3), Finished(False, 1.0)]
    assert store.run(lease.run).state == "finished"


def test_a_thousand_steps_are_few_writes(store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch):
    writes: list[int] = []
    append = store.leases.append

    def counted(lease: Lease, *events: Event) -> None:
        writes.append(len(events))
        append(lease, *events)

    monkeypatch.setattr(store.leases, "append", counted)
    begun = time.monotonic()
    with EventWriter(store.leases, lease, never) as journal:
        for number in range(1000):
            journal.add(step(number))
        journal.add(Warned("end"))
    seconds = time.monotonic() - begun
    assert sum(writes) == 1001
    assert len(writes) <= seconds / serving.WRITE_S + seconds / serving.BEAT_S + 3


def test_the_heartbeat_writes_what_waits(store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "WRITE_S", 60.0)
    monkeypatch.setattr(serving, "BEAT_S", 0.05)
    with EventWriter(store.leases, lease, never) as journal:
        journal.add(Warned("begun"))
        journal.add(step(1))
        end = time.monotonic() + 30
        while len(written(store, lease)) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        assert written(store, lease) == [Warned("begun"), step(1)]
        assert Store(store.home, Limits(lease_s=5.0)).leases.release_expired() == []


def test_a_stop_is_heard_and_stays(store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "ASK_STOP_S", 0.0)
    with EventWriter(store.leases, lease, never) as journal:
        assert not journal.stop()
        store.request_stop(lease.run)
        assert journal.stop()
        assert journal.stop()


def test_the_store_is_not_asked_at_every_step(store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    monkeypatch.setattr(store.leases, "stop_requested", asked.append)
    monkeypatch.setattr(serving, "ASK_STOP_S", 60.0)
    with EventWriter(store.leases, lease, never) as journal:
        for _ in range(1000):
            journal.stop()
    assert asked == [lease.run]


def test_a_worker_that_was_given_up_hears_of_it_and_writes_nothing(
    store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(serving, "BEAT_S", 0.05)
    monkeypatch.setattr(serving, "ASK_STOP_S", 60.0)
    heard = threading.Event()
    with EventWriter(store.leases, lease, heard.set) as journal:
        assert not heard.wait(0.2)
        store.leases.release("w")
        assert heard.wait(30)
        for late in (Warned("late"), Failed("late")):
            with pytest.raises(JobError, match="nothing can be added"):
                journal.add(late)
    assert written(store, lease) == []
    assert store.run(lease.run).state == "queued"


def test_what_could_not_be_written_is_written_later(store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "BEAT_S", 60.0)
    append = store.leases.append

    def busy(lease: Lease, *events: Event) -> None:
        monkeypatch.setattr(store.leases, "append", append)
        raise JobError("database is locked")

    monkeypatch.setattr(store.leases, "append", busy)
    with EventWriter(store.leases, lease, never) as journal:
        with pytest.raises(JobError):
            journal.add(Warned("one"))
        journal.add(Warned("two"))
    assert written(store, lease) == [Warned("one"), Warned("two")]
