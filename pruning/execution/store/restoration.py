"""A backup put back: every digest is checked before anything is put in its place."""

import hashlib
import shutil
import tarfile
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from pruning.errors import JobError
from pruning.execution.store.backup import FORMAT, MANIFEST, Manifest
from pruning.execution.store.database import VERSION
from pruning.execution.store.server_lock import live_servers
from pruning.execution.store.store import Store

_CHUNK = 2**20
_LARGEST_MANIFEST = 2**28
Open = Callable[[str], IO[bytes]]


def restore(source: Path, home: Path, force: bool = False) -> tuple[Manifest, Path | None]:
    """Put the backup in the place of the home; runs that were going on then wait for a worker.

    A home that holds anything is refused, or with `force` moved aside: returns the manifest and where to. One that a
    server uses is refused in any case. JobError says what is wrong with the backup; nothing is changed then.
    """
    _require_no_server(home)
    if _holds_anything(home) and not force:
        raise JobError(f"{home} holds something; choose an empty PRUNING_HOME, or move it aside with --force")
    stage = home.with_name(f".{home.name}.restoring-{uuid.uuid4().hex[:8]}")
    try:
        with _opened(source) as opened:
            manifest = _manifest(source, opened)
            for entry in manifest.files:
                _copy(source, opened, stage, entry.path, entry.sha256)
        _require_no_server(home)  # reading a large backup takes minutes, in which one may have been started
        aside = _moved_aside(home)
        home.parent.mkdir(parents=True, exist_ok=True)
        stage.rename(home)
    except (OSError, tarfile.TarError) as error:
        raise JobError(f"the backup {source} cannot be restored ({error}); {home} is as it was") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    store = Store(home)
    store.upkeep.begin_again()
    store.close()
    return manifest, aside


@contextmanager
def _opened(source: Path) -> Generator[Open]:
    """Opens the files of the backup, by their names in it."""
    if source.is_dir():
        yield lambda name: (source / name).open("rb")
        return
    with tarfile.open(source, "r:") as archive:

        def member(name: str) -> IO[bytes]:
            try:
                found = archive.extractfile(name)
            except KeyError:
                found = None
            if found is None:
                raise FileNotFoundError(f"{name} is not in it")
            return found

        yield member


def _manifest(source: Path, opened: Open) -> Manifest:
    try:
        with opened(MANIFEST) as file:
            manifest = msgspec.json.decode(file.read(_LARGEST_MANIFEST), type=Manifest)
    except (FileNotFoundError, msgspec.MsgspecError) as error:
        raise JobError(f"{source} is no backup of this program: its {MANIFEST} cannot be read ({error})") from None
    if manifest.format > FORMAT or manifest.schema > VERSION:
        raise JobError(f"{source} was made by a newer version of the program; restore it with that one")
    for entry in manifest.files:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.path or not path.parts:
            raise JobError(f"{source} names the file {entry.path!r}, which lies outside of a home: it is not restored")
    return manifest


def _copy(source: Path, opened: Open, stage: Path, path: str, sha256: str) -> None:
    digest = hashlib.sha256()
    (stage / path).parent.mkdir(parents=True, exist_ok=True)
    with opened(path) as file, (stage / path).open("wb") as copy:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != sha256:
        raise JobError(f"{path} in {source} is not what was backed up: the backup is damaged, and nothing was restored")


def _require_no_server(home: Path) -> None:
    if servers := live_servers(home):
        raise JobError(
            f"a server runs on {home} (process {', '.join(map(str, servers))}) and would go on writing into the folder "
            "that is moved aside; end it, then restore the backup"
        )


def _holds_anything(home: Path) -> bool:
    return home.exists() and (not home.is_dir() or any(home.iterdir()))


def _moved_aside(home: Path) -> Path | None:
    if not _holds_anything(home):
        if home.exists():
            home.rmdir()
        return None
    aside = home.with_name(f"{home.name}.before-restore-{uuid.uuid4().hex[:8]}")
    home.rename(aside)
    return aside
