"""The whole server under siege: processes are killed and faults carried out while runs and sessions go on.

What is counted is read from the store and the files, as a person would find them, and from the page as a browser asks
for it. `benchmarks.durability` looks at runs alone, and compares their results.
"""

import os
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from benchmarks.durability import corrupt_files, duplicated
from benchmarks.faults import Faults, small_disk
from benchmarks.report import Report, Target
from pruning.errors import JobError
from pruning.execution.settings import Limits
from pruning.execution.store.records import UNREADABLE
from pruning.execution.store.store import Store
from pruning.execution.worker_main import NICE
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning
from tests.packaging.page_client import first_script_run

KILLS = 500
FAULTS_A_KILL = 20 / 500
RUNS, SESSIONS = 8, 10
STUCK_S, USABLE_S = 30.0, 5.0
CALM_S = 3.0
PAUSE_S = 3.0
STARTED_S = 15.0  # a run worker imports torch while others do, who come first
BEATS_S = 5.0
DRAINED_S = 600.0
ROOT = Path(__file__).resolve().parents[1]
RECIPE = Recipe("mlp_128", amount=Sparsity(0.8), schedule=Polynomial(2), tuning=Tuning(2, images_per_epoch=2000))
ENVIRONMENT = {
    "PRUNING_ATTEMPTS": "1000",
    "PRUNING_LEASE_S": "3",
    "PRUNING_RUN_WORKERS": "2",
    "PRUNING_WORKER_MEMORY_MB": "2000",
    "OMP_NUM_THREADS": "1",
}
MEMORY = "it took more than "


@dataclass
class Tally:
    """What was done and seen so far."""

    killed: Counter[str] = field(default_factory=Counter[str])
    faults: Counter[str] = field(default_factory=Counter[str])
    usable_s: list[float] = field(default_factory=list[float])
    pages: Counter[str] = field(default_factory=Counter[str])
    stuck: set[str] = field(default_factory=set[str])
    longest_still_s: float = 0.0


def measure(kills: int = KILLS) -> Report:
    """So many kills, and of each fault 20 for 500 of them, then quiet until no run is live any more."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder) / "home") as home:
        siege = Siege(home, Faults(Path(folder) / "faults", home, seed=0), kills)
        siege.carry_out()
        figures = _evaluated(home, siege)
    figures["minutes"] = (time.monotonic() - begun) / 60
    none = Target(at_most=0)
    wrong = ("runs lost", "runs doubled", "corrupt", "stuck longer than 30 s", "torn rows that did not say so")
    targets = {**dict.fromkeys(wrong, none), "page usable again, longest (s)": Target(at_most=USABLE_S)}
    return Report(figures, {"kills": Target(at_least=kills), **targets})


class Siege:
    """Keeps one server busy, kills what serves it, and carries out faults, until there was enough of both."""

    def __init__(self, home: Path, faults: Faults, kills: int) -> None:
        self.accepted: list[str] = []
        self.faults = faults
        self.tally = Tally()
        self._home = home
        self._kills = kills
        self._chance = random.Random(0)
        self._port = _free_port()
        self._over = threading.Event()
        self._server: subprocess.Popen[bytes] | None = None
        self._store = Store(home, Limits(runs_per_session=10**4))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def carry_out(self) -> None:
        """The siege, with sessions that ask for the page and somebody who watches for what stands still."""
        self._start()
        others = [threading.Thread(target=self._ask_for_pages, daemon=True) for _ in range(SESSIONS)]
        others.append(threading.Thread(target=self._watch, daemon=True))
        for thread in others:
            thread.start()
        try:
            for done, fault in enumerate(self._plan(), 1):
                self._queue()
                time.sleep(self._chance.uniform(0.0, CALM_S))
                self._strike(fault)
                if done % 50 == 0:
                    print(f"{done} strikes, {len(self.accepted)} runs accepted", file=sys.stderr, flush=True)
            self._drain()
        finally:
            self._over.set()
            self._end_server()

    def _plan(self) -> list[str]:
        """ "" is a kill; the faults lie evenly between them."""
        faults = self.faults.names * max(1, round(self._kills * FAULTS_A_KILL))
        plan = [""] * self._kills + faults
        self._chance.shuffle(plan)
        return plan

    def _strike(self, fault: str) -> None:
        living = self._living()
        if fault:
            with suppress(sqlite3.OperationalError):
                self.faults.carry_out(fault, [process for kind, process in living if kind == "worker"])
            self.tally.faults[fault] += 1
            struck = fault
        else:
            kind, process = self._chance.choice(living)
            with suppress(psutil.NoSuchProcess):
                process.kill()
            self.tally.killed[kind] += 1
            struck = f"a {kind} killed"
            if kind == "server":
                self._end_server()
                self._start()
                return
        self._usable(struck)

    def _start(self) -> None:
        """A server, until its page can be used: from when it listens, for no page asks before."""
        command = [sys.executable, "-m", "pruning", "app", "--headless", "--port", str(self._port)]
        environment = {**os.environ, **ENVIRONMENT, "PRUNING_HOME": str(self._home), **self.faults.environment()}
        self._server = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not _listens(self._port):
            time.sleep(0.1)
        self._usable("a server started")

    def _usable(self, struck: str) -> None:
        """Waits for it, and names what was followed by too long a wait."""
        self.tally.usable_s.append(_usable_after(self.address))
        if self.tally.usable_s[-1] > USABLE_S:
            print(f"{struck}: usable after {self.tally.usable_s[-1]:.1f} s", file=sys.stderr, flush=True)

    def _end_server(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def _living(self) -> list[tuple[str, psutil.Process]]:
        assert self._server is not None
        server = psutil.Process(self._server.pid)
        living = [("server", server)]
        for process in server.children(recursive=True):
            with suppress(OSError, psutil.NoSuchProcess):
                leads = os.getpgid(process.pid) == process.pid
                kind = "fork server" if leads and process.nice() == NICE["forks"] else "worker" if leads else "child"
                living.append((kind, process))
        return living

    def _queue(self) -> None:
        with suppress(JobError):  # a full disk takes none, and says so
            while len(self._store.runs(["queued", "running"])) < RUNS:
                recipe = replace(RECIPE, seed=len(self.accepted))
                self.accepted.append(self._store.create(recipe, str(len(self.accepted) % SESSIONS)))

    def _drain(self) -> None:
        end = time.monotonic() + DRAINED_S
        while self._store.runs(["queued", "running"]) and time.monotonic() < end:
            time.sleep(0.5)

    def _ask_for_pages(self) -> None:
        while not self._over.wait(PAUSE_S):
            try:
                seen = first_script_run(self.address)
                self.tally.pages["with a traceback" if seen["exceptions"] else "shown"] += 1
            except Exception:  # the server is down, or went down: what it raises is websockets' own
                self.tally.pages["not reached"] += 1

    def _watch(self) -> None:
        """Stuck is a run that is going on without a heartbeat, and a queue of which nothing is taken.

        Seconds count in which more run workers live than runs go on: while the next starts, one that was shot is
        missing. Time without an event is noted too: a child that scores a file says nothing meanwhile.
        """
        beating, stuck, telling = _Still(), _Still(), _Still()
        while not self._over.wait(1.0):
            with suppress(JobError):
                rows = self._store.runs(["queued", "running"])
                running = {row.id: (row.attempt, row.seconds) for row in rows if row.state == "running"}
                going_on = sum(beating.seconds(run, sign) < BEATS_S for run, sign in running.items())
                idle = self._run_workers() > going_on
                for run, sign in running.items():
                    if stuck.seconds(run, sign, idle) > STUCK_S:
                        self._note_stuck(run)
                    silent_s = telling.seconds(run, (sign[0], self._store.last_event(run)))
                    self.tally.longest_still_s = max(self.tally.longest_still_s, silent_s)
                waiting = rows and not running and not any(map(self._store.paused, rows))
                if stuck.seconds("the queue", None if waiting else object(), idle) > STUCK_S:
                    self._note_stuck("the queue")

    def _run_workers(self) -> int:
        """How many there are that have had the time to start."""
        with suppress(psutil.NoSuchProcess):  # what is shot meanwhile is counted again a second later
            ages = [time.time() - one.create_time() for _, one in self._living() if one.nice() == NICE["runs"]]
            return sum(age > STARTED_S for age in ages)
        return 0

    def _note_stuck(self, name: str) -> None:
        if name not in self.tally.stuck:
            print(f"{name} is stuck", file=sys.stderr, flush=True)
        self.tally.stuck.add(name)


class _Still:
    """For how long each of several things has been the same."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[object, float, float]] = {}

    def seconds(self, name: str, sign: object, counts: bool = True) -> float:
        """Without the time before this look where it does not count."""
        now = time.monotonic()
        before, seconds, looked = self._seen.get(name, (object(), 0.0, now))
        seconds = seconds + (now - looked) * counts if before == sign else 0.0
        self._seen[name] = (sign, seconds, now)
        return seconds


def _usable_after(address: str) -> float:
    """Seconds until the page's script has run to its end and shown no traceback."""
    begun = time.monotonic()
    while time.monotonic() - begun < 120.0:
        with suppress(Exception):  # as above
            if not first_script_run(address)["exceptions"]:
                break
        time.sleep(0.1)
    return time.monotonic() - begun


def _evaluated(home: Path, siege: Siege) -> dict[str, float]:
    store = Store(home)
    rows = {row.id: row for row in store.runs()}
    fine = [run for run in siege.accepted if run in rows and rows[run].state == "finished"]
    hungry = [run for run in siege.accepted if run in rows and rows[run].sentence.startswith(MEMORY)]
    with sqlite3.connect(store.path) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    torn = [rows[run] for run in siege.faults.torn if run in rows]
    said = [row for row in torn if row.state == "failed" and row.sentence.startswith(UNREADABLE)]
    tally, usable = siege.tally, sorted(siege.tally.usable_s)
    return {
        "kills": float(tally.killed.total()),
        **{f"kills of a {kind}": float(count) for kind, count in sorted(tally.killed.items())},
        **{f"faults: {fault}": float(count) for fault, count in sorted(tally.faults.items())},
        "accepted runs": float(len(siege.accepted)),
        "runs ended for their memory, with the sentence": float(len(hungry)),
        "runs lost": float(len(siege.accepted) - len(fine) - len(hungry)),
        "runs doubled": float(sum(duplicated(store, run) for run in fine)),
        "corrupt": float(sum(corrupt_files(store, run) for run in fine) + (not sound)),
        "stuck longer than 30 s": float(len(tally.stuck)),
        "longest without an event (s)": tally.longest_still_s,
        "torn rows that did not say so": float(len(siege.faults.torn) - len(said)),
        "page usable again, median (s)": usable[len(usable) // 2],
        "page usable again, 95 % (s)": usable[int(0.95 * (len(usable) - 1))],
        "page usable again, longest (s)": usable[-1],
        **{f"pages {kind}": float(count) for kind, count in sorted(tally.pages.items())},
        "log (MB)": (home / "worker.log").stat().st_size / 2**20,
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
