"""One SQLite file that any thread of any process may read and write: connections, transactions, versions."""

import sqlite3
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pruning.errors import JobError, NoRoomError, no_room

BUSY_S = 10.0
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)

_VERSION_1 = """
CREATE TABLE runs (
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
CREATE INDEX runs_by_state ON runs (state, place);
CREATE TABLE events (
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;
"""

_VERSION_2 = """
ALTER TABLE runs ADD COLUMN title TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
-- counts the leases
ALTER TABLE runs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;
-- the last attempt that has written an event
ALTER TABLE runs ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
-- the attempts whose worker was lost
ALTER TABLE runs ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET attempt = 1, told = 1 WHERE started IS NOT NULL;
CREATE TABLE numbers (              -- outlives the runs, so that no id is ever given twice
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO numbers SELECT name, max(number) FROM runs GROUP BY name;
CREATE TABLE artefacts (
    run TEXT NOT NULL,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,             -- relative to the run's folder where it lies in there
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (run, kind)
) WITHOUT ROWID;
"""

_VERSION_3 = """
-- the sweep that it was queued for, '' = none
ALTER TABLE runs ADD COLUMN sweep TEXT NOT NULL DEFAULT '';
CREATE TABLE sweeps (
    place INTEGER PRIMARY KEY,      -- the order in which sweeps were asked for
    name TEXT NOT NULL UNIQUE,      -- the grid's
    title TEXT NOT NULL DEFAULT '',
    grid TEXT NOT NULL,
    created REAL NOT NULL
);
"""

_VERSION_4 = """
CREATE TABLE halvings (
    place INTEGER PRIMARY KEY,      -- the order in which halvings were asked for
    name TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL DEFAULT '',
    halving TEXT NOT NULL,
    session TEXT NOT NULL,
    created REAL NOT NULL,
    ends REAL NOT NULL,             -- no run goes on after that
    state TEXT NOT NULL DEFAULT 'open',
    sentence TEXT NOT NULL DEFAULT '',
    ranking TEXT NOT NULL DEFAULT '',
    driver TEXT NOT NULL DEFAULT '',
    driven REAL NOT NULL DEFAULT 0
);
"""

_VERSION_5 = """
-- counts the worker's signs of life: clocks can be set, and those of two machines differ
ALTER TABLE runs ADD COLUMN beats INTEGER NOT NULL DEFAULT 0;
-- how long the present attempt has run, and all before it, by their workers' own clocks
ALTER TABLE runs ADD COLUMN seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN ran REAL NOT NULL DEFAULT 0;
-- bytes that must be free before it goes on, after the disk was full
ALTER TABLE runs ADD COLUMN needs INTEGER NOT NULL DEFAULT 0;
-- counts the starts of all runs, 0 = it has not been started
ALTER TABLE runs ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET seconds = max(finished - started, 0) WHERE started IS NOT NULL AND finished IS NOT NULL;
UPDATE runs SET turn = place WHERE started IS NOT NULL;
-- folders of runs that this store never had
CREATE TABLE strangers (run TEXT PRIMARY KEY) WITHOUT ROWID;
-- shown to its owner alone
ALTER TABLE runs ADD COLUMN private INTEGER NOT NULL DEFAULT 0;
-- when it was put into the wastebasket, NULL = it is not in there
ALTER TABLE runs ADD COLUMN deleted REAL;
-- who asked for it first, '' = nobody who is known
ALTER TABLE sweeps ADD COLUMN session TEXT NOT NULL DEFAULT '';
"""

_VERSION_6 = """
-- the run whose computation, events and files this one shows, '' = its own
ALTER TABLE runs ADD COLUMN follows TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN carrier TEXT GENERATED ALWAYS AS (CASE follows WHEN '' THEN id ELSE follows END) VIRTUAL;
-- when its person stopped it and left the computation to the others, how many events there were, and after how long
ALTER TABLE runs ADD COLUMN left_at REAL;
ALTER TABLE runs ADD COLUMN left_events INTEGER;
ALTER TABLE runs ADD COLUMN left_seconds REAL;
-- deleted for good, and kept because others show its computation
ALTER TABLE runs ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
-- the program that carried it out: another one may come to something else
ALTER TABLE runs ADD COLUMN program TEXT NOT NULL DEFAULT '';
-- what its events take in this file
ALTER TABLE runs ADD COLUMN event_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET event_bytes = (SELECT coalesce(sum(length(event)), 0) FROM events WHERE run = runs.id);
CREATE INDEX runs_by_carrier ON runs (carrier);
CREATE INDEX runs_by_name ON runs (name);
CREATE INDEX runs_by_turn ON runs (session, turn);
-- runs as people see them: the computation's state, until somebody leaves it to others
CREATE VIEW shown AS SELECT
    one.place, one.id, one.name, one.recipe, one.session, one.sweep, one.created, one.title, one.pinned, one.private,
    one.deleted, one.gone, one.left_at, one.left_events, one.carrier, work.state AS work_state,
    CASE WHEN one.left_at IS NULL THEN work.state ELSE 'stopped' END AS state,
    CASE WHEN one.left_at IS NULL THEN work.sentence ELSE 'it goes on for others, who asked for the same run' END
        AS sentence,
    CASE WHEN one.left_at IS NULL OR one.left_seconds IS NOT NULL THEN work.started END AS started,
    CASE WHEN one.left_at IS NULL THEN work.finished ELSE one.left_at END AS finished,
    CASE WHEN one.left_at IS NULL THEN work.stop ELSE 1 END AS stop,
    CASE WHEN one.left_at IS NULL THEN work.seconds ELSE coalesce(one.left_seconds, 0.0) END AS seconds,
    work.attempt, work.told, work.needs, work.ran
FROM runs AS one JOIN runs AS work ON work.id = one.carrier;
"""

_VERSION_7 = """
-- the order of the list of runs: its first rows are found without the others
CREATE INDEX runs_in_order ON runs (pinned DESC, place DESC);
"""

MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6, _VERSION_7)
"""Each brings a store from the version before it to its own; a fresh file is of version 0."""
VERSION = len(MIGRATIONS)


class Database:
    """`home/store.sqlite`. WAL with synchronous=NORMAL, or FULL for what must survive a power cut too."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.path = self.home / "store.sqlite"
        # a pool and not thread-local: the page's threads live for one script run each
        self._free: deque[sqlite3.Connection] = deque()
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error.strerror or str(error), no_room(error)) from error
        if self._version() != VERSION:
            self._migrate()

    def close(self) -> None:
        """Close this process's connections. The database can be used again afterwards."""
        while self._free:
            self._free.pop().close()

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """A connection for the block; sqlite3's errors become a JobError that names the folder."""
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
            # a code may have more bits, which say where it happened
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            raise self._unusable(str(error), code in _NO_ROOM) from error

    @contextmanager
    def writing(self, durable: bool = False) -> Generator[sqlite3.Connection]:
        """A transaction that holds the file's one write lock from its beginning to its end."""
        with self.reading() as connection:
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def _version(self) -> int:
        with self.reading() as connection:
            return connection.execute("PRAGMA user_version").fetchone()[0]

    def _migrate(self) -> None:
        with self.writing(durable=True) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()  # another process may have been faster
            if version > VERSION:
                raise JobError(
                    f"{self.path} is of version {version} and this program writes version {VERSION}: start the "
                    "program that wrote it, move it away, or set PRUNING_HOME to another folder"
                )
            for script in MIGRATIONS[version:]:
                for statement in script.split(";\n"):  # executescript() would commit what was begun
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={VERSION}")

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        connection.text_factory = _text  # a torn text spoils its own row and not the list
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

    def _unusable(self, reason: str, for_now: bool) -> JobError:
        kind = NoRoomError if for_now else JobError
        return kind(
            f"{self.home} cannot be used to keep runs ({reason}); make room and give write access there, or set "
            "PRUNING_HOME to another folder"
        )


def _text(content: bytes) -> str:
    return content.decode(errors="replace")
