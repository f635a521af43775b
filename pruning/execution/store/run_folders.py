"""The folders beside the store: what a run leaves, and what a killed process left of it."""

import os
import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

CHECKPOINTS = "checkpoints"
SHARED = "PRUNING_CHECKPOINTS"
"""The variable that names a folder for all runs' checkpoints which every machine that may resume one can reach."""
_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9]+")


def run_folder(home: Path, run: str) -> Path:
    """Where what the run leaves is kept; made by whoever writes there first."""
    return home / "runs" / run


def take_over(folder: Path, attempt: int) -> Path:
    """The folder for this attempt's checkpoints of the run with that folder, with those of the attempt before it.

    Each attempt has a folder of its own, so that a worker that was given up, but does not know it yet, cannot put its
    checkpoint in the place of its successor's.
    """
    if attempt == 1:
        discard_checkpoints(folder)  # in a shared folder there may be those of another home's run of the same name
    mine = _checkpoints(folder) / str(attempt)
    mine.parent.mkdir(parents=True, exist_ok=True)
    earlier = [int(path.name) for path in mine.parent.iterdir() if path.name.isdigit() and int(path.name) < attempt]
    if earlier and not mine.exists():
        (mine.parent / str(max(earlier))).rename(mine)
    mine.mkdir(exist_ok=True)
    return mine


def discard_checkpoints(folder: Path) -> None:
    """Those of a run that is over: it will not be resumed."""
    checkpoints = _checkpoints(folder)
    shutil.rmtree(checkpoints, ignore_errors=True)
    if checkpoints.parent != folder:
        with suppress(OSError):
            checkpoints.parent.rmdir()


def discard(folder: Path) -> None:
    """All that a run left."""
    discard_checkpoints(folder)
    shutil.rmtree(folder, ignore_errors=True)


def run_folders(folder: Path) -> list[Path]:
    """The folders of runs in there. What a person has put beside them is none of ours."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and _RUN_ID.fullmatch(path.name)]


def sweep(folders: Collection[Path], known: Collection[str], live: Collection[str]) -> None:
    """Discard the folders of runs that are not known any more, and the checkpoints of those that are over."""
    for folder in folders:
        if folder.name not in known:
            discard(folder)
        elif folder.name not in live:
            discard_checkpoints(folder)


def shared_checkpoints() -> bool:
    """Whether checkpoints lie elsewhere, in a folder that other machines reach."""
    return bool(os.environ.get(SHARED))


def _checkpoints(folder: Path) -> Path:
    return Path(os.environ.get(SHARED) or folder.parent) / folder.name / CHECKPOINTS
