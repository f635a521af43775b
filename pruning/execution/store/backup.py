"""A home as it is at one moment, in a folder or an archive, while runs go on; with a digest of each file."""

import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pruning.errors import JobError
from pruning.execution.store.database import VERSION
from pruning.execution.store.run_folders import CHECKPOINTS, run_folders

STORE = "store.sqlite"
MANIFEST = "manifest.json"
FORMAT = 1
_NOT_KEPT = ("store.sqlite", "worker.log", "disk.", "servers", "answers", ".")
"""How the names begin that a backup does without: the live store, logs, the reserve, what lives with
a server, unfinished files.
"""


@dataclass(frozen=True)
class Entry:
    """A file of a backup, its path relative to the home."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. `schema` is the store's version, `made` a moment in UTC."""

    format: int
    schema: int
    made: str
    runs: int
    files: tuple[Entry, ...]

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.files)


def back_up(home: Path, target: Path) -> Manifest:
    """Back up the home into the archive `target` (a name that ends in .tar) or the new folder `target`.

    Runs may go on meanwhile, and pages may ask: files are linked, not copied, before they are read. JobError if there
    is nothing to back up, or the target is there already or cannot be written.
    """
    if not (home / STORE).is_file():
        raise JobError(f"there is no store in {home}; set PRUNING_HOME to the folder that is to be backed up")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise JobError(f"{target} is there already; choose another name for the backup")
    try:
        with _frozen(home) as stage:
            runs = _snapshot(home, stage)
            manifest = Manifest(FORMAT, VERSION, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", runs, _entries(stage))
            (_write_archive if target.suffix == ".tar" else _write_folder)(stage, manifest, target)
    except (OSError, sqlite3.Error) as error:
        raise JobError(f"the backup {target} cannot be written ({error}); nothing is left of it") from error
    return manifest


@contextmanager
def _frozen(home: Path) -> Generator[Path]:
    """A folder on the home's own disk, so that what is linked into it takes no room."""
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=home) as folder:
        yield Path(folder)


def _snapshot(home: Path, stage: Path) -> int:
    """Put the home into the stage as it is now; returns the number of its runs.

    Checkpoints come before the store, for the store must have every event that a checkpoint counts; files that runs
    left come after it, for they are there before the store tells of them.
    """
    for folder in run_folders(home / "runs"):
        _link_all(folder / CHECKPOINTS, stage / "runs" / folder.name / CHECKPOINTS)
    with closing(sqlite3.connect(home / STORE)) as live, closing(sqlite3.connect(stage / STORE)) as copy:
        live.backup(copy)  # in one step: a writer cannot make it begin anew
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, and no log beside it
    for path in home.iterdir():
        if path.name.startswith(_NOT_KEPT) or path.name == "runs":
            continue
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                _copy_lines(file, stage / file.relative_to(home))
    for folder in run_folders(home / "runs"):
        _link_all(folder, stage / "runs" / folder.name, but=CHECKPOINTS)
    with closing(sqlite3.connect(stage / STORE)) as copy:
        return copy.execute("SELECT count(*) FROM runs").fetchone()[0]


def _link_all(source: Path, target: Path, but: str = "") -> None:
    for path in source.rglob("*"):
        inside = path.relative_to(source)
        if path.name.startswith(".") or but in inside.parts or not path.is_file():
            continue
        (target / inside).parent.mkdir(parents=True, exist_ok=True)
        try:
            _link(path, target / inside)
        except FileNotFoundError:  # its run was deleted, or its checkpoint taken over, a moment ago
            continue


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # a file of a run is only ever replaced as a whole
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one that knows no links
        shutil.copyfile(source, target)


def _copy_lines(source: Path, target: Path) -> None:
    """A file that may be added to meanwhile; of a journal, what is a whole line by now."""
    content = source.read_bytes()
    if source.suffix == ".journal":
        content = content[: content.rfind(b"\n") + 1]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def _entries(stage: Path) -> tuple[Entry, ...]:
    found: list[Entry] = []
    for path in sorted(path for path in stage.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found.append(Entry(path.relative_to(stage).as_posix(), path.stat().st_size, digest))
    return tuple(found)


def _write_folder(stage: Path, manifest: Manifest, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        for entry in manifest.files:
            (unfinished / entry.path).parent.mkdir(parents=True, exist_ok=True)
            _link(stage / entry.path, unfinished / entry.path)
        (unfinished / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        if target.exists():
            target.rmdir()
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_archive(stage: Path, manifest: Manifest, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}.part")
    try:
        with unfinished.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                text = msgspec.json.format(msgspec.json.encode(manifest))
                head = tarfile.TarInfo(MANIFEST)
                head.size = len(text)
                archive.addfile(head, io.BytesIO(text))
                for entry in manifest.files:
                    archive.add(stage / entry.path, entry.path, recursive=False)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(target)
    finally:
        unfinished.unlink(missing_ok=True)
