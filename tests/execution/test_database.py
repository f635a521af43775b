"""The store's file: where it cannot be used, and how it gets from version to version."""

import sqlite3
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.events import Warned
from pruning.execution.store import database
from pruning.execution.store.records import Lease
from pruning.execution.store.store import Store
from pruning.recipe.recipe import to_json
from tests.execution.leasing import GENEROUS, RECIPE, claimed, reported


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", GENEROUS)


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


def test_a_store_of_version_1_is_brought_to_the_present_one(tmp_path: Path):
    """The schema of version 1 as it was shipped, with a run that is over and one whose server was killed."""
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        connection.executescript(
            """
            PRAGMA journal_mode=WAL;
            CREATE TABLE runs (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
                number INTEGER NOT NULL, recipe TEXT NOT NULL, session TEXT NOT NULL,
                state TEXT NOT NULL DEFAULT 'queued', sentence TEXT NOT NULL DEFAULT '', created REAL NOT NULL,
                started REAL, finished REAL, worker TEXT NOT NULL DEFAULT '', heartbeat REAL,
                stop INTEGER NOT NULL DEFAULT 0);
            CREATE INDEX runs_by_state ON runs (state, place);
            CREATE TABLE events (run TEXT NOT NULL, seq INTEGER NOT NULL, event TEXT NOT NULL,
                PRIMARY KEY (run, seq)) WITHOUT ROWID;
            PRAGMA user_version=1;
            """
        )
        row = (
            "INSERT INTO runs (id, name, number, recipe, session, state, created, started, finished, worker, heartbeat)"
        )
        values = " VALUES (?, ?, ?, ?, 's', ?, 1.0, ?, ?, 'w', ?)"
        name, text = RECIPE.name, to_json(RECIPE)
        connection.execute(row + values, (f"{name}-4", name, 4, text, "finished", 2.0, 3.0, 3.0))
        connection.execute(row + values, (f"{name}-5", name, 5, text, "running", 4.0, None, 5.0))
        warned = '{"kind": "warned", "sentence": "one"}'
        connection.executemany("INSERT INTO events VALUES (?, 1, ?)", [(f"{name}-4", warned), (f"{name}-5", warned)])
    connection.close()

    store = Store(tmp_path)
    lost, done = store.runs()
    assert (done.id, done.recipe, done.state, done.finished) == (f"{name}-4", RECIPE, "finished", 3.0)
    assert (done.title, done.pinned, done.attempt) == ("", False, 1)
    assert store.events(done.id) == [(1, Warned("one"))] and store.artefacts(done.id) == []
    assert store.create(RECIPE, "s") == f"{name}-6"
    assert (done.seconds, lost.seconds) == (1.0, 0.0)
    assert store.leases.release("w") == [lost.id]
    lease = claimed(store)
    assert lease == Lease(lost.id, "w", 2)
    store.leases.append(lease, Warned("anew"))
    assert reported(store, lost.id) == [Warned("anew")]
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (database.VERSION,) == (7,)
    connection.close()


def test_a_migration_that_is_cut_off_leaves_the_old_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = Store(tmp_path)
    run = store.create(RECIPE, "s")
    monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, "CREATE TABLE new (x);\nCREATE TABLE runs (x);"))
    monkeypatch.setattr(database, "VERSION", database.VERSION + 1)
    with pytest.raises(JobError, match="already exists"):
        Store(tmp_path)
    monkeypatch.undo()
    assert Store(tmp_path).run(run).state == "queued"
