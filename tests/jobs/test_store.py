import multiprocessing
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pruning.amounts import Sparsity
from pruning.errors import JobError, RecipeError
from pruning.events import (
    EVENTS,
    Event,
    Exported,
    Failed,
    Finished,
    Masked,
    Measured,
    Stage,
    StageMeasured,
    Started,
    SurgeryChecked,
    TuningStep,
    Verified,
    Warned,
)
from pruning.jobs.store import Store, default_home
from pruning.recipe import Recipe
from tests.jobs.claimer import claim_and_write

RECIPE = Recipe("mlp", amount=Sparsity(0.5))
OTHER = Recipe("mlp", amount=Sparsity(0.7))
ALL_EVENTS: list[Event] = [
    Started("mlp", "cpu (x86_64)", 1, 12, ("a", "b")),
    StageMeasured("dense", Stage(0.91, 0.92, 300, 76, 76, 64, 800, 500, (0.9, 0.92))),
    Masked(0, 1.0, 32, 31, 64, {"0": 0.5, "2": 0.25}),
    Warned("one unit stays"),
    TuningStep(0, 1, 7, 0.1 + 0.2),
    Measured(0, 7, "validation", 0.9, 0.5),
    SurgeryChecked("tuned", 1e-7, 0.5, 0.4),
    Exported({"pt": "/tmp/x.pt"}),
    Verified(0.91, 0.91, True),
    Finished(False, 12.5),
    Failed("no memory; lower tuning.batch_size"),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def running(store: Store, recipe: Recipe = RECIPE, worker: str = "w") -> str:
    store.create(recipe, "s")
    run = store.claim(worker)
    assert run is not None
    return run


def test_ids_are_the_recipes_name_and_count_its_runs(store: Store):
    ids = [store.create(recipe, "s") for recipe in (RECIPE, OTHER, RECIPE)]
    assert ids == [f"{RECIPE.name}-1", f"{OTHER.name}-1", f"{RECIPE.name}-2"]
    assert [row.id for row in store.runs()] == ids[::-1]
    assert store.folder(ids[0]) == store.home / "runs" / ids[0]


def test_a_run_goes_from_queued_over_running_to_finished(store: Store):
    run = store.create(RECIPE, "session 1")
    row = store.run(run)
    assert (row.state, row.session, row.recipe, row.started, row.over) == ("queued", "session 1", RECIPE, None, False)
    assert store.claim("w") == run
    row = store.run(run)
    assert row.state == "running" and row.started is not None and row.started >= row.created
    assert store.finish(run, Finished(False, 2.0))
    row = store.run(run)
    assert row.state == "finished" and row.finished is not None and row.over and row.sentence == ""
    assert store.events(run) == [(1, Finished(False, 2.0))]


def test_runs_can_be_had_by_state(store: Store):
    first, second = store.create(RECIPE, "s"), store.create(OTHER, "s")
    store.claim("w")
    assert [row.id for row in store.runs(["running"])] == [first]
    assert [row.id for row in store.runs(["queued", "running"])] == [second, first]


def test_every_kind_of_event_comes_back_as_it_was(store: Store):
    assert {type(event) for event in ALL_EVENTS} == set(EVENTS.values())
    run = running(store)
    store.append(run, *ALL_EVENTS[:4])
    store.append(run, *ALL_EVENTS[4:])
    assert store.events(run) == list(enumerate(ALL_EVENTS, 1))
    assert store.events(run, after=9) == [(10, ALL_EVENTS[9]), (11, ALL_EVENTS[10])]
    assert Store(store.home).events(run) == store.events(run)


def test_events_of_one_run_are_not_anothers(store: Store):
    one, two = running(store), running(store, OTHER)
    store.append(one, Warned("one"))
    store.append(two, Warned("two"))
    assert store.events(one) == [(1, Warned("one"))]
    assert store.events(two) == [(1, Warned("two"))]


def test_what_is_over_stays_as_it_is(store: Store):
    run = running(store)
    assert store.finish(run, Failed("no"))
    assert not store.finish(run, Finished(False, 1.0))
    store.request_stop(run)
    with pytest.raises(JobError, match=f"{run} is failed"):
        store.append(run, Warned("late"))
    assert not store.heartbeat(run)
    row = store.run(run)
    assert (row.state, row.sentence, row.stopping) == ("failed", "no", False)
    assert store.events(run) == [(1, Failed("no"))]


def test_a_queued_run_stops_at_once_and_a_running_one_is_asked(store: Store):
    first, second = store.create(RECIPE, "s"), store.create(OTHER, "s")
    store.request_stop(second)
    assert store.run(second).state == "stopped"
    assert store.events(second) == [(1, Finished(True, 0.0))]
    assert store.claim("w") == first
    assert store.claim("w") is None
    assert not store.stop_requested(first)
    store.request_stop(first)
    assert store.stop_requested(first)
    assert store.run(first).state == "running"
    store.finish(first, Finished(True, 1.0))
    assert store.run(first).state == "stopped"


def test_an_old_heartbeat_is_a_lost_worker_unless_it_is_known_to_live(store: Store):
    dead, alive = running(store, worker="dead"), running(store, worker="alive")
    assert store.fail_lost(10.0, "worker lost") == []
    assert store.fail_lost(-1.0, "worker lost", ["alive"]) == [dead]
    row = store.run(dead)
    assert (row.state, row.sentence) == ("failed", "worker lost")
    assert store.events(dead) == [(1, Failed("worker lost"))]
    assert store.heartbeat(alive)


def test_a_heartbeat_keeps_a_run(store: Store):
    run = running(store)
    time.sleep(0.3)
    assert store.heartbeat(run)
    assert store.fail_lost(0.2, "worker lost") == []
    time.sleep(0.3)
    assert store.fail_lost(0.2, "worker lost") == [run]


def test_a_workers_death_fails_its_run_only(store: Store):
    mine, theirs = running(store, worker="mine"), running(store, worker="theirs")
    store.create(OTHER, "s")
    assert store.fail_worker("mine", "worker lost") == [mine]
    assert store.fail_worker("mine", "worker lost") == []
    assert store.run(theirs).state == "running"
    assert store.fail_queued("nobody can take it") == [f"{OTHER.name}-1"]


def test_threads_never_claim_one_run_twice(store: Store):
    runs = [store.create(RECIPE, "s") for _ in range(40)]
    start = threading.Barrier(8)

    def claim_all(worker: int) -> list[str]:
        start.wait()
        return list(iter(lambda: store.claim(str(worker)), None))

    with ThreadPoolExecutor(8) as pool:
        claimed = [run for part in pool.map(claim_all, range(8)) for run in part]
    assert sorted(claimed) == sorted(runs)


def test_processes_share_a_fresh_store_and_never_claim_one_run_twice(tmp_path: Path):
    spawn = multiprocessing.get_context("spawn")
    store = Store(tmp_path)
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
        return Store(home).create(RECIPE, "s")

    with ThreadPoolExecutor(12) as pool:
        for attempt in range(5):
            assert len(set(pool.map(make, [tmp_path / str(attempt)] * 12))) == 12


def test_two_writers_of_one_run_do_not_lose_or_mix_numbers(store: Store):
    run = running(store)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda step: store.append(run, TuningStep(0, 0, step, 0.5)), range(80)))
    events = store.events(run)
    assert [seq for seq, _ in events] == list(range(1, 81))
    assert sorted(event.step for _, event in events if isinstance(event, TuningStep)) == list(range(80))


def test_an_unknown_run_is_named(store: Store):
    for ask in (store.run, store.stop_requested, store.request_stop, lambda run: store.append(run, Warned("x"))):
        with pytest.raises(JobError, match=r"no run nothing-1 .*choose one"):
            ask("nothing-1")


def test_a_recipe_that_cannot_be_read_does_not_spoil_the_list(store: Store):
    store.create(RECIPE, "s")
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE runs SET recipe = replace(recipe, 'magnitude', 'magic')")
    (row,) = store.runs()
    with pytest.raises(RecipeError, match=r"criterion\.kind is \"magic\""):
        _ = row.recipe


def test_a_home_below_a_file_names_it_and_the_way_out(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(JobError, match=r"file/home cannot be used .*set PRUNING_HOME to another folder"):
        Store(tmp_path / "file" / "home")


def test_a_damaged_store_names_its_folder_and_the_way_out(tmp_path: Path):
    (tmp_path / "store.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(JobError, match=f"{tmp_path} cannot be used .*set PRUNING_HOME"):
        Store(tmp_path)


def test_a_store_of_another_version_is_left_alone(store: Store):
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(JobError, match=r"version 99 .*move it away"):
        Store(store.home)


def test_home_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PRUNING_HOME", str(tmp_path))
    assert default_home() == tmp_path
    monkeypatch.delenv("PRUNING_HOME")
    assert default_home().is_absolute()
