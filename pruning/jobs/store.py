"""Runs and their events in one SQLite file, shared by the page's threads and the workers' processes."""

import json
import os
import sqlite3
import time
from collections import deque
from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pruning.errors import JobError
from pruning.events import Event, Failed, Finished, event_from_dict, event_to_dict

if TYPE_CHECKING:
    from pruning.recipe import Recipe

RunState = Literal["queued", "running", "finished", "stopped", "failed"]

VERSION = 1
BUSY_S = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    place INTEGER PRIMARY KEY,      -- the order in which runs were asked for
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,             -- the recipe's
    number INTEGER NOT NULL,        -- counts the runs of that recipe from 1
    recipe TEXT NOT NULL,
    session TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued',
    sentence TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    worker TEXT NOT NULL DEFAULT '',
    heartbeat REAL,
    stop INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS runs_by_state ON runs (state, place);
CREATE TABLE IF NOT EXISTS events (
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;
"""
_COLUMNS = "id, recipe, session, state, sentence, created, started, finished, stop"


@dataclass(frozen=True)
class RunRow:
    """A run as the store knows it. Times are seconds since 1970, None until they have come.

    `sentence` says why a run failed, else it is empty. `stopping` means that somebody asked for it to end early.
    """

    id: str
    recipe_json: str
    session: str
    state: RunState
    sentence: str
    created: float
    started: float | None
    finished: float | None
    stopping: bool

    @cached_property
    def recipe(self) -> "Recipe":
        """The recipe; RecipeError if this version cannot read it, which must not spoil the list of all runs."""
        from pruning.recipe import from_json  # brings torch; see the package's docstring

        return from_json(self.recipe_json)

    @property
    def over(self) -> bool:
        return self.state not in ("queued", "running")


def default_home() -> Path:
    """Where runs are kept: PRUNING_HOME if it is set, else a folder in the person's home."""
    return Path(os.environ.get("PRUNING_HOME") or Path.home() / ".pruning-explorer")


class Store:
    """`home/store.sqlite` and the artefact folders `home/runs/<id>/`. Any thread of any process may use it.

    WAL with synchronous=NORMAL for events: a killed process loses nothing; a power cut loses at most the last moments
    of a run that is lost with it anyhow, and a training loop never waits for the disk. What a person was told (queued,
    stopping, finished) is written with FULL, so that it survives a power cut too.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.path = self.home / "store.sqlite"
        # a pool and not thread-local: the page's threads live for one script run each
        self._free: deque[sqlite3.Connection] = deque()
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        with self._reading() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise JobError(
                f"{self.path} is of version {version} and this program writes version {VERSION}; move it away or set "
                "PRUNING_HOME to another folder"
            )
        with self._writing(durable=True) as connection:
            for statement in _SCHEMA.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        """Close this process's connections. The store can be used again afterwards."""
        while self._free:
            self._free.pop().close()

    def folder(self, run: str) -> Path:
        """Where the run's artefacts are; made by whoever writes there first."""
        return self.home / "runs" / run

    def create(self, recipe: "Recipe", session: str) -> str:
        """Queue a run and return its id: the recipe's name and the number of this run of it, such as 7f3a9c21-1."""
        from pruning.recipe import to_json  # brings torch; see the package's docstring

        text, name = to_json(recipe), recipe.name
        with self._writing(durable=True) as connection:
            query = "SELECT coalesce(max(number), 0) + 1 FROM runs WHERE name = ?"
            (number,) = connection.execute(query, (name,)).fetchone()
            connection.execute(
                "INSERT INTO runs (id, name, number, recipe, session, created) VALUES (?, ?, ?, ?, ?, ?)",
                (f"{name}-{number}", name, number, text, session, time.time()),
            )
        return f"{name}-{number}"

    def runs(self, states: Collection[RunState] = ()) -> list[RunRow]:
        """All runs, or those in one of the states; the newest first."""
        where = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        with self._reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM runs {where} ORDER BY place DESC", tuple(states))
            return [_row(row) for row in rows]

    def run(self, run: str) -> RunRow:
        """One run. JobError if there is none of that id."""
        with self._reading() as connection:
            row = connection.execute(f"SELECT {_COLUMNS} FROM runs WHERE id = ?", (run,)).fetchone()
        if row is None:
            raise self._unknown(run)
        return _row(row)

    def events(self, run: str, after: int = 0) -> list[tuple[int, Event]]:
        """The run's events with their numbers, which count from 1; those after number `after`."""
        query = "SELECT seq, event FROM events WHERE run = ? AND seq > ? ORDER BY seq"
        with self._reading() as connection:
            rows = connection.execute(query, (run, after)).fetchall()
        return [(seq, event_from_dict(json.loads(text))) for seq, text in rows]

    def append(self, run: str, *events: Event) -> None:
        """Add events to a running run, all or none. JobError if the run is not running: its worker was given up."""
        with self._writing() as connection:
            row = connection.execute("SELECT state FROM runs WHERE id = ?", (run,)).fetchone()
            if row is None:
                raise self._unknown(run)
            if row[0] != "running":
                raise JobError(f"run {run} is {row[0]}: nothing can be added to it; start it again")
            _add(connection, run, events)

    def finish(self, run: str, event: Finished | Failed) -> bool:
        """End a run with its last event. False, and nothing is written, if it is over already."""
        with self._writing(durable=True) as connection:
            return _end(connection, run, event)

    def claim(self, worker: str) -> str | None:
        """Hand the oldest queued run to this worker; None if none is queued. No run is ever handed out twice."""
        with self._reading() as connection:  # so that idle workers, which ask often, do not lock the file
            if connection.execute("SELECT 1 FROM runs WHERE state = 'queued' LIMIT 1").fetchone() is None:
                return None
        with self._writing(durable=True) as connection:
            query = "SELECT id FROM runs WHERE state = 'queued' ORDER BY place LIMIT 1"
            row = connection.execute(query).fetchone()
            if row is None:
                return None
            now = time.time()
            connection.execute(
                "UPDATE runs SET state = 'running', worker = ?, started = ?, heartbeat = ? WHERE id = ?",
                (worker, now, now, row[0]),
            )
        return row[0]

    def heartbeat(self, run: str) -> bool:
        """Say that the run's worker lives. False if the run is over: the worker was given up and should stop."""
        with self._writing() as connection:
            query = "UPDATE runs SET heartbeat = ? WHERE id = ? AND state = 'running'"
            return connection.execute(query, (time.time(), run)).rowcount == 1

    def request_stop(self, run: str) -> None:
        """Ask for the run to end early; a queued one ends at once. A run that is over stays as it is."""
        with self._writing(durable=True) as connection:
            row = connection.execute("SELECT state FROM runs WHERE id = ?", (run,)).fetchone()
            if row is None:
                raise self._unknown(run)
            connection.execute("UPDATE runs SET stop = 1 WHERE id = ? AND state = 'running'", (run,))
            if row[0] == "queued":
                _end(connection, run, Finished(stopped=True, seconds=0.0))

    def stop_requested(self, run: str) -> bool:
        return self.run(run).stopping

    def fail_queued(self, sentence: str) -> list[str]:
        """End all queued runs as failed, because nobody can take them; returns their ids."""
        return self._fail("state = 'queued'", (), sentence)

    def fail_worker(self, worker: str, sentence: str) -> list[str]:
        """End the run that this worker was carrying out as failed; returns its id, if there was one."""
        return self._fail("state = 'running' AND worker = ?", (worker,), sentence)

    def fail_lost(self, older_than_s: float, sentence: str, alive: Collection[str] = ()) -> list[str]:
        """End running runs whose last heartbeat is older than that, but not those of workers known to be alive."""
        marks = ", ".join("?" * len(alive))
        where = f"state = 'running' AND heartbeat < ? AND worker NOT IN ({marks})"
        return self._fail(where, (time.time() - older_than_s, *alive), sentence)

    def _fail(self, where: str, values: tuple[float | str, ...], sentence: str) -> list[str]:
        query = f"SELECT id FROM runs WHERE {where} ORDER BY place"
        with self._reading() as connection:  # asked often, nearly always in vain
            if connection.execute(query, values).fetchone() is None:
                return []
        with self._writing(durable=True) as connection:
            runs = [run for (run,) in connection.execute(query, values).fetchall()]
            for run in runs:
                _end(connection, run, Failed(sentence))
        return runs

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        end = time.monotonic() + BUSY_S
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                return connection
            except sqlite3.OperationalError as error:
                # SQLite does not wait here by itself when several processes open a fresh file at once
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    connection.close()
                    raise
                time.sleep(0.01)

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        """A connection for the block; sqlite3's errors become a JobError that names the file."""
        try:
            try:
                connection = self._free.pop()
            except IndexError:
                connection = self._open()
            try:
                yield connection
            except BaseException:
                connection.close()  # rolls back what was begun
                raise
            self._free.append(connection)
        except sqlite3.Error as error:
            raise self._unusable(str(error)) from error

    @contextmanager
    def _writing(self, durable: bool = False) -> Generator[sqlite3.Connection]:
        """A transaction that holds the file's one write lock from its beginning to its end."""
        with self._reading() as connection:
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def _unknown(self, run: str) -> JobError:
        return JobError(f"there is no run {run} in {self.path}; choose one from the list of runs")

    def _unusable(self, reason: str) -> JobError:
        return JobError(
            f"{self.home} cannot be used to keep runs ({reason}); make room and give write access there, or set "
            "PRUNING_HOME to another folder"
        )


def _row(values: tuple[str, str, str, RunState, str, float, float | None, float | None, int]) -> RunRow:
    return RunRow(*values[:-1], stopping=bool(values[-1]))


def _add(connection: sqlite3.Connection, run: str, events: Collection[Event]) -> None:
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events WHERE run = ?", (run,)).fetchone()
    rows = [(run, seq, json.dumps(event_to_dict(event))) for seq, event in enumerate(events, last + 1)]
    connection.executemany("INSERT INTO events (run, seq, event) VALUES (?, ?, ?)", rows)


def _end(connection: sqlite3.Connection, run: str, event: Finished | Failed) -> bool:
    """The last event and the state it means, so that nobody sees one without the other."""
    failed = isinstance(event, Failed)
    state: RunState = "failed" if failed else "stopped" if event.stopped else "finished"
    changed = connection.execute(
        "UPDATE runs SET state = ?, sentence = ?, finished = ? WHERE id = ? AND state IN ('queued', 'running')",
        (state, event.sentence if failed else "", time.time(), run),
    )
    if changed.rowcount:
        _add(connection, run, [event])
    return changed.rowcount == 1
