"""Runs, their events and their files, shared by the page's threads and the workers' processes."""

import json
import os
import sqlite3
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruning.errors import JobError
from pruning.events import Event, Failed, Finished, Searching, TuningStep, event_from_dict
from pruning.execution.settings import Limits
from pruning.execution.store import run_folders as folders
from pruning.execution.store import transitions as changes
from pruning.execution.store.database import Database
from pruning.execution.store.halvings import Halvings
from pruning.execution.store.ownership import unknown_run
from pruning.execution.store.records import Artefact, Lease, RunRow, RunState
from pruning.execution.store.sweeps import Sweeps
from pruning.execution.store.wastebasket import Wastebasket

if TYPE_CHECKING:
    from pruning.recipe.recipe import Recipe

LONGEST_TITLE = 80
_MANY = ("tuning_step", "unit_sizes", "searching")
_COLUMNS = (
    "id, recipe, session, state, sentence, created, started, finished, title, stop, pinned, private, "
    # until the present attempt has an event, the events are those of the one before (column `told`)
    "coalesce(nullif(told, 0), attempt)"
)


def default_home() -> Path:
    """Where runs are kept: PRUNING_HOME if it is set, else a folder in the person's home."""
    return Path(os.environ.get("PRUNING_HOME") or Path.home() / ".pruning-explorer")


class Store:
    """`home/store.sqlite` and the folders `home/runs/<id>/`. Any thread of any process may use it.

    A page queues runs, reads them and looks after them; a worker holds a lease of the run that it carries out, and only
    while it does can it write. A killed process loses nothing. A power cut loses at most the last training steps: all
    that a page was shown and every event that a checkpoint rests on is on the disk before the next thing happens.
    """

    def __init__(self, home: Path, limits: Limits | None = None) -> None:
        self.limits = limits or Limits.from_environment()
        self._database = Database(home)
        self.home = self._database.home
        self.path = self._database.path
        self.sweeps = Sweeps(self._database, self.limits)
        self.halvings = Halvings(self._database, self.limits)
        self.wastebasket = Wastebasket(self._database, lambda run: folders.discard(self.folder(run)))

    def close(self) -> None:
        """Close this process's connections. The store can be used again afterwards."""
        self._database.close()

    def folder(self, run: str) -> Path:
        """Where the run's artefacts are; made by whoever writes there first."""
        return self.home / "runs" / run

    # What a page asks

    def create(self, recipe: "Recipe", session: str) -> str:
        """Queue a run and return its id: the recipe's name and the number of this run of it, such as 7f3a9c21-1.

        JobError if the session has as many runs queued or running as it may have, not counting those of sweeps.
        """
        from pruning.recipe.recipe import to_json  # brings torch; see the package's docstring

        text, name = to_json(recipe), recipe.name
        most = self.limits.runs_per_session
        with self._database.writing(durable=True) as connection:
            query = "SELECT count(*) FROM runs WHERE session = ? AND sweep = '' AND state IN ('queued', 'running')"
            (live,) = connection.execute(query, (session,)).fetchone()
            if live >= most:
                raise JobError(
                    f"{live} of your runs are queued or running and {most} is the most at once; wait until one is "
                    "over, or stop one"
                )
            return changes.add_run(connection, name, text, session)

    def runs(self, states: Collection[RunState] = (), search: str = "") -> list[RunRow]:
        """All runs, or those in one of the states; the pinned ones first, then the newest.

        Every word of `search` must occur in the run's id, title or recipe (as JSON), in whatever case.
        """
        where = f"AND state IN ({', '.join('?' * len(states))})" if states else ""
        query = f"SELECT {_COLUMNS} FROM runs WHERE deleted IS NULL {where} ORDER BY pinned DESC, place DESC"
        with self._database.reading() as connection:
            rows = [_row(values) for values in connection.execute(query, tuple(states))]
        words = search.casefold().split()
        if not words:
            return rows
        # not LIKE: it knows the cases of English letters only
        texts = [f"{row.id}\n{row.title}\n{row.recipe_json}".casefold() for row in rows]
        return [row for row, text in zip(rows, texts, strict=True) if all(word in text for word in words)]

    def run(self, run: str) -> RunRow:
        """One run. JobError if there is none of that id."""
        with self._database.reading() as connection:
            query = f"SELECT {_COLUMNS} FROM runs WHERE id = ? AND deleted IS NULL"
            row = connection.execute(query, (run,)).fetchone()
        if row is None:
            raise unknown_run(run)
        return _row(row)

    def events(self, run: str, after: int = 0) -> list[tuple[int, Event]]:
        """The run's events with their numbers, which count from 1; those after number `after`."""
        query = "SELECT seq, event FROM events WHERE run = ? AND seq > ? ORDER BY seq"
        with self._database.reading() as connection:
            rows = connection.execute(query, (run, after)).fetchall()
        return [(seq, event_from_dict(json.loads(text))) for seq, text in rows]

    def milestones(self, run: str) -> list[Event]:
        """The run's events but for optimiser steps, sizes of units and cuts of a search, which are nearly all: what it
        came to.
        """
        # not json_extract: a score in a unit of its own may be infinite, which SQLite does not read
        others = " ".join(f"""AND event NOT LIKE '{{"kind": "{kind}"%'""" for kind in _MANY)
        query = f"SELECT event FROM events WHERE run = ? {others} ORDER BY seq"
        with self._database.reading() as connection:
            rows = connection.execute(query, (run,)).fetchall()
        return [event_from_dict(json.loads(text)) for (text,) in rows]

    def artefacts(self, run: str) -> list[Artefact]:
        """The files that the run has left, by kind; none before it has exported them."""
        query = "SELECT kind, path, bytes, sha256 FROM artefacts WHERE run = ? ORDER BY kind"
        with self._database.reading() as connection:
            rows = connection.execute(query, (run,)).fetchall()
        return [Artefact(kind, self.folder(run) / path, size, digest) for kind, path, size, digest in rows]

    def place_in_queue(self, run: str) -> int:
        """How many runs start before it, 0 = it is the next one or waits no longer. JobError for an unknown run."""
        self.run(run)
        order = self.queue()
        return order.index(run) if run in order else 0

    def queue(self) -> list[str]:
        """The queued runs in the order in which they will start."""
        with self._database.reading() as connection:
            return changes.queue_order(connection)

    def rename(self, run: str, title: str) -> None:
        """Give the run a title of at most 80 characters, "" = none."""
        self._change(run, "title", title.strip()[:LONGEST_TITLE].strip())

    def pin(self, run: str, pinned: bool) -> None:
        """Keep the run at the top of the list, or no longer."""
        self._change(run, "pinned", pinned)

    def hide(self, run: str, private: bool) -> None:
        """Show the run to its owner alone, or to all again."""
        self._change(run, "private", private)

    def delete(self, run: str) -> None:
        """Forget a run and delete its files at once. JobError if it is queued or running."""
        with self._database.writing(durable=True) as connection:
            state = self._state(connection, run)
            if state in ("queued", "running"):
                raise JobError(f"run {run} is {state}; stop it first, then delete it")
            for table, column in (("events", "run"), ("artefacts", "run"), ("runs", "id")):
                connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (run,))
        folders.discard(self.folder(run))  # a kill before this leaves a folder that `sweep` finds

    def request_stop(self, run: str) -> None:
        """Ask for the run to end early; a queued one ends at once. A run that is over stays as it is."""
        with self._database.writing(durable=True) as connection:
            state = self._state(connection, run)
            connection.execute("UPDATE runs SET stop = 1 WHERE id = ? AND state = 'running'", (run,))
            if state == "queued":
                changes.end_run(connection, run, Finished(stopped=True, seconds=0.0))

    def end(self, run: str) -> str | None:
        """Stop the run at once, with what it has written by now; returns the worker that must now be ended, if any."""
        with self._database.writing(durable=True) as connection:
            if self._state(connection, run) == "queued":
                changes.end_run(connection, run, Finished(stopped=True, seconds=0.0))
                return None
            query = "SELECT worker FROM runs WHERE id = ? AND state = 'running'"
            row = connection.execute(query, (run,)).fetchone()
            if row is None:
                return None
            changes.cut_short(connection, run, "ended at once")
        return row[0]

    def sweep(self) -> None:
        """Delete what killed processes left: folders of deleted runs, checkpoints of runs that are over."""
        found = folders.run_folders(self.home / "runs")  # before the rows: a folder is made after its row
        rows, kept = self.runs(), {waste.id for waste in self.wastebasket.all()}
        with self._database.reading() as connection:
            given = dict(connection.execute("SELECT name, number FROM numbers").fetchall())
        # a folder that this store has never heard of is another store's: somebody moved or restored the file
        ours = [path for path in found if int(path.name.partition("-")[2]) <= given.get(path.name.partition("-")[0], 0)]
        folders.sweep(ours, {row.id for row in rows} | kept, {row.id for row in rows if not row.over})

    # What a worker does

    def claim(self, worker: str) -> Lease | None:
        """Hand the next queued run to this worker; None if none is queued. Nobody else has a lease of it then."""
        with self._database.reading() as connection:  # so that idle workers, which ask often, do not lock the file
            if connection.execute("SELECT 1 FROM runs WHERE state = 'queued' LIMIT 1").fetchone() is None:
                return None
        with self._database.writing(durable=True) as connection:
            order = changes.queue_order(connection)
            if not order:
                return None
            query = (
                "UPDATE runs SET state = 'running', worker = ?, started = ?, heartbeat = ?, attempt = attempt + 1 "
                "WHERE id = ? RETURNING attempt"
            )
            now = time.time()
            (attempt,) = connection.execute(query, (worker, now, now, order[0])).fetchone()
        return Lease(order[0], worker, attempt)

    def append(self, lease: Lease, *events: Event) -> None:
        """Add events to the run, all or none. JobError if the lease is over: the worker was given up, or the run ended.

        The first events of a later attempt replace what it does again: all that is known of the run, or, if the very
        first is `Resumed`, what came after the events that it counts.
        """
        found = changes.files_of(self.folder(lease.run), events)
        # a checkpoint may follow any event but a step, and must find the events that it counts also after a power cut
        durable = not all(isinstance(event, TuningStep | Searching) for event in events)
        with self._database.writing(durable) as connection:
            if not changes.holds(connection, lease):
                raise JobError(f"run {lease.run} is not this worker's any more: nothing can be added to it")
            changes.begin_attempt(connection, lease, events[0])
            changes.add_events(connection, lease.run, events)
            changes.add_artefacts(connection, lease.run, found)

    def finish(self, lease: Lease, event: Finished | Failed) -> bool:
        """End a run with its last event. False, and nothing is written, if the lease is over."""
        with self._database.writing(durable=True) as connection:
            held = changes.holds(connection, lease)
            if held:
                changes.end_run(connection, lease.run, event)
        return held

    def heartbeat(self, lease: Lease) -> bool:
        """Note that the run's worker is alive. False if the lease is over: the worker should do nothing more."""
        with self._database.writing() as connection:
            held = changes.holds(connection, lease)
            if held:
                connection.execute("UPDATE runs SET heartbeat = ? WHERE id = ?", (time.time(), lease.run))
        return held

    def stop_requested(self, run: str) -> bool:
        return self.run(run).stopping

    # What becomes of runs whose worker is gone

    def release(self, worker: str) -> list[str]:
        """The worker has died: its run waits for another attempt, or has failed if that was the last; returns its id.

        A run that was asked to stop is stopped: nobody waits for more of it.
        """
        return self._release("worker = ?", (worker,))

    def release_expired(self, alive: Collection[str] = ()) -> list[str]:
        """`release` all whose worker has sent no heartbeat for a lease's time, but not those known to be alive."""
        where = f"heartbeat < ? AND worker NOT IN ({', '.join('?' * len(alive))})"
        return self._release(where, (time.time() - self.limits.lease_s, *alive))

    def hand_back(self, worker: str) -> list[str]:
        """The worker was ended in good order: its run waits for the next one, and no attempt is counted as lost."""
        with self._database.writing(durable=True) as connection:
            rows = connection.execute(
                "SELECT id FROM runs WHERE state = 'running' AND worker = ?", (worker,)
            ).fetchall()
            for (run,) in rows:
                changes.queue_again(connection, run)
        return [run for (run,) in rows]

    def fail_queued(self, runs: Collection[str], sentence: str) -> list[str]:
        """End those of the runs that are still queued as failed, because nobody can take them; returns their ids."""
        with self._database.writing(durable=True) as connection:
            query = f"SELECT id FROM runs WHERE state = 'queued' AND id IN ({', '.join('?' * len(runs))})"
            queued = [run for (run,) in connection.execute(query, tuple(runs))]
            for run in queued:
                changes.end_run(connection, run, Failed(sentence))
        return queued

    def _release(self, where: str, values: tuple[float | str, ...]) -> list[str]:
        query = f"SELECT id, stop, losses + 1 FROM runs WHERE state = 'running' AND {where} ORDER BY place"
        with self._database.reading() as connection:  # asked often, nearly always in vain
            if connection.execute(query, values).fetchone() is None:
                return []
        with self._database.writing(durable=True) as connection:
            lost = connection.execute(query, values).fetchall()
            for run, stop, losses in lost:
                connection.execute("UPDATE runs SET losses = ? WHERE id = ?", (losses, run))
                if stop:
                    changes.cut_short(connection, run, "its worker was lost while it was stopping")
                elif losses < self.limits.attempts:
                    changes.queue_again(connection, run)
                else:
                    changes.end_run(connection, run, Failed(_lost(losses)))
        return [run for run, _, _ in lost]

    def _change(self, run: str, column: str, value: str | bool) -> None:
        with self._database.writing(durable=True) as connection:
            if not connection.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", (value, run)).rowcount:
                raise unknown_run(run)

    def _state(self, connection: sqlite3.Connection, run: str) -> RunState:
        row = connection.execute("SELECT state FROM runs WHERE id = ?", (run,)).fetchone()
        if row is None:
            raise unknown_run(run)
        return row[0]


def _row(values: tuple[Any, ...]) -> RunRow:
    *plain, title, stop, pinned, private, attempt = values
    return RunRow(*plain, stopping=bool(stop), title=title, pinned=bool(pinned), attempt=attempt, private=bool(private))


def _lost(times: int) -> str:
    return (
        f"worker lost: {times} of {times} processes that carried the run out have ended before it was over, for which "
        "too little memory is the usual reason; choose a smaller model or a lower tuning.batch_size and start it again"
    )
