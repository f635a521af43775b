"""Faults for a server under siege: a full disk, clocks that jump, torn rows, hungry workers, long logs."""

import os
import random
import sqlite3
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

DISK_MB = 2000  # some 6 MB for each run that is accepted, and as much again
FULL_S = 8.0
LONG_LOG = 6 * 2**20
HUNGER_MB = 2500
TORN = '{"version": 99, "workload": "mlp_128"}'

SITE = '''
"""Imported by every Python of the siege as it starts: the clock that is read can be set, and workers made hungry."""
import json, os, sys, threading, time
_folder, _clock = os.environ["SIEGE_FAULTS"], time.time

def _told(name):
    try:
        with open(os.path.join(_folder, name)) as file:
            return float(file.read() or 0)
    except (OSError, ValueError):
        return 0.0

def _watch():
    while _told("hungry") != os.getpid():
        time.sleep(0.5)
    kept = bytearray(b"x") * (int(_told("megabytes")) * 2**20)
    time.sleep(600)

time.time = lambda: _clock() + _told("clock")
def _watched():
    threading.Thread(target=_watch, daemon=True).start()

_kind = json.loads(os.environ.get("PRUNING_WORKER", "{}")).get("kind")
if _kind == "forks":  # which becomes workers
    os.register_at_fork(after_in_child=_watched)
elif _kind:
    _watched()
'''


class Faults:
    """What is done to one home and to the processes that serve it. Each fault is over when its method returns."""

    def __init__(self, folder: Path, home: Path, seed: int) -> None:
        self.torn: list[str] = []
        """The rows that were put into the store and that no version can read."""
        self._home = home
        self._folder = folder
        self._chance = random.Random(seed)
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(SITE)
        (folder / "megabytes").write_text(str(HUNGER_MB))
        self.names = ["a clock that jumps", "a torn row", "a hungry worker", "a long log"]
        if os.path.ismount(home):
            self.names.append("a full disk")

    def environment(self) -> dict[str, str]:
        """For the server: its workers inherit it."""
        path = os.pathsep.join(filter(None, [str(self._folder), os.environ.get("PYTHONPATH")]))
        return {"SIEGE_FAULTS": str(self._folder), "PYTHONPATH": path}

    def carry_out(self, name: str, workers: list[psutil.Process]) -> None:
        """One of `names`."""
        if name == "a full disk":
            self._fill_disk()
        elif name == "a clock that jumps":
            (self._folder / "clock").write_text(str(self._chance.choice((-1, 1)) * self._chance.uniform(60, 1e8)))
        elif name == "a torn row":
            self._tear()
        elif name == "a hungry worker" and workers:
            (self._folder / "hungry").write_text(str(self._chance.choice(workers).pid))
        elif name == "a long log":
            with (self._home / "worker.log").open("ab") as log:
                log.write(b"a line that nobody needs\n" * (LONG_LOG // 25))

    def _fill_disk(self) -> None:
        filler = self._home / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                while file.write(bytes(2**20)) == 2**20:
                    pass
        except OSError:
            pass
        time.sleep(FULL_S)
        filler.unlink()

    def _tear(self) -> None:
        """A queued run whose recipe cannot be read, and an event of a run that is over."""
        number = len(self.torn) + 1
        run = f"deadbeef-{number}"
        with sqlite3.connect(self._home / "store.sqlite", timeout=10) as connection:
            connection.execute(
                "INSERT INTO runs (id, name, number, recipe, session, created) VALUES (?, 'deadbeef', ?, ?, '', 1.0)",
                (run, number, TORN),
            )
            connection.execute('INSERT INTO events VALUES (?, 1, \'{"kind": "torn\')', (run,))
        connection.close()
        self.torn.append(run)


@contextmanager
def small_disk(place: Path) -> Generator[Path]:
    """The home on a disk of its own, where this process may mount one; else a folder, whose disk is not filled."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield place
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=False)
