"""Who asks for the same run shares its computation: each has a run of their own, and none can harm the other."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.events import Exported, Finished, TuningStep, Warned
from pruning.execution.settings import Limits
from pruning.execution.store import sharing
from pruning.execution.store.backup import back_up
from pruning.execution.store.cleaning import clean
from pruning.execution.store.records import Lease
from pruning.execution.store.restoration import restore
from pruning.execution.store.store import Store
from tests.execution.leasing import GENEROUS, OTHER, RECIPE, claimed, reported


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", GENEROUS)


@pytest.fixture
def pair(store: Store) -> tuple[str, str]:
    """Anna's queued run, and Bert's that shares it."""
    return store.share(RECIPE, "anna"), store.share(RECIPE, "bert")


def finish(store: Store, lease: Lease) -> Path:
    """The run's one file."""
    file = store.folder(lease.run) / "model.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    store.leases.append(lease, Exported({"pt": str(file)}))
    store.leases.finish(lease, Finished(False, 1.0))
    return file


def states(store: Store, *runs: str) -> list[str]:
    return [store.run(run).state for run in runs]


def test_what_two_ask_for_is_carried_out_once(store: Store, pair: tuple[str, str]):
    hers, his = pair
    assert hers != his and store.queue() == [hers] and store.place_in_queue(his) == 0
    store.rename(his, "Bert's")
    lease = claimed(store)
    assert lease.run == hers and states(store, hers, his) == ["running", "running"]
    assert store.leases.claim("another") is None
    file = finish(store, lease)
    for run in pair:
        assert store.run(run).state == "finished"
        assert reported(store, run) == [Exported({"pt": str(file)}), Finished(False, 1.0)]
        assert [artefact.path for artefact in store.artefacts(run)] == [file]
    assert [row.title for row in store.runs()] == ["Bert's", ""]
    assert [row.id for row in store.sharers(store.run(his))] == [hers]
    assert [path.name for path in (store.home / "runs").iterdir()] == [hers]  # nothing is there twice


def test_what_is_finished_already_is_shown_at_once(store: Store):
    hers = store.share(RECIPE, "anna")
    finish(store, claimed(store))
    his = store.share(RECIPE, "bert")
    assert his != hers and store.run(his).state == "finished" and store.events(his) == store.events(hers)


def test_ones_own_run_is_not_there_twice(store: Store, pair: tuple[str, str]):
    assert [store.share(RECIPE, "anna"), store.share(RECIPE, "bert")] == list(pair)
    finish(store, claimed(store))
    assert store.share(RECIPE, "bert") == pair[1]


def test_who_wants_it_again_gets_it(store: Store, pair: tuple[str, str]):
    again = store.create(RECIPE, "bert")
    assert store.run(again).carrier == again and store.queue() == [pair[0], again]


@pytest.mark.parametrize("stop", ["request_stop", "end"])
@pytest.mark.parametrize("who", [0, 1])
def test_who_stops_theirs_stops_nobody_elses(store: Store, pair: tuple[str, str], stop: str, who: int):
    lease = claimed(store)
    store.leases.append(lease, TuningStep(0, 0, 1, 0.5))
    store.leases.heartbeat(lease)
    leaving, staying = pair[who], pair[1 - who]
    assert getattr(store, stop)(leaving) is None
    took = store.run(leaving).seconds
    time.sleep(0.02)
    store.leases.heartbeat(lease)
    assert 0.0 < took == store.run(leaving).seconds < store.run(staying).seconds
    assert store.run(leaving).started is not None
    assert states(store, leaving, staying) == ["stopped", "running"] and not store.leases.stop_requested(lease.run)
    assert store.run(leaving).sentence == "it goes on for others, who asked for the same run"
    store.leases.append(lease, TuningStep(0, 0, 2, 0.4))
    finish(store, lease)
    assert states(store, leaving, staying) == ["stopped", "finished"]
    assert reported(store, leaving) == [TuningStep(0, 0, 1, 0.5)] and store.artefacts(leaving) == []
    assert len(reported(store, staying)) == 4 and len(store.artefacts(staying)) == 1


def test_the_last_who_stops_ends_the_computation(store: Store, pair: tuple[str, str]):
    lease = claimed(store)
    store.request_stop(pair[0])
    store.request_stop(pair[1])
    assert store.leases.stop_requested(lease.run) and store.run(pair[1]).stopping
    assert store.end(pair[1]) == "w" and states(store, *pair) == ["stopped", "stopped"]


def test_the_last_who_leaves_the_queue_takes_the_run_out_of_it(store: Store, pair: tuple[str, str]):
    store.request_stop(pair[0])
    assert states(store, *pair) == ["stopped", "queued"] and store.run(pair[0]).started is None
    store.request_stop(pair[1])
    assert states(store, *pair) == ["stopped", "stopped"] and store.leases.claim("w") is None


def test_who_left_the_queue_never_had_it_begun(store: Store, pair: tuple[str, str]):
    store.request_stop(pair[0])
    store.leases.heartbeat(claimed(store))
    assert store.run(pair[1]).started is not None
    assert store.run(pair[0]).started is None and store.run(pair[0]).seconds == 0.0


def test_all_that_waits_of_one_person_is_stopped_and_nothing_of_others(store: Store, pair: tuple[str, str]):
    alone, again = store.create(OTHER, "anna"), store.create(OTHER, "bert")
    (swept,) = store.sweeps.queue("grid", "{}", [replace(RECIPE, seed=1)], "anna")
    mine = store.share(replace(RECIPE, seed=1), "anna")  # of her own sweep's
    assert store.stop_waiting("anna") == 4
    assert states(store, pair[0], alone, swept, mine) == ["stopped"] * 4
    assert states(store, pair[1], again) == ["queued", "queued"] and len(store.queue()) == 2


def test_a_worker_goes_on_with_what_its_first_owner_has_deleted(store: Store, pair: tuple[str, str]):
    lease = claimed(store)
    store.request_stop(pair[0])
    store.wastebasket.throw(pair[0])
    store.wastebasket.empty(pair[0])
    assert store.leases.carried_out(lease.run).recipe == RECIPE and store.leases.heartbeat(lease)
    store.upkeep.sweep()
    file = finish(store, lease)
    assert [row.id for row in store.runs()] == [pair[1]] and store.wastebasket.all() == []
    store.upkeep.sweep()
    assert file.is_file() and [artefact.path for artefact in store.artefacts(pair[1])] == [file]


@pytest.mark.parametrize("first", [0, 1])
def test_the_files_go_with_the_last_who_shows_them(store: Store, pair: tuple[str, str], first: int):
    file = finish(store, claimed(store))
    for gone, run in enumerate((pair[first], pair[1 - first])):
        assert file.is_file()
        store.wastebasket.throw(run)
        assert file.is_file() and len(store.wastebasket.all()) == 1
        store.wastebasket.empty(run)
        assert file.is_file() == (gone == 0)
        with pytest.raises(JobError, match="not in the wastebasket"):
            store.wastebasket.put_back(run)
        with pytest.raises(JobError, match="there is no run"):
            store.rename(run, "x")
    assert store.runs() == [] and store.events(pair[0]) == []


def test_cleaning_keeps_what_somebody_asked_for_of_late(store: Store, pair: tuple[str, str]):
    file = finish(store, claimed(store))
    with store._database.writing() as connection:  # pyright: ignore[reportPrivateUsage]
        connection.execute("UPDATE runs SET created = 0.0, finished = 1.0 WHERE id = ?", (pair[0],))
    freed = clean(store, older_than_days=1)
    assert freed.runs == (pair[0],) and file.is_file() and [row.id for row in store.runs()] == [pair[1]]


def test_what_others_hide_or_stop_does_not_stand_for_mine(store: Store):
    hidden = store.share(RECIPE, "anna")
    store.hide(hidden, True)
    mine = store.share(RECIPE, "bert")
    assert store.run(mine).carrier == mine
    assert store.share(RECIPE, "anna") == hidden
    stopping = store.share(OTHER, "anna")
    while claimed(store).run != stopping:
        pass
    store.request_stop(stopping)
    mine = store.share(OTHER, "bert")
    assert store.run(mine).carrier == mine


def test_another_program_or_lost_files_mean_another_computation(store: Store, monkeypatch: pytest.MonkeyPatch):
    store.share(RECIPE, "anna")
    file = finish(store, claimed(store))
    with monkeypatch.context() as patched:
        patched.setattr(sharing, "program_digest", lambda: "another")
        own = store.share(RECIPE, "bert")
        assert store.run(own).carrier == own
        store.end(own)
        store.delete(own)
    file.unlink()
    own = store.share(RECIPE, "bert")
    assert store.run(own).carrier == own


def test_a_shared_run_starts_at_the_earliest_of_all_turns(store: Store):
    """Anna's third is Bert's first: it is the second to start, on his turn, and hers is for her second."""
    first, second = (store.create(OTHER, "anna") for _ in range(2))
    shared = store.share(RECIPE, "anna")
    his = store.share(RECIPE, "bert")
    other = store.create(OTHER, "bert")
    assert store.queue() == [first, shared, second, other] and store.place_in_queue(his) == 1
    assert [claimed(store).run for _ in range(4)] == [first, shared, second, other]


def test_a_single_run_does_not_wait_for_the_sweep_that_it_shares_with(store: Store):
    (swept,) = store.sweeps.queue("grid", "{}", [RECIPE], "anna")
    other = store.create(OTHER, "anna")
    mine = store.share(RECIPE, "anna")
    assert mine != swept and store.run(mine).carrier == swept and store.queue() == [other, swept]
    assert claimed(store).run == other and claimed(store).run == swept


def test_shared_runs_count_like_others(tmp_path: Path):
    store = Store(tmp_path, Limits(runs_per_session=1))
    for recipe in (RECIPE, OTHER):
        store.share(recipe, f"anna {recipe.name}")
    store.share(RECIPE, "bert")
    with pytest.raises(JobError, match="1 of your runs are queued or running"):
        store.share(OTHER, "bert")


def test_a_lost_worker_is_lost_for_all_and_begun_again_for_all(store: Store, pair: tuple[str, str]):
    lease = claimed(store)
    store.leases.append(lease, Warned("one"))
    assert store.leases.release("w") == [lease.run] and states(store, *pair) == ["queued", "queued"]
    again = claimed(store)
    store.leases.append(again, Warned("anew"))
    assert again.attempt == 2 and reported(store, pair[1]) == [Warned("anew")]


def test_a_backup_holds_what_others_show_of_a_deleted_run(store: Store, pair: tuple[str, str], tmp_path: Path):
    finish(store, claimed(store))
    store.delete(pair[0])
    back_up(store.home, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", tmp_path / "restored")
    restored = Store(tmp_path / "restored", GENEROUS)
    restored.upkeep.sweep()
    (artefact,) = restored.artefacts(pair[1])
    assert artefact.path.read_bytes() == b"weights" and [row.id for row in restored.runs()] == [pair[1]]
    assert restored.upkeep.strangers() == [] and restored.share(RECIPE, "anna") != pair[0]
