"""What a page asks of the store, and that it keeps what it is told."""

import sqlite3
from pathlib import Path

import pytest

from pruning.errors import JobError, RecipeError
from pruning.events import (
    EVENTS,
    AmountFound,
    Event,
    Exported,
    Failed,
    Finished,
    Masked,
    Measured,
    Repaired,
    Resumed,
    Searching,
    Stage,
    StageMeasured,
    Started,
    SurgeryChecked,
    TuningStep,
    UnitSizes,
    Verified,
    Warned,
)
from pruning.execution.store.records import Lease
from pruning.execution.store.store import Store, default_home
from tests.execution.leasing import GENEROUS, OTHER, RECIPE, claimed, over, running

ALL_EVENTS: list[Event] = [
    Started("mlp", "cpu (x86_64)", 1, 12, ("a", "b")),
    StageMeasured("dense", Stage(0.91, 0.92, 300, 76, 76, 64, 800, 500, (0.9, 0.92))),
    Masked(0, 1.0, 32, 31, 64, {"0": 0.5, "2": 0.25}),
    Warned("one unit stays"),
    TuningStep(0, 1, 7, 0.1 + 0.2),
    Measured(0, 7, "validation", 0.9, 0.5),
    UnitSizes(0, 7, 0.5, {"fc": (3, 0, 1)}),
    Repaired(0, "least_squares", 0.6, 0.5, 0.1, True, 1.5, {"head": "it is called several times"}),
    SurgeryChecked("tuned", 1e-7, 0.5, 0.4),
    Searching("each group alone", 1, 20, begins=True),
    AmountFound("macs", 0.5, 0.004, True, {"0": 0.5}, 20, 9.5),
    Exported({"pt": "/tmp/x.pt"}),
    Verified(0.91, 0.91, True),
    Resumed(3, 0, 7),
    Finished(False, 12.5),
    Failed("no memory; lower tuning.batch_size"),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", GENEROUS)


def test_ids_are_the_recipes_name_and_count_its_runs(store: Store):
    ids = [store.create(recipe, "s") for recipe in (RECIPE, OTHER, RECIPE)]
    assert ids == [f"{RECIPE.name}-1", f"{OTHER.name}-1", f"{RECIPE.name}-2"]
    assert [row.id for row in store.runs()] == ids[::-1]
    assert store.folder(ids[0]) == store.home / "runs" / ids[0]


def test_a_run_goes_from_queued_over_running_to_finished(store: Store):
    run = store.create(RECIPE, "session 1")
    row = store.run(run)
    assert (row.state, row.session, row.recipe, row.started, row.over) == ("queued", "session 1", RECIPE, None, False)
    lease = store.leases.claim("w")
    assert lease == Lease(run, "w", 1)
    row = store.run(run)
    assert row.state == "running" and row.started is not None and row.started >= row.created
    assert store.leases.finish(lease, Finished(False, 2.0))
    row = store.run(run)
    assert row.state == "finished" and row.finished is not None and row.over and row.sentence == ""
    assert store.events(run) == [(1, Finished(False, 2.0))]


def test_runs_can_be_had_by_state(store: Store):
    first, second = store.create(RECIPE, "s"), store.create(OTHER, "s")
    store.leases.claim("w")
    assert [row.id for row in store.runs(["running"])] == [first]
    assert [row.id for row in store.runs(["queued", "running"])] == [second, first]


def test_every_kind_of_event_comes_back_as_it_was(store: Store):
    assert {type(event) for event in ALL_EVENTS} == set(EVENTS.values())
    lease = running(store)
    store.leases.append(lease, *ALL_EVENTS[:4])
    store.leases.append(lease, *ALL_EVENTS[4:])
    assert store.events(lease.run) == list(enumerate(ALL_EVENTS, 1))
    assert store.events(lease.run, after=10) == list(enumerate(ALL_EVENTS[10:], 11))
    assert Store(store.home).events(lease.run) == store.events(lease.run)
    assert store.milestones(lease.run) == [
        event for event in ALL_EVENTS if not isinstance(event, TuningStep | UnitSizes | Searching)
    ]


def test_events_of_one_run_are_not_anothers(store: Store):
    one, two = running(store), running(store, OTHER)
    store.leases.append(one, Warned("one"))
    store.leases.append(two, Warned("two"))
    assert store.events(one.run) == [(1, Warned("one"))]
    assert store.events(two.run) == [(1, Warned("two"))]


def test_what_is_over_stays_as_it_is(store: Store):
    lease = running(store)
    assert store.leases.finish(lease, Failed("no"))
    assert not store.leases.finish(lease, Finished(False, 1.0))
    store.request_stop(lease.run)
    assert store.end(lease.run) is None
    with pytest.raises(JobError, match=f"{lease.run} is not this worker's any more"):
        store.leases.append(lease, Warned("late"))
    assert not store.leases.heartbeat(lease)
    row = store.run(lease.run)
    assert (row.state, row.sentence, row.stopping) == ("failed", "no", False)
    assert store.events(lease.run) == [(1, Failed("no"))]


def test_a_queued_run_stops_at_once_and_a_running_one_is_asked(store: Store):
    first, second = store.create(RECIPE, "s"), store.create(OTHER, "s")
    store.request_stop(second)
    assert store.run(second).state == "stopped"
    assert store.events(second) == [(1, Finished(True, 0.0))]
    lease = claimed(store)
    assert lease.run == first and store.leases.claim("w") is None
    assert not store.leases.stop_requested(first)
    store.request_stop(first)
    assert store.leases.stop_requested(first)
    assert store.run(first).state == "running"
    store.leases.finish(lease, Finished(True, 1.0))
    assert store.run(first).state == "stopped"


def test_artefacts_are_listed_with_size_and_fingerprint(store: Store):
    lease = running(store)
    folder = store.folder(lease.run)
    folder.mkdir(parents=True)
    (folder / "model.pt").write_bytes(b"abc")
    assert store.artefacts(lease.run) == []
    store.leases.append(lease, Exported({"pt": str(folder / "model.pt"), "elsewhere": "/nowhere/model.onnx"}))
    (artefact,) = store.artefacts(lease.run)
    assert (artefact.kind, artefact.path, artefact.bytes) == ("pt", folder / "model.pt", 3)
    assert artefact.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    store.end(lease.run)
    assert store.run(lease.run).sentence == "ended at once: the files it had written are kept"


def test_artefacts_move_with_their_home(tmp_path: Path):
    store = Store(tmp_path / "old")
    lease = running(store)
    store.folder(lease.run).mkdir(parents=True)
    (store.folder(lease.run) / "model.pt").touch()
    store.leases.append(lease, Exported({"pt": str(store.folder(lease.run) / "model.pt")}))
    store.close()
    moved = Store((tmp_path / "old").rename(tmp_path / "new"))
    assert [artefact.path for artefact in moved.artefacts(lease.run)] == [moved.folder(lease.run) / "model.pt"]


def test_a_title_is_stripped_and_kept_short(store: Store):
    run = store.create(RECIPE, "s")
    assert store.run(run).title == ""
    store.rename(run, "  halves  ")
    assert store.run(run).title == "halves"
    store.rename(run, "x" * 79 + " yz")
    assert store.run(run).title == "x" * 79
    store.rename(run, " ")
    assert store.run(run).title == ""


def test_pinned_runs_come_first_then_the_newest(store: Store):
    first, second, third = (store.create(RECIPE, "s") for _ in range(3))
    store.pin(first, True)
    assert [row.id for row in store.runs()] == [first, third, second]
    assert [row.pinned for row in store.runs()] == [True, False, False]
    store.pin(first, False)
    assert [row.id for row in store.runs()] == [third, second, first]


def test_a_deleted_run_is_gone_with_its_files_and_its_id_is_not_given_again(store: Store):
    run = over(store)
    store.folder(run).mkdir(parents=True)
    (store.folder(run) / "model.pt").touch()
    store.delete(run)
    assert not store.folder(run).exists() and store.runs() == [] and store.events(run) == []
    with pytest.raises(JobError, match="no run"):
        store.run(run)
    assert store.create(RECIPE, "s") == f"{RECIPE.name}-2"


def test_a_live_run_is_not_deleted(store: Store):
    run = store.create(RECIPE, "s")
    with pytest.raises(JobError, match=f"{run} is queued; stop it first"):
        store.delete(run)
    claimed(store)
    with pytest.raises(JobError, match=f"{run} is running; stop it first"):
        store.delete(run)
    assert store.run(run).state == "running"


def test_sweeping_deletes_only_what_nobody_needs(store: Store):
    done, deleted, live = over(store), over(store), running(store).run
    store.delete(deleted)
    for name in (done, deleted, live, "0123abcd-7", "my own folder"):
        (store.home / "runs" / name / "checkpoints").mkdir(parents=True)
        (store.home / "runs" / name / "model.pt").touch()
    store.upkeep.sweep()
    kept = sorted(str(path.relative_to(store.home / "runs")) for path in (store.home / "runs").rglob("*"))
    # 0123abcd-7 is of a run that this store has never had: somebody moved the store's file and began anew
    checkpoints = [f"{name}/checkpoints" for name in (live, "0123abcd-7", "my own folder")]
    models = [f"{name}/model.pt" for name in (done, live, "0123abcd-7", "my own folder")]
    assert kept == sorted([done, live, "0123abcd-7", "my own folder", *checkpoints, *models])


def test_an_unknown_run_is_named(store: Store):
    asks = (store.run, store.leases.stop_requested, store.request_stop, store.end, store.delete, store.place_in_queue)
    for ask in (*asks, lambda run: store.rename(run, "x"), lambda run: store.pin(run, True)):
        with pytest.raises(JobError, match=r"no run nothing-1; choose one"):
            ask("nothing-1")


def test_a_recipe_that_cannot_be_read_does_not_spoil_the_list(store: Store):
    store.create(RECIPE, "s")
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE runs SET recipe = replace(recipe, 'magnitude', 'magic')")
    (row,) = store.runs()
    with pytest.raises(RecipeError, match=r"criterion\.kind is \"magic\""):
        _ = row.recipe


NEWER = '{"kind": "warned", "sentence": "x", "colour": "red"}'
TORN = [b'{"kind": "war', b"[]", b"null", b"", b"\xff\x00", b"7", b"[" * 5000, NEWER.encode()]


@pytest.mark.parametrize("text", TORN)
def test_an_event_that_cannot_be_read_says_so_in_its_place(store: Store, text: bytes):
    lease = running(store)
    store.leases.append(lease, Warned("one"), Warned("two"), Warned("three"))
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE events SET event = cast(? AS TEXT) WHERE seq = 2", (text,))
    connection.close()
    (_, one), (number, two), (_, three) = store.events(lease.run)
    assert (one, number, three) == (Warned("one"), 2, Warned("three"))
    assert isinstance(two, Warned) and "made by a newer version, or damaged" in two.sentence
    assert store.milestones(lease.run) == [one, two, three]


@pytest.mark.parametrize("recipe", [b'{"version": 2}', b'{"ver', b"\xff", b"null"])
def test_a_recipe_that_cannot_be_read_says_so(store: Store, recipe: bytes):
    bad, good = store.create(RECIPE, "s"), store.create(OTHER, "s")
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE runs SET recipe = cast(? AS TEXT) WHERE id = ?", (recipe, bad))
    connection.close()
    assert [bool(row.unreadable) for row in store.runs()] == [False, True]
    with pytest.raises(RecipeError, match=r"^made by a newer version, or damaged: "):
        _ = store.run(bad).recipe
    store.end(bad)
    store.delete(bad)
    assert [row.id for row in store.runs()] == [good]


def test_home_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PRUNING_HOME", str(tmp_path))
    assert default_home() == tmp_path
    monkeypatch.delenv("PRUNING_HOME")
    assert default_home().is_absolute()
