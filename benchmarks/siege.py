"""A server for runs, kept busy and shot at. `benchmarks.durability` says what that shows."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from pruning.errors import PruningError
from pruning.events import Resumed, TuningStep
from pruning.execution.settings import Limits
from pruning.execution.store.store import Store
from pruning.recipe.recipe import Recipe
from pruning.run import checkpoints

LIVE = 2  # runs queued or running while there is fire
CALM_S = 4.0  # the longest that a run trains between two shots
SHORT_S = 1.5
STARTED_S = 30.0
DRAINED_S = 240.0
LIMITS = Limits(runs_per_session=10**6, attempts=10**6, lease_s=3.0)
ENVIRONMENT = {"PRUNING_ATTEMPTS": "1000", "PRUNING_LEASE_S": "3", "OMP_NUM_THREADS": "1"}
SERVER = """
import sys, threading
from pathlib import Path
from pruning.execution.local_backend import LocalBackend
backend = LocalBackend(Path(sys.argv[1]), interactive=0)
threading.Event().wait()
"""
ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Tally:
    """What all sieges have seen so far. `repeated_steps` has an entry for each training that was gone on with.

    A run tells of every twentieth step or so: that is how exactly it is known.
    """

    wanted: int
    killed: Counter[str] = field(default_factory=Counter[str])
    repeated_steps: list[int] = field(default_factory=list[int])
    readable: int = 0
    unreadable: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def kills(self) -> int:
        return self.killed.total()


@dataclass(frozen=True)
class _Seen:
    """How far a run was when it was last looked at: its last event and its last step, and where it was taken up."""

    attempt: int
    number: int = 0
    step: int = 0
    resumed: int = 0


class Siege:
    """Keeps one home's server busy and kills what serves it until there were enough kills in all."""

    def __init__(self, home: Path, seed: int, recipes: Sequence[Recipe], tally: Tally) -> None:
        self.home = home
        self.accepted: list[str] = []
        """The runs that the store has taken on."""
        self._chance = random.Random(seed)
        self._recipes = recipes
        self._tally = tally
        self._store = open_store(home)
        self._seen: dict[str, _Seen] = {}

    def carry_out(self) -> None:
        """Fire, then quiet until no run is live any more."""
        server = _start(self.home)
        try:
            while self._tally.kills < self._tally.wanted:
                self._ask_for_runs()
                self._wait_for_a_moment(server)
                killed = _kill_some(server, self._chance)
                with self._tally.lock:
                    self._tally.killed.update(killed)
                self._watch()
                self._read_checkpoints()
                if "server" in killed:
                    server.wait()
                    server = _start(self.home)
            wait_until_idle(self._store, self._watch)
        finally:
            server.kill()
            server.wait()
            self._store.close()

    def _ask_for_runs(self) -> None:
        while len(self._store.runs(["queued", "running"])) < LIVE:
            recipe, session = self._chance.choice(self._recipes), str(self._chance.randrange(3))
            self.accepted.append(self._store.create(recipe, session))

    def _wait_for_a_moment(self, server: "subprocess.Popen[bytes]") -> None:
        """Any at all, one while a run trains, or one while a child scores its files, which lasts a second or two."""
        awaited = self._chance.choices(["nothing", "news", "a child"], [1, 6, 2])[0]
        end = time.monotonic() + STARTED_S
        while awaited != "nothing" and time.monotonic() < end:
            news, child = self._watch(), len(_living(server)) > 2
            if child if awaited == "a child" else news:
                break
            time.sleep(0.2)
        end = time.monotonic() + self._chance.uniform(0.0, SHORT_S if awaited == "a child" else CALM_S)
        while (left := end - time.monotonic()) > 0:
            self._watch()
            time.sleep(min(left, 0.2))

    def _watch(self) -> bool:
        """Whether a live run has something new to tell. Counts the steps that a further attempt does again."""
        news = False
        for row in self._store.runs(["queued", "running"]):
            seen = self._seen.get(row.id, _Seen(row.attempt))
            again = row.attempt != seen.attempt
            new = self._store.events(row.id, after=0 if again else seen.number)
            now = replace(_Seen(row.attempt) if again else seen, number=new[-1][0] if new else seen.number)
            for _, event in new:
                if isinstance(event, TuningStep):
                    now = replace(now, step=event.step)
                elif isinstance(event, Resumed):
                    now = replace(now, resumed=event.step)
            if again:
                with self._tally.lock:
                    self._tally.repeated_steps.append(max(seen.step - now.resumed, 0))
            self._seen[row.id] = now
            news = news or bool(new)
        return news

    def _read_checkpoints(self) -> None:
        """Those of the live runs, each as a copy: whoever reads one sweeps its folder, which another worker may use."""
        for row in self._store.runs(["queued", "running"]):
            for path in (self._store.folder(row.id) / "checkpoints").glob(f"*/{checkpoints.FILE}"):
                with tempfile.TemporaryDirectory() as folder:
                    try:
                        shutil.copy(path, folder)
                        checkpoints.read(Path(folder), row.recipe)
                        readable = True
                    except FileNotFoundError:  # its run is over, or has been taken up by the next worker
                        continue
                    except PruningError as error:
                        print(f"{row.id}: {error}", file=sys.stderr)
                        readable = False
                with self._tally.lock:
                    self._tally.readable += readable
                    self._tally.unreadable += not readable


def open_store(home: Path) -> Store:
    return Store(home, LIMITS)


@contextmanager
def serving(home: Path) -> Generator[None]:
    """A server on this home, which carries out its queued runs."""
    server = _start(home)
    try:
        yield
    finally:
        server.kill()
        server.wait()


def wait_until_idle(store: Store, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Until no run is queued or running; not for ever."""
    end = time.monotonic() + DRAINED_S
    while store.runs(["queued", "running"]) and time.monotonic() < end:
        meanwhile()
        time.sleep(0.1)


def _start(home: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", SERVER, str(home)], cwd=ROOT, env={**os.environ, **ENVIRONMENT})


def _living(server: "subprocess.Popen[bytes]") -> list[tuple[str, psutil.Process]]:
    """The server, its run worker and whatever that has started."""
    living = [("server", psutil.Process(server.pid))]
    with suppress(psutil.NoSuchProcess):
        for worker in living[0][1].children():
            living += [("run worker", worker), *(("child", child) for child in worker.children(recursive=True))]
    return living


def _kill_some(server: "subprocess.Popen[bytes]", chance: random.Random) -> list[str]:
    """SIGKILL to one, two or all of those that live, at once; returns what they were."""
    living = _living(server)
    killed: list[str] = []
    for kind, process in chance.sample(living, chance.randint(1, len(living))):
        with suppress(psutil.NoSuchProcess):
            process.kill()
            killed.append(kind)
    return killed
