"""What goes when a server is cleaned, and what stays."""

import os
import sqlite3
import time
from pathlib import Path

import pytest

from pruning.execution.store.cleaning import DAY_S, clean
from pruning.execution.store.store import Store
from tests.execution.leasing import GENEROUS, over, running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", GENEROUS)


def aged(store: Store, run: str, days: float) -> None:
    store.folder(run).mkdir(parents=True, exist_ok=True)
    (store.folder(run) / "model.pt").write_bytes(bytes(1000))
    with sqlite3.connect(store.path) as connection:
        then = time.time() - days * DAY_S
        connection.execute("UPDATE runs SET finished = ?, created = ? WHERE id = ?", (then, then, run))
    connection.close()


@pytest.mark.parametrize("dry_run", [True, False])
def test_old_runs_go_and_pinned_live_and_new_ones_stay(store: Store, dry_run: bool):
    old, pinned, new, live = over(store), over(store), over(store), running(store).run
    for run, days in ((old, 31), (pinned, 31), (new, 29), (live, 31)):
        aged(store, run, days)
    store.pin(pinned, True)
    freed = clean(store, 30.0, dry_run=dry_run)
    assert freed.runs == (old,) and freed.bytes >= 1000 and freed.files == ()
    assert {row.id for row in store.runs()} == {pinned, new, live} | ({old} if dry_run else set())
    assert store.folder(old).exists() == dry_run and store.folder(new).exists()
    assert clean(store, 30.0, keep_pinned=False, dry_run=True).runs == ((pinned, old) if dry_run else (pinned,))


def test_unfinished_files_and_old_logs_go_once_nobody_can_be_writing_them(store: Store):
    run = running(store).run
    (store.folder(run) / "checkpoints" / "1").mkdir(parents=True)
    names = [f"runs/{run}/.model.pt.0f.part", f"runs/{run}/checkpoints/1/.run.checkpoint.0f.part", "disk.7.probe"]
    kept = [f"runs/{run}/model.pt", "worker.log", f"runs/{run}/.new.part"]
    for name in [*names, *kept, "worker.log.1"]:
        (store.home / name).write_bytes(b"1234")
    (store.home / ".backup-x").mkdir()
    for name in [*names, ".backup-x", *kept[:2]]:
        os.utime(store.home / name, (1.0, 1.0))
    freed = clean(store, 30.0)
    assert {path.relative_to(store.home).as_posix() for path in freed.files} == {*names, ".backup-x", "worker.log.1"}
    assert not any((store.home / name).exists() for name in [*names, ".backup-x", "worker.log.1"])
    assert all((store.home / name).exists() for name in kept)


def test_the_stores_file_shrinks(store: Store):
    run = over(store)
    with store._database.writing() as connection:
        rows = ((run, number, "x" * 1000) for number in range(10, 3000))
        connection.executemany("INSERT INTO events VALUES (?, ?, ?)", rows)
    aged(store, run, 31)
    store.upkeep.shrink()
    assert clean(store, 30.0).bytes > 2_000_000
    assert store.path.stat().st_size < 500_000
