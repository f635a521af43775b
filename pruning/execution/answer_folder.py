"""Where the workers of one server keep what they share, and what dead servers have left there."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil


def answer_folder(home: Path) -> Path:
    """A new folder for this process's workers, in `home/answers`. Those of processes that are gone are deleted."""
    folders = home / "answers"
    folders.mkdir(parents=True, exist_ok=True)
    for left in folders.iterdir():
        process = left.name.partition("-")[0]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    with suppress(OSError):
        folders.chmod(0o700)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=folders))
