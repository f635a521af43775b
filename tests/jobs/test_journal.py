"""How a run's events get from its worker into the store."""

import time
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.events import Event, Failed, Finished, TuningStep, Warned
from pruning.jobs import serving
from pruning.jobs.serving import Journal
from pruning.jobs.store import Store
from pruning.recipe import Recipe


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def run(store: Store) -> str:
    store.create(Recipe("mlp"), "s")
    run = store.claim("w")
    assert run is not None
    return run


def step(number: int) -> TuningStep:
    return TuningStep(0, 0, number, 0.5)


def written(store: Store, run: str) -> list[Event]:
    return [event for _, event in store.events(run)]


def test_steps_wait_for_each_other_and_other_events_do_not(store: Store, run: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "WRITE_S", 60.0)
    monkeypatch.setattr(serving, "BEAT_S", 60.0)
    with Journal(store, run) as journal:
        journal.add(Warned("begun"))
        journal.add(step(1))
        journal.add(step(2))
        assert written(store, run) == [Warned("begun")]
        journal.add(Warned("look"))
        assert written(store, run) == [Warned("begun"), step(1), step(2), Warned("look")]
        journal.add(step(3))
        journal.add(Finished(False, 1.0))
        assert journal.over
    assert written(store, run)[-2:] == [step(3), Finished(False, 1.0)]
    assert store.run(run).state == "finished"


def test_a_thousand_steps_are_few_writes(store: Store, run: str, monkeypatch: pytest.MonkeyPatch):
    writes: list[int] = []
    append = store.append

    def counted(run: str, *events: Event) -> None:
        writes.append(len(events))
        append(run, *events)

    monkeypatch.setattr(store, "append", counted)
    begun = time.monotonic()
    with Journal(store, run) as journal:
        for number in range(1000):
            journal.add(step(number))
        journal.add(Warned("end"))
    seconds = time.monotonic() - begun
    assert sum(writes) == 1001
    assert len(writes) <= seconds / serving.WRITE_S + seconds / serving.BEAT_S + 3


def test_the_heartbeat_writes_what_waits(store: Store, run: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "WRITE_S", 60.0)
    monkeypatch.setattr(serving, "BEAT_S", 0.05)
    with Journal(store, run) as journal:
        journal.add(Warned("begun"))
        journal.add(step(1))
        end = time.monotonic() + 30
        while len(written(store, run)) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        assert written(store, run) == [Warned("begun"), step(1)]
        assert store.fail_lost(5.0, "worker lost") == []


def test_a_stop_is_heard_and_stays(store: Store, run: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "ASK_STOP_S", 0.0)
    with Journal(store, run) as journal:
        assert not journal.stop()
        store.request_stop(run)
        assert journal.stop()
        assert journal.stop()


def test_the_store_is_not_asked_at_every_step(store: Store, run: str, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    monkeypatch.setattr(store, "stop_requested", asked.append)
    monkeypatch.setattr(serving, "ASK_STOP_S", 60.0)
    with Journal(store, run) as journal:
        for _ in range(1000):
            journal.stop()
    assert asked == [run]


def test_a_worker_that_was_given_up_stops(store: Store, run: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(serving, "BEAT_S", 0.05)
    monkeypatch.setattr(serving, "ASK_STOP_S", 60.0)
    with Journal(store, run) as journal:
        journal.stop()
        store.fail_worker("w", "worker lost")
        end = time.monotonic() + 30
        while not journal.stop() and time.monotonic() < end:
            time.sleep(0.01)
        assert journal.stop()
        with pytest.raises(JobError, match="nothing can be added"):
            journal.add(Warned("late"))
        journal.add(Failed("late"))
    assert written(store, run) == [Failed("worker lost")]
