"""A backup is the home at one moment, whoever writes meanwhile; what is restored works, or nothing is restored."""

import hashlib
import json
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from pruning.errors import JobError
from pruning.events import Exported, Finished, Resumed, TuningStep, Warned
from pruning.execution.store.backup import MANIFEST, back_up
from pruning.execution.store.restoration import restore
from pruning.execution.store.store import Store
from pruning.files.atomic_write import write_whole
from tests.execution.leasing import GENEROUS, OTHER, RECIPE, claimed, reported, running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home", GENEROUS)


@pytest.fixture(params=["backup", "backup.tar"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


def finished(store: Store, content: bytes = b"weights") -> str:
    lease = running(store)
    write_whole(store.folder(lease.run) / "model.pt", content)
    store.leases.append(lease, Exported({"pt": str(store.folder(lease.run) / "model.pt")}))
    store.leases.finish(lease, Finished(False, 1.0))
    return lease.run


def test_what_is_restored_is_what_was_there(store: Store, target: Path, tmp_path: Path):
    run = finished(store)
    store.rename(run, "kept")
    (store.home / "halvings").mkdir()
    (store.home / "halvings" / "one.journal").write_bytes(b"whole line\nhalf a li")
    manifest = back_up(store.home, target)
    assert manifest.runs == 1
    restored = Store(tmp_path / "new" / "home")
    restored.close()
    for file in restored.home.iterdir():
        file.unlink()
    assert restore(target, restored.home) == (manifest, None)
    assert restored.runs() == store.runs() and restored.events(run) == store.events(run)
    (artefact,) = restored.artefacts(run)
    assert artefact.path.read_bytes() == b"weights" and artefact.path.is_relative_to(restored.home)
    assert (restored.home / "halvings" / "one.journal").read_bytes() == b"whole line\n"
    assert restored.create(RECIPE, "s") == f"{RECIPE.name}-2"


def test_a_backup_while_a_run_writes_is_of_one_moment_and_goes_on(store: Store, target: Path, tmp_path: Path):
    """The checkpoint that is in it counts no event that is not in it too."""
    done, lease, enough = finished(store), running(store, OTHER), threading.Event()
    checkpoint = store.folder(lease.run) / "checkpoints" / "1" / "run.checkpoint"
    written = threading.Event()

    def write() -> None:
        number = 0
        while not enough.is_set():
            number += 1
            store.leases.append(lease, *(TuningStep(0, 0, number, 0.5) for _ in range(10)))
            write_whole(checkpoint, json.dumps(10 * number).encode() + bytes(10_000))
            written.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert written.wait(30)
    back_up(store.home, target)
    enough.set()
    writer.join()
    restore(target, tmp_path / "restored")
    restored = Store(tmp_path / "restored", GENEROUS)
    with sqlite3.connect(restored.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    events = reported(restored, lease.run)
    found = restored.folder(lease.run) / "checkpoints" / "1" / "run.checkpoint"
    counted = json.loads(found.read_bytes().rstrip(b"\0"))
    assert 10 <= counted <= len(events) and len(events) % 10 == 0
    assert restored.run(lease.run).state == "queued" and restored.run(done).state == "finished"
    again = claimed(restored)
    assert (again.run, again.attempt) == (lease.run, 2)
    restored.leases.append(again, Resumed(counted, 0, counted), Warned("goes on"))
    assert reported(restored, lease.run)[counted:] == [Resumed(counted, 0, counted), Warned("goes on")]
    assert not list(store.home.glob(".backup-*"))


def test_a_home_that_holds_anything_is_refused_or_moved_aside(store: Store, target: Path, tmp_path: Path):
    run = finished(store)
    back_up(store.home, target)
    home = tmp_path / "other"
    home.mkdir()
    (home / "mine").write_text("mine")
    with pytest.raises(JobError, match=r"other holds something; choose an empty PRUNING_HOME"):
        restore(target, home)
    assert [path.name for path in home.iterdir()] == ["mine"]
    _, aside = restore(target, home, force=True)
    assert aside is not None and (aside / "mine").read_text() == "mine"
    assert Store(home).run(run).state == "finished"


def test_a_damaged_backup_changes_nothing(store: Store, tmp_path: Path):
    run = finished(store)
    manifest = back_up(store.home, tmp_path / "folder")
    (entry,) = (entry for entry in manifest.files if entry.path.endswith("model.pt"))
    (tmp_path / "folder" / entry.path).unlink()
    (tmp_path / "folder" / entry.path).write_bytes(b"wEights")
    archive = tmp_path / "backup.tar"
    back_up(store.home, archive)
    archive.write_bytes(archive.read_bytes().replace(b"weights", b"wEights"))
    for damaged in (tmp_path / "folder", archive):
        with pytest.raises(
            JobError, match=rf"runs/{run}/model.pt in .* the backup is damaged, and nothing was restored"
        ):
            restore(damaged, tmp_path / "new")
        with pytest.raises(JobError, match="damaged"):
            restore(damaged, store.home, force=True)
    assert not (tmp_path / "new").exists() and store.run(run).state == "finished"
    assert not list(tmp_path.glob(".*restoring*"))


@pytest.mark.parametrize("path", ["../outside", "/etc/outside", "a/../../outside", ""])
def test_a_backup_that_names_files_outside_of_a_home_is_refused(store: Store, tmp_path: Path, path: str):
    finished(store)
    back_up(store.home, tmp_path / "backup")
    text = json.loads((tmp_path / "backup" / MANIFEST).read_text())
    (tmp_path / "outside").write_bytes(b"x")
    text["files"].append({"path": path, "bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()})
    (tmp_path / "backup" / MANIFEST).write_text(json.dumps(text))
    with pytest.raises(JobError, match="lies outside of a home"):
        restore(tmp_path / "backup", tmp_path / "new")


def test_what_is_no_backup_or_of_a_newer_version_is_said(store: Store, tmp_path: Path):
    (tmp_path / "a.tar").write_bytes(b"no archive")
    (tmp_path / "folder").mkdir()
    for source in (tmp_path / "a.tar", tmp_path / "folder", tmp_path / "missing.tar"):
        with pytest.raises(JobError, match=r"cannot be restored|is no backup of this program"):
            restore(source, tmp_path / "new")
    back_up(store.home, tmp_path / "newer")
    file = tmp_path / "newer" / MANIFEST
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": 99}))
    with pytest.raises(JobError, match="made by a newer version"):
        restore(tmp_path / "newer", tmp_path / "new")


def test_a_target_that_is_there_and_a_home_without_a_store_are_refused(store: Store, tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "file.tar").touch()
    for target in (tmp_path / "full", tmp_path / "file.tar"):
        with pytest.raises(JobError, match="is there already"):
            back_up(store.home, target)
    with pytest.raises(JobError, match="there is no store"):
        back_up(tmp_path / "nowhere", tmp_path / "backup")


def test_files_are_copied_where_they_cannot_be_linked(store: Store, target: Path, tmp_path: Path, monkeypatch):
    run = finished(store)

    def unlinkable(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", unlinkable)
    back_up(store.home, target)
    restore(target, tmp_path / "new")
    assert (tmp_path / "new" / "runs" / run / "model.pt").read_bytes() == b"weights"


def test_ids_never_repeat_over_existing_folders(store: Store):
    """The store's file was lost, or an older one lies there: what it does not know is left alone for good."""
    runs = [finished(store) for _ in range(3)]
    store.close()
    for file in store.home.glob("store.sqlite*"):
        file.unlink()
    emptied = Store(store.home)
    assert emptied.upkeep.notice_strangers() == sorted(runs) == emptied.upkeep.strangers()
    assert emptied.create(RECIPE, "s") == f"{RECIPE.name}-4"
    emptied.upkeep.sweep()
    emptied.upkeep.sweep()
    assert all((emptied.folder(run) / "model.pt").is_file() for run in runs)
    emptied.disk.give_up_reserve()
    for run in runs:
        (emptied.folder(run) / "model.pt").unlink()
        emptied.folder(run).rmdir()
    assert emptied.upkeep.notice_strangers() == []
