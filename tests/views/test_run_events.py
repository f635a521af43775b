"""What a session keeps of a run's events."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pruning.events import Event, TuningStep, Warned
from pruning.execution.store.store import Store
from tests.views.test_lab_page import QUICK
from views.shared import run_events
from views.shared.state import SharedState


def test_a_long_runs_steps_are_thinned_and_its_last_is_never_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    monkeypatch.setattr(run_events, "MOST_STEPS", 100)
    monkeypatch.setattr(run_events, "backend", lambda: SimpleNamespace(store=store))
    run = store.create(QUICK, "x")
    lease = store.leases.claim("worker")
    assert lease is not None
    all_the_time, later = SharedState(), SharedState()

    def seen(session: SharedState) -> list[Event]:
        monkeypatch.setattr(run_events, "shared_state", lambda: session)
        return run_events.events_of(store.run(run))

    done = 0
    for add in (40, 60, 1, 500, 7, 3000):
        steps = [TuningStep(0, 0, done + i + 1, 1.0) for i in range(add)]
        store.leases.append(lease, *steps, Warned(f"after {add}"))
        done += add
        shown = [event.step for event in seen(all_the_time) if isinstance(event, TuningStep)]
        assert shown == sorted(set(shown)) and done - shown[-1] <= 2 * done / 100 + 1
        assert min(done, 49) <= len(shown) <= 100
    whole, whole_at_once = seen(all_the_time), seen(later)
    assert whole == whole_at_once
    assert [event.sentence for event in whole if isinstance(event, Warned)] == [
        "after 40", "after 60", "after 1", "after 500", "after 7", "after 3000",
    ]  # fmt: skip
    assert [event.step for event in whole if isinstance(event, TuningStep)][:2] != [1, 2]


def test_a_poll_reads_what_is_new_and_a_further_attempt_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, session, read = Store(tmp_path), SharedState(), list[int]()
    monkeypatch.setattr(run_events, "backend", lambda: SimpleNamespace(store=store))
    monkeypatch.setattr(run_events, "shared_state", lambda: session)
    found = store.events_thinned
    monkeypatch.setattr(
        store, "events_thinned", lambda run, after, every: read.append(after) or found(run, after, every)
    )
    run = store.create(QUICK, "x")
    for worker, sentences in (("one", ["first", "second"]), ("two", ["third"])):
        lease = store.leases.claim(worker)
        assert lease is not None
        for sentence in sentences:
            store.leases.append(lease, Warned(sentence))
            assert run_events.events_of(store.run(run))[-1] == Warned(sentence)
        store.leases.release(worker)
    assert read == [0, 1, 0]
