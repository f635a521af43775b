"""Halvings in the store and who looks after them: nothing is run twice, time is kept, another server takes over."""

import errno
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pruning.errors import JobError, NoRoomError
from pruning.events import Failed, Finished, Stage, StageMeasured, Started
from pruning.execution.halving_driver import HalvingDriver
from pruning.execution.store import halvings
from pruning.execution.store.store import Store
from pruning.halving.halving import Halving, halving_to_json
from pruning.halving.result import Ranking, ranking_from_json
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from pruning.sweeps.grid import Grid
from pruning.training.tuning import Tuning
from tests.execution.leasing import claimed

HALVING = Halving(Grid(Recipe("mlp", tuning=Tuning(3)), {"amount.share": (0.1, 0.3, 0.5, 0.7, 0.9)}), 9000)
NAME = HALVING.name


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def opened(store: Store, seconds: float = 600.0) -> HalvingDriver:
    store.halvings.open(NAME, halving_to_json(HALVING), "s", seconds)
    return driver(store)


def driver(store: Store) -> HalvingDriver:
    return HalvingDriver(store, lambda _: None, store.request_stop, 2)


def finish(store: Store) -> None:
    """Let the next run come to a score: the less is pruned, the higher."""
    lease = claimed(store)
    amount = store.run(lease.run).recipe.amount
    assert isinstance(amount, Sparsity)
    dense = Stage(0.9, 0.9, 100, 80, 80, 64, 800, 500)
    tuned = replace(dense, validation=0.9 - amount.share / 10, nonzero=round(80 * (1 - amount.share)))
    store.leases.append(
        lease, Started("mlp", "cpu", 1, 1, ()), StageMeasured("dense", dense), StageMeasured("tuned", tuned)
    )
    store.leases.finish(lease, Finished(False, 1.0))


def found(store: Store) -> Ranking:
    return ranking_from_json(store.halvings.one(NAME).ranking_json)


def to_the_end(store: Store, looking: HalvingDriver) -> None:
    for _ in range(100):
        looking.look()
        if store.halvings.one(NAME).state != "open":
            return
        finish(store)
    raise AssertionError("it does not end")


def test_runs_are_queued_a_few_at_a_time_until_all_settings_were_tried(store: Store) -> None:
    looking = opened(store)
    looking.look()
    assert len(store.queue()) == 2
    to_the_end(store, looking)
    row, ranking = store.halvings.one(NAME), found(store)
    assert (row.state, row.sentence) == ("over", "done; 5 of 5 settings were tried")
    best = ranking.best
    assert best is not None and best.values == {"amount.share": 0.1} and len(best.scores) == 3
    assert best.scores[-1].left == 0.9 and best.scores[-1].drop == pytest.approx(0.01)
    assert len(store.runs()) == sum(len(entry.scores) for entry in ranking.entries)
    assert store.sweeps.all() == []  # it is no sweep


def test_another_server_goes_on_and_runs_nothing_twice(store: Store) -> None:
    first = opened(store)
    first.look()
    finish(store)
    first.look()
    second = driver(store)
    second.look()
    before = len(store.runs())
    assert before == len(store.queue()) + 1 == 3  # the second one keeps its hands off while the first is there
    first.close()
    to_the_end(store, second)
    assert len({row.name for row in store.runs()}) == len(store.runs()) > before
    assert store.halvings.one(NAME).state == "over"


def test_one_server_at_a_time_looks_after_a_halving(store: Store) -> None:
    opened(store)
    assert store.halvings.drive(NAME, "a") and store.halvings.drive(NAME, "a")
    assert not store.halvings.drive(NAME, "b")
    store.halvings.let_go("a")
    assert store.halvings.drive(NAME, "b") and not store.halvings.drive(NAME, "a")


@pytest.mark.parametrize("jump", [1e9, -1e9])
def test_a_clock_that_is_set_neither_ends_a_halving_nor_keeps_one_whose_server_died(
    store: Store, jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = opened(store)
    looking.look()
    monkeypatch.setattr(halvings, "DRIVEN_S", 0.0)
    other = Store(store.home)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + jump)
    assert not other.halvings.drive(NAME, "b")  # seen for the first time
    looking.look()
    assert store.halvings.one(NAME).state == "open"
    assert not other.halvings.drive(NAME, "b")  # the first has given a sign of life
    assert other.halvings.drive(NAME, "b")


def test_when_the_time_is_over_what_runs_is_ended_and_asked_for_again_later(store: Store) -> None:
    looking = opened(store)
    looking.look()
    finish(store)
    looking.look()
    with store._database.writing() as connection:
        connection.execute("UPDATE halvings SET ends = ?", (time.time() - 1,))
    looking.look()
    row = store.halvings.one(NAME)
    assert row.state == "over" and row.sentence.startswith("the time is over; ")
    assert store.queue() == [] and len(store.runs(("stopped",))) == 2
    store.halvings.open(NAME, halving_to_json(HALVING), "s", 600.0)
    to_the_end(store, looking)
    assert all(entry.state != "failed" for entry in found(store).entries)
    assert "done" in store.halvings.one(NAME).sentence


def test_no_run_begins_that_would_not_be_over_in_time(store: Store) -> None:
    looking = opened(store, 100.0)
    looking.look()
    finish(store)
    with store._database.writing() as connection:  # it took five minutes, and a ninth of the training
        connection.execute("UPDATE runs SET seconds = 300 WHERE state = 'finished'")
    looking.look()
    assert len(store.queue()) == 1  # that which was there
    finish(store)
    looking.look()
    row = store.halvings.one(NAME)
    assert row.state == "over" and row.sentence.startswith("no other run is likely to end in the time that is left")


def test_a_stop_ends_what_runs_and_keeps_what_is_over(store: Store) -> None:
    looking = opened(store)
    looking.look()
    finish(store)
    looking.look()
    looking.stop(NAME)
    assert store.halvings.one(NAME).state == "stopped" and store.queue() == []
    assert found(store).best is not None
    looking.look()  # nothing goes on
    assert store.queue() == []
    with pytest.raises(JobError, match="there is no halving"):
        looking.stop("another")


def test_a_run_that_fails_is_a_setting_that_fails(store: Store) -> None:
    looking = opened(store)
    looking.look()
    store.leases.finish(claimed(store), Failed("no memory"))
    looking.look()
    entry = next(entry for entry in found(store).entries if entry.state == "failed")
    assert entry.sentence == "no memory" and store.halvings.one(NAME).state == "open"


def test_a_training_that_diverged_is_a_setting_that_fails(store: Store) -> None:
    looking = opened(store)
    looking.look()
    lease = claimed(store)
    stage = Stage(0.9, float("nan"), 100, 80, 80, 64, 800, 500)
    store.leases.append(lease, StageMeasured("dense", stage), StageMeasured("tuned", stage))
    store.leases.finish(lease, Finished(False, 1.0))
    to_the_end(store, looking)
    entry = next(entry for entry in found(store).entries if entry.state == "failed")
    assert "diverged" in entry.sentence and store.halvings.one(NAME).state == "over"


def test_a_fault_ends_it_with_a_sentence_and_the_others_go_on(store: Store) -> None:
    looking = opened(store)
    store.halvings.open("broken", '{"version": 9}', "s", 60.0)
    looking.look()
    row = store.halvings.one("broken")
    assert row.state == "failed" and "version is 9" in row.sentence and len(store.queue()) == 2


def test_one_that_is_over_is_taken_off_the_list(store: Store) -> None:
    looking = opened(store)
    store.halvings.rename(NAME, " mine ")
    assert store.halvings.one(NAME).title == "mine"
    with pytest.raises(JobError, match="stop it first"):
        store.halvings.forget(NAME)
    looking.stop(NAME)
    store.halvings.forget(NAME)
    assert store.halvings.all() == []


@pytest.mark.parametrize("error", [NoRoomError("the disk is full"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_full_disk_fails_no_halving(store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    looking = opened(store)

    def full(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(looking, "_contest", full)
        with pytest.raises(NoRoomError):
            looking.look()
    assert store.halvings.one(NAME).state == "open"
    looking.look()
    assert len(store.queue()) == 2


def test_what_others_keep_to_themselves_does_not_count(store: Store) -> None:
    looking = opened(store)
    looking.look()
    private = store.create(store.runs()[-1].recipe, "another")  # the newest of its recipe, which would stand for it
    store.hide(private, True)
    while store.runs(("queued",)):
        finish(store)
    looking.look()
    runs = {score.run for entry in found(store).entries for score in entry.scores}
    assert runs and private not in runs
