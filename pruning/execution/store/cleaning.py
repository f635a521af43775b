"""What a server keeps is bounded: old runs that nobody pinned go, and what killed processes left."""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pruning.execution.store.records import RunRow
from pruning.execution.store.store import Store

DAY_S = 86_400.0
STRAY_AFTER_S = 3600.0
_STRAYS = ("runs/*/.*.part", "runs/*/.*.partial", "runs/*/checkpoints/*/.*.part", ".backup-*", "disk.*.probe")
_OLD_LOGS = ("worker.log.*",)


@dataclass(frozen=True)
class Freed:
    """What was deleted, or would be: runs by their ids, other files and folders, and the bytes of all of it."""

    runs: tuple[str, ...]
    files: tuple[Path, ...]
    bytes: int


def clean(store: Store, older_than_days: float, keep_pinned: bool = True, dry_run: bool = False) -> Freed:
    """Delete runs that were over so long ago, unfinished files of killed processes, and logs that were laid aside."""
    now = time.time()
    old = [row for row in store.runs() if _old(row, now - older_than_days * DAY_S) and not (row.pinned and keep_pinned)]
    stray = [path for path in _found(store.home, _STRAYS) if now - path.stat().st_mtime > STRAY_AFTER_S]
    files = [*stray, *_found(store.home, _OLD_LOGS)]
    unwanted = store.upkeep.only_of({row.id for row in old})
    freed = sum(_size(path) for path in [*files, *(store.folder(run) for run in unwanted)])
    if not dry_run:
        before = store.path.stat().st_size
        for row in old:
            store.delete(row.id)
        for path in files:
            _remove(path)
        store.upkeep.shrink()
        freed += max(before - store.path.stat().st_size, 0)
    return Freed(tuple(row.id for row in old), tuple(files), freed)


def _old(row: RunRow, before: float) -> bool:
    # what shows somebody else's run that was over long ago may have been asked for yesterday
    return row.over and max(row.finished or 0.0, row.created) < before


def _found(home: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        yield from home.glob(pattern)


def _size(path: Path) -> int:
    total = 0
    with suppress(OSError):
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                total += file.stat().st_size
    return total


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
