"""What each person's runs take of the disk and of the store is counted and bounded."""

from dataclasses import replace
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.events import Exported, Finished, Resumed, TuningStep, Warned
from pruning.execution.settings import Limits
from pruning.execution.store.disk_share import MB, DiskShare
from pruning.execution.store.store import Store
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning
from tests.execution.leasing import OTHER, RECIPE, claimed

LIMITS = Limits(runs_per_session=100, disk_per_person_mb=2, run_events=100)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", LIMITS)


def finished(store: Store, session: str, megabytes: int) -> str:
    run = store.create(RECIPE, session)
    lease = claimed(store)
    file = store.folder(lease.run) / "model.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(megabytes * MB))
    store.leases.append(lease, Exported({"pt": str(file)}))
    store.leases.finish(lease, Finished(False, 1.0))
    return run


def events_of(store: Store, run: str) -> int:
    """Bytes of the run's events, as they lie in the file."""
    with store._database.reading() as connection:  # pyright: ignore[reportPrivateUsage]
        return connection.execute("SELECT sum(length(event)) FROM events WHERE run = ?", (run,)).fetchone()[0]


def test_a_person_who_has_their_share_is_told_what_to_delete(store: Store):
    small, large = finished(store, "anna", 1), finished(store, "anna", 2)
    sentence = rf"take 3\.0 MB of the disk and 2 MB is the most; .*: {large} \(2\.0 MB\), {small} \(1\.0 MB\)$"
    with pytest.raises(JobError, match=sentence):
        store.create(OTHER, "anna")
    with pytest.raises(JobError, match=sentence):
        store.sweeps.queue("grid", "{}", [OTHER], "anna")
    assert store.share(RECIPE, "anna") == small  # what is there takes no more
    store.create(OTHER, "bert")
    store.wastebasket.throw(large)
    with pytest.raises(JobError, match=r"take 3\.0 MB"):  # it can be put back
        store.create(OTHER, "anna")
    store.wastebasket.empty(large)
    store.create(OTHER, "anna")


def test_shares_are_counted_to_the_byte_and_for_all_who_show_a_run(store: Store):
    mine = finished(store, "anna", 1)
    store.share(RECIPE, "bert")
    taken = MB + events_of(store, mine)
    other = finished(store, "bert", 1)
    assert store.disk_shares() == [
        DiskShare("bert", 2, taken + MB + events_of(store, other)),
        DiskShare("anna", 1, taken),
    ]
    store.delete(mine)
    assert store.disk_shares() == [DiskShare("bert", 2, taken + MB + events_of(store, other))]


def test_what_a_later_attempt_does_again_counts_once(store: Store):
    store.create(RECIPE, "anna")
    lease = claimed(store)
    store.leases.append(lease, *(TuningStep(0, 0, step, 0.5) for step in range(20)))
    store.leases.release("w")
    lease = claimed(store)
    store.leases.append(lease, Resumed(5, 0, 5), Warned("anew"))
    assert store.disk_shares() == [DiskShare("anna", 1, events_of(store, lease.run))]


def test_a_run_that_writes_too_much_is_asked_to_end_and_says_why(store: Store):
    store.create(RECIPE, "anna")
    lease = claimed(store)
    store.leases.append(lease, *(TuningStep(0, 0, step, 0.5) for step in range(99)))
    store.leases.heartbeat(lease)
    assert not store.leases.stop_requested(lease.run)
    store.leases.append(lease, TuningStep(0, 0, 99, 0.5))
    store.leases.heartbeat(lease)
    assert store.leases.stop_requested(lease.run)
    store.leases.finish(lease, Finished(True, 1.0))
    assert store.run(lease.run).sentence.startswith("a run may write 100 events here: what it has is kept")


@pytest.mark.parametrize(("epochs", "refused"), [(20, False), (21, True)])
def test_a_recipe_that_cannot_but_write_too_much_is_refused(store: Store, epochs: int, refused: bool):
    """Five rounds of so many epochs of one step each at least."""
    recipe = replace(RECIPE, schedule=Polynomial(rounds=5), tuning=Tuning(epochs=epochs))
    if not refused:
        store.create(recipe, "anna")
        return
    with pytest.raises(JobError, match=r"105 optimiser steps at least, and no run may write down more than 100 here"):
        store.create(recipe, "anna")


def test_the_longest_recipe_that_the_form_takes_is_refused_by_default(tmp_path: Path):
    longest = replace(RECIPE, schedule=Polynomial(rounds=1000), tuning=Tuning(epochs=10**6))
    with pytest.raises(JobError, match="no run may take longer than 24 h"):
        Store(tmp_path, Limits()).create(longest, "anna")
    with pytest.raises(JobError, match="no run may write down more than 500000"):
        Store(tmp_path, Limits(run_hours=8760.0)).create(longest, "anna")
