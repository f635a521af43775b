"""What is deleted is out of every list, lies there for a week with its files, and then is gone."""

import time
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.execution.store import wastebasket
from pruning.execution.store.ownership import Who
from pruning.execution.store.run_list import Wanted
from pruning.execution.store.store import Store
from tests.execution.leasing import GENEROUS, OTHER, RECIPE, over, running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", GENEROUS)


def thrown(store: Store) -> str:
    """A run with a file, in the wastebasket."""
    run = over(store)
    store.folder(run).mkdir(parents=True)
    (store.folder(run) / "model.pt").touch()
    store.wastebasket.throw(run)
    return run


def test_a_deleted_run_is_in_no_list_and_cannot_be_opened(store: Store) -> None:
    run = thrown(store)
    assert store.list.rows([run]) == store.list.of_recipes([RECIPE.name], Who("s")) == [] == store.runs(("finished",))
    assert store.runs() == store.list.found(Wanted(Who("s"), search=run), 99) == []
    with pytest.raises(JobError, match="there is no run"):
        store.run(run)
    assert [waste.id for waste in store.wastebasket.all()] == [run]


def test_put_back_it_is_all_there_again(store: Store) -> None:
    run = over(store)
    events, row = store.events(run), store.run(run)
    store.wastebasket.throw(run)
    store.wastebasket.put_back(run)
    assert store.run(run) == row and store.events(run) == events and store.wastebasket.all() == []


def test_its_files_stay_also_when_the_server_is_started_anew(store: Store) -> None:
    run = thrown(store)
    Store(store.home, GENEROUS).upkeep.sweep()
    assert (store.folder(run) / "model.pt").exists()


def test_after_a_week_it_is_gone_with_its_events_and_files(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run, kept = thrown(store), over(store, OTHER)
    store.wastebasket.look()
    assert [waste.id for waste in store.wastebasket.all()] == [run]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + wastebasket.KEPT_S + 1)
    store.wastebasket.look()  # it has just looked
    assert store.wastebasket.all()
    monkeypatch.setattr(wastebasket, "LOOK_S", 0.0)
    store.wastebasket.look()
    assert store.wastebasket.all() == [] and not store.folder(run).exists() and store.events(run) == []
    assert [row.id for row in store.runs()] == [kept]
    assert store.create(RECIPE, "s") != run


def test_a_run_that_goes_on_is_not_thrown_away(store: Store) -> None:
    lease = running(store)
    with pytest.raises(JobError, match="is running; stop it first"):
        store.wastebasket.throw(lease.run)
    assert store.run(lease.run).state == "running"


def test_what_is_not_there_is_a_sentence(store: Store) -> None:
    run = over(store)
    for change in (store.wastebasket.put_back, store.wastebasket.empty):
        with pytest.raises(JobError, match="is not in the wastebasket"):
            change(run)
    assert store.run(run).state == "finished"
    store.wastebasket.throw(run)
    with pytest.raises(JobError, match="it was deleted"):
        store.wastebasket.throw(run)


def test_a_run_in_the_wastebasket_does_not_stand_for_its_recipe(store: Store) -> None:
    run = over(store)
    assert store.sweeps.queue("grid", "{}", [RECIPE], "s") == []
    store.wastebasket.throw(run)
    assert len(store.sweeps.queue("grid", "{}", [RECIPE], "s")) == 1
