"""What pages read of runs: how each goes, what has happened in it, what it left, and when it starts."""

from collections.abc import Collection
from pathlib import Path

from pruning.events import Event
from pruning.execution.store.database import Database
from pruning.execution.store.disk_room import DiskRoom
from pruning.execution.store.disk_share import DiskShare, disk_shares
from pruning.execution.store.ownership import unknown_run
from pruning.execution.store.reading import COLUMNS, THERE, event_of, marks, row_of
from pruning.execution.store.records import Artefact, RunRow, RunState
from pruning.execution.store.run_folders import run_folder
from pruning.execution.store.run_list import RunList
from pruning.execution.store.transitions import queue_order

_MANY = ("tuning_step", "unit_sizes", "searching")
_STEP = '{"kind": "tuning_step"'
_EVENTS_OF = (
    "run = (SELECT carrier FROM runs WHERE id = :run) "
    "AND seq <= coalesce((SELECT left_events FROM runs WHERE id = :run), seq)"
)
"""The events that a run shows: those of who carries it out, up to where its person left them to others."""


class ShownRuns:
    """The runs of a store as people see them, through the view `shown`. Nothing is changed here."""

    def __init__(self, database: Database, disk: DiskRoom) -> None:
        self._database = database
        self.disk = disk
        self.home = database.home
        self.list = RunList(database)

    def folder(self, run: str) -> Path:
        """Where the run's artefacts are; made by whoever writes there first."""
        return run_folder(self.home, run)

    def sharers(self, row: RunRow) -> list[RunRow]:
        """The other runs that show the same computation, the oldest first."""
        query = f"SELECT {COLUMNS} FROM shown WHERE carrier = ? AND id != ? AND {THERE} ORDER BY place"
        with self._database.reading() as connection:
            return [row_of(values) for values in connection.execute(query, (row.carrier, row.id))]

    def runs(self, states: Collection[RunState] = ()) -> list[RunRow]:
        """All runs, or those in one of the states; the pinned ones first, then the newest. `list` reads less."""
        where = f"AND state IN ({marks(states)})" if states else ""
        if states and "stopped" not in states:
            where += f" AND work_state IN ({marks(states)})"  # which has an index
        query = f"SELECT {COLUMNS} FROM shown WHERE {THERE} {where} ORDER BY pinned DESC, place DESC"
        values = (*states, *states)[: where.count("?")]
        with self._database.reading() as connection:
            return [row_of(found) for found in connection.execute(query, values)]

    def run(self, run: str) -> RunRow:
        """One run. JobError if there is none of that id."""
        with self._database.reading() as connection:
            query = f"SELECT {COLUMNS} FROM shown WHERE id = ? AND {THERE}"
            row = connection.execute(query, (run,)).fetchone()
        if row is None:
            raise unknown_run(run)
        return row_of(row)

    def events(self, run: str, after: int = 0) -> list[tuple[int, Event]]:
        """The run's events with their numbers, which count from 1; those after number `after`."""
        return self._events(run, after)

    def events_thinned(self, run: str, after: int, every: int) -> list[tuple[int, Event]]:
        """The same, but of optimiser steps only those whose number is a multiple of `every`."""
        return self._events(run, after, f"""AND (seq % {int(every)} = 0 OR event NOT LIKE '{_STEP}%')""")

    def _events(self, run: str, after: int, which: str = "") -> list[tuple[int, Event]]:
        query = f"SELECT seq, event FROM events WHERE {_EVENTS_OF} AND seq > :after {which} ORDER BY seq"
        with self._database.reading() as connection:
            rows = connection.execute(query, {"run": run, "after": after}).fetchall()
        return [(seq, event_of(text)) for seq, text in rows]

    def last_event(self, run: str) -> int:
        """The number of the run's latest event, 0 = it has none."""
        with self._database.reading() as connection:
            query = f"SELECT coalesce(max(seq), 0) FROM events WHERE {_EVENTS_OF}"
            return connection.execute(query, {"run": run}).fetchone()[0]

    def milestones(self, run: str) -> list[Event]:
        """The run's events but for optimiser steps, sizes of units and cuts of a search, which are nearly all: what it
        came to.
        """
        # not json_extract: a score in a unit of its own may be infinite, which SQLite does not read
        others = " ".join(f"""AND event NOT LIKE '{{"kind": "{kind}"%'""" for kind in _MANY)
        query = f"SELECT event FROM events WHERE {_EVENTS_OF} {others} ORDER BY seq"
        with self._database.reading() as connection:
            rows = connection.execute(query, {"run": run}).fetchall()
        return [event_of(text) for (text,) in rows]

    def artefacts(self, run: str) -> list[Artefact]:
        """The files that the run has left, by kind; none before it has exported them."""
        query = (
            "SELECT carrier, kind, path, bytes, sha256 FROM artefacts JOIN shown ON artefacts.run = carrier "
            "WHERE id = ? AND left_at IS NULL ORDER BY kind"
        )
        with self._database.reading() as connection:
            rows = connection.execute(query, (run,)).fetchall()
        return [Artefact(kind, self.folder(carrier) / path, size, digest) for carrier, kind, path, size, digest in rows]

    def workers(self) -> dict[str, str]:
        """Worker -> the run that it carries out."""
        with self._database.reading() as connection:
            return dict(connection.execute("SELECT worker, id FROM runs WHERE state = 'running'"))

    def disk_shares(self) -> list[DiskShare]:
        """What each person's runs take of the disk, the most first."""
        with self._database.reading() as connection:
            return disk_shares(connection)

    def place_in_queue(self, run: str) -> int:
        """How many runs start before it, 0 = it is the next one or waits no longer. JobError for an unknown run."""
        carrier = self.run(run).carrier
        order = self.queue()
        return order.index(carrier) if carrier in order else 0

    def queue(self) -> list[str]:
        """The queued runs in the order in which they will start; of those that share a computation, who carries it out.

        Those that wait for room on the disk are not among them: nobody knows when they start.
        """
        free = self.disk.free()
        with self._database.reading() as connection:
            return [turn.carrier for turn in queue_order(connection, free)]

    def paused(self, row: RunRow) -> str:
        """Why a run that is not over does not go on now, in a sentence; "" if it does, or waits for its turn only."""
        if row.over:
            return ""
        return self.disk.waiting_for(row.needs) if row.state == "queued" else self.disk.unwritable
