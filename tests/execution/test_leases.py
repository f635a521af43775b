"""Who carries a run out, whose turn it is, and what becomes of a run whose worker is gone."""

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.events import (
    Exported,
    Failed,
    Finished,
    Measured,
    Resumed,
    Started,
    TuningStep,
    Warned,
)
from pruning.execution.settings import Limits
from pruning.execution.store.records import Lease
from pruning.execution.store.store import Store
from pruning.sweeps.expansion import expand
from pruning.sweeps.grid import Grid
from pruning.training.schedules import Polynomial, PolynomialDecay
from pruning.training.tuning import Tuning
from tests.execution.claimer import claim_and_write
from tests.execution.leasing import GENEROUS, OTHER, RECIPE, claimed, reported, running
from tests.execution.waiting import eventually


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", GENEROUS)


def test_an_old_heartbeat_is_a_lost_worker_unless_it_is_known_to_live(store: Store):
    dead, alive = running(store, worker="dead"), running(store, worker="alive")
    hasty = Store(store.home, Limits(lease_s=0.0))
    assert hasty.leases.release_expired(["alive"]) == []  # it has only just seen it
    assert store.leases.release_expired() == [] and store.leases.release_expired() == []
    assert hasty.leases.release_expired(["alive"]) == [dead.run]
    row = store.run(dead.run)
    assert (row.state, row.started, row.sentence) == ("queued", None, "")
    assert store.leases.heartbeat(alive) and not store.leases.heartbeat(dead)


def test_a_heartbeat_keeps_a_run(tmp_path: Path):
    store = Store(tmp_path, Limits(lease_s=0.2))
    lease = running(store)
    for _ in range(6):
        time.sleep(0.05)
        assert store.leases.heartbeat(lease)
        assert store.leases.release_expired() == []
    assert eventually(store.leases.release_expired) == [lease.run]


@pytest.mark.parametrize("jump", [1e9, -1e9])
def test_a_clock_that_is_set_neither_steals_nor_keeps_a_run(store: Store, jump: float, monkeypatch: pytest.MonkeyPatch):
    """The worker's clock, the other server's, or both: only heartbeats count, and how long they are not heard."""
    alive, dead = running(store, worker="alive"), running(store, worker="dead")
    looking = Store(store.home, Limits(lease_s=0.2))
    assert looking.leases.release_expired() == []
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + jump)
    released: list[str] = []
    for _ in range(6):
        assert store.leases.heartbeat(alive)
        released += looking.leases.release_expired()
        time.sleep(0.06)
    assert released == [dead.run]
    assert store.leases.finish(alive, Finished(False, 1.0))
    row = store.run(alive.run)
    assert 0.3 < row.seconds < 60.0 and row.started is not None and row.finished is not None
    assert (row.finished - row.started > 0) == (jump > 0)
    store.end(dead.run)


def test_turns_are_taken_in_the_order_of_starts_whatever_the_clock_says(store: Store, monkeypatch: pytest.MonkeyPatch):
    for session in "aabb":
        store.create(RECIPE, session)
    times = iter((5e9, 3e9, 1.0))
    first = claimed(store)
    monkeypatch.setattr(time, "time", lambda: next(times))
    second, third, fourth = claimed(store), claimed(store), claimed(store)
    sessions = [store.run(lease.run).session for lease in (first, second, third, fourth)]
    assert sessions == ["a", "b", "a", "b"]


def test_a_workers_death_costs_its_run_an_attempt_and_no_other(store: Store):
    mine, theirs = running(store, worker="mine"), running(store, worker="theirs")
    assert store.leases.release("mine") == [mine.run]
    assert store.leases.release("mine") == []
    assert store.run(theirs.run).state == "running"
    assert store.leases.claim("next") == Lease(mine.run, "next", 2)
    assert store.leases.release("next") == [mine.run]
    store.leases.claim("last")
    assert store.leases.release("last") == [mine.run]
    row = store.run(mine.run)
    assert row.state == "failed" and row.sentence.startswith("worker lost: 3 of 3 processes")
    assert reported(store, mine.run) == [Failed(row.sentence)]


def test_what_is_handed_back_in_good_order_costs_no_attempt(store: Store):
    run = running(store).run
    for attempt in range(2, 7):
        assert store.leases.hand_back("w") == [run]
        assert claimed(store).attempt == attempt
    assert store.leases.release("w") == [run] and store.run(run).state == "queued"


def test_a_run_that_was_stopping_when_its_worker_died_is_not_begun_again(store: Store):
    lease = running(store)
    store.leases.append(lease, TuningStep(0, 0, 1, 0.5))
    store.request_stop(lease.run)
    store.leases.release("w")
    row = store.run(lease.run)
    assert (row.state, row.sentence) == (
        "stopped",
        "its worker was lost while it was stopping: no file was written; what it had measured is kept",
    )
    step, warned, finished = reported(store, lease.run)
    assert step == TuningStep(0, 0, 1, 0.5) and warned == Warned(row.sentence)
    assert isinstance(finished, Finished) and finished.stopped
    assert store.leases.claim("w") is None


def test_a_worker_that_was_given_up_can_write_nothing(store: Store):
    old = running(store, worker="old")
    store.leases.append(old, Warned("from the old one"))
    store.leases.release("old")
    new = claimed(store, "new")
    for given_up in (old, replace(new, worker="old"), replace(new, attempt=1)):
        assert not store.leases.heartbeat(given_up)
        assert not store.leases.finish(given_up, Finished(False, 1.0))
        with pytest.raises(JobError, match="not this worker's any more"):
            store.leases.append(given_up, Warned("late"))
    assert reported(store, old.run) == [Warned("from the old one")]
    assert store.leases.heartbeat(new)


def test_a_resumed_run_keeps_what_is_still_true_and_nothing_is_said_twice(store: Store):
    first = running(store)
    store.leases.append(
        first, Started("mlp", "cpu", 1, 4, ()), TuningStep(0, 0, 1, 0.5), Measured(0, 1, "validation", 0.9, 0.5)
    )
    store.leases.append(first, TuningStep(0, 1, 2, 0.4), TuningStep(0, 1, 3, 0.3))
    store.leases.release("w")
    second = claimed(store)
    assert len(reported(store, first.run)) == 5  # a page may still show what there is
    store.leases.append(second, Resumed(3, 0, 1), TuningStep(0, 1, 2, 0.4))
    store.leases.append(second, TuningStep(0, 1, 3, 0.3))
    assert reported(store, first.run)[2:] == [
        Measured(0, 1, "validation", 0.9, 0.5),
        Resumed(3, 0, 1),
        TuningStep(0, 1, 2, 0.4),
        TuningStep(0, 1, 3, 0.3),
    ]


def test_without_a_checkpoint_the_next_attempt_begins_with_an_empty_sheet(store: Store):
    first = running(store)
    store.leases.append(first, Warned("one"), Exported({}))
    store.leases.release("w")
    store.leases.append(claimed(store), Warned("two"))
    assert reported(store, first.run) == [Warned("two")]


def test_a_reader_who_keeps_events_by_attempt_never_shows_a_mixture(store: Store):
    """The attempt changes with its first event and not with the claim, or old events would be kept as new ones."""
    first = running(store)
    assert store.run(first.run).attempt == 1
    store.leases.append(first, Warned("one"))
    store.leases.release("w")
    second = claimed(store)
    assert second.attempt == 2 and store.run(first.run).attempt == 1
    store.leases.append(second, Warned("two"))
    assert store.run(first.run).attempt == 2


def test_a_run_that_fails_in_a_later_attempt_keeps_what_it_had_told(store: Store):
    lease = running(store)
    store.leases.append(lease, Warned("one"))
    store.leases.release("w")
    assert store.leases.finish(claimed(store), Failed("no memory"))
    assert reported(store, lease.run) == [Warned("one"), Failed("no memory")]


def test_a_run_ended_by_force_says_what_is_left(store: Store):
    lease = running(store, worker="doomed")
    store.leases.append(lease, TuningStep(0, 0, 1, 0.5))
    assert store.end(lease.run) == "doomed"
    row = store.run(lease.run)
    assert (row.state, row.sentence) == (
        "stopped",
        "ended at once: no file was written; what it had measured is kept",
    )
    assert [type(event) for event in reported(store, lease.run)] == [TuningStep, Warned, Finished]
    assert store.leases.release("doomed") == []
    assert store.end(lease.run) is None


def test_ending_a_queued_run_leaves_no_worker_to_end(store: Store):
    run = store.create(RECIPE, "s")
    assert store.end(run) is None
    assert store.run(run).state == "stopped" and store.leases.claim("w") is None


def test_sessions_take_turns(store: Store):
    """b and c came later than a's three runs and do not wait for them."""
    runs = [store.create(RECIPE, session) for session in "aaabbc"]
    a1, a2, a3, b1, b2, c1 = runs
    order = [a1, b1, c1, a2, b2, a3]
    assert [store.place_in_queue(run) for run in order] == list(range(6))
    assert [claimed(store).run for _ in runs] == order
    assert [store.place_in_queue(run) for run in runs] == [0] * 6


def test_who_started_last_waits_longest_also_across_rounds(store: Store):
    running(store)  # of session s
    s2, t1 = store.create(RECIPE, "s"), store.create(RECIPE, "t")
    assert [store.place_in_queue(run) for run in (t1, s2)] == [0, 1]
    assert [claimed(store).run, claimed(store).run] == [t1, s2]


def test_a_lost_run_is_next_at_its_old_place(store: Store):
    lost = store.create(RECIPE, "s")
    claimed(store)
    same_session, other_session = store.create(OTHER, "s"), store.create(OTHER, "t")
    store.leases.release("w")
    assert [store.place_in_queue(run) for run in (lost, other_session, same_session)] == [0, 1, 2]


def test_a_session_has_a_limit_and_is_said_so(tmp_path: Path):
    store = Store(tmp_path, Limits(runs_per_session=2))
    first, _ = store.create(RECIPE, "s"), store.create(RECIPE, "s")
    claimed(store)
    with pytest.raises(JobError, match=r"2 of your runs are queued or running and 2 is the most .* or stop one"):
        store.create(RECIPE, "s")
    store.create(RECIPE, "another")
    store.end(first)
    assert store.create(RECIPE, "s").endswith("-4")


def test_threads_never_claim_one_run_twice(store: Store):
    runs = [store.create(RECIPE, "s") for _ in range(40)]
    start = threading.Barrier(8)

    def claim_all(worker: int) -> list[str]:
        start.wait()
        return [lease.run for lease in iter(lambda: store.leases.claim(str(worker)), None)]

    with ThreadPoolExecutor(8) as pool:
        taken = [run for part in pool.map(claim_all, range(8)) for run in part]
    assert sorted(taken) == sorted(runs)


def test_processes_share_a_fresh_store_and_never_claim_one_run_twice(tmp_path: Path):
    spawn = multiprocessing.get_context("spawn")
    store = Store(tmp_path, GENEROUS)
    runs = [store.create(RECIPE, "s") for _ in range(30)]
    workers = [spawn.Process(target=claim_and_write, args=(tmp_path, str(i))) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    for run in runs:
        events = store.events(run)
        assert [seq for seq, _ in events] == list(range(1, 12))
        assert len({event.sentence for _, event in events if isinstance(event, Warned)}) == 1
        assert store.run(run).state == "finished"


def test_many_open_a_fresh_store_at_once(tmp_path: Path):
    start = threading.Barrier(12)

    def make(home: Path) -> str:
        start.wait()
        return Store(home, GENEROUS).create(RECIPE, "s")

    with ThreadPoolExecutor(12) as pool:
        for attempt in range(5):
            assert len(set(pool.map(make, [tmp_path / str(attempt)] * 12))) == 12


def test_two_writers_of_one_run_do_not_lose_or_mix_numbers(store: Store):
    lease = running(store)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda step: store.leases.append(lease, TuningStep(0, 0, step, 0.5)), range(80)))
    events = reported(store, lease.run)
    assert sorted(event.step for event in events if isinstance(event, TuningStep)) == list(range(80))


def test_all_servers_on_a_home_together_carry_out_no_more_runs_than_they_may(store: Store):
    for _ in range(3):
        store.create(RECIPE, "s")
    one, other = (Store(store.home, GENEROUS, most_running=2) for _ in range(2))
    first, second = claimed(one), claimed(other)
    assert one.leases.claim("w") is None and other.leases.claim("w") is None and not other.leases.has_work()
    one.leases.finish(first, Finished(False, 1.0))
    assert claimed(other).run not in (first.run, second.run)


def test_a_run_that_takes_too_long_is_stopped_and_says_so(store: Store, monkeypatch: pytest.MonkeyPatch):
    lease = running(store)
    now = time.monotonic()
    for hours, stopping in ((0.5, False), (1.1, True)):
        monkeypatch.setattr(time, "monotonic", lambda hours=hours: now + hours * 3600)
        hasty = Store(store.home, Limits(run_hours=1.0))
        hasty.leases._begun = store.leases._begun
        assert hasty.leases.heartbeat(lease) and hasty.leases.stop_requested(lease.run) == stopping
    assert store.leases.finish(lease, Finished(True, 1.0))
    row = store.run(lease.run)
    assert row.state == "stopped" and row.sentence == "a run may take 1 h here: what it has is kept (PRUNING_RUN_HOURS)"


def test_the_time_of_all_attempts_counts(store: Store, monkeypatch: pytest.MonkeyPatch):
    hasty, now = Store(store.home, Limits(run_hours=1.0)), time.monotonic()
    hasty.create(RECIPE, "s")
    for attempt in range(3):
        monkeypatch.setattr(time, "monotonic", lambda: now)
        lease = claimed(hasty)
        monkeypatch.setattr(time, "monotonic", lambda: now + 1500.0)
        assert hasty.leases.heartbeat(lease)
        assert hasty.leases.stop_requested(lease.run) == (attempt == 2)
        hasty.leases.hand_back("w")


@pytest.mark.parametrize(
    ("changes", "possible"),
    [
        ({"tuning": Tuning(epochs=1_000_000), "schedule": Polynomial(1000)}, False),
        ({"tuning": Tuning(epochs=1_000_000), "schedule": Polynomial(2)}, True),
        ({"tuning": Tuning(epochs=1_000_000, batch_size=2, images_per_epoch=10**6)}, False),
        (
            {"tuning": Tuning(epochs=1_000_000, batch_size=2, images_per_epoch=10**3), "schedule": PolynomialDecay()},
            False,
        ),
    ],
)
def test_training_that_cannot_be_over_in_time_is_refused_before_it_is_queued(tmp_path: Path, changes, possible: bool):
    store = Store(tmp_path, Limits(run_events=10**9))
    recipe = replace(RECIPE, **changes)
    grid = Grid(recipe, {"seed": (0, 1)}, ())
    if possible:
        store.create(recipe, "s")
        assert len(store.sweeps.queue("x", "{}", [each.recipe for each in expand(grid).runs], "s")) == 1
        return
    with pytest.raises(JobError, match=r"asks for \d+ optimiser steps at least, and no run may take longer than 24 h"):
        store.create(recipe, "s")
    with pytest.raises(JobError, match=r"lower tuning\.epochs"):
        store.sweeps.queue("x", "{}", [each.recipe for each in expand(grid).runs], "s")
    assert store.queue() == []
