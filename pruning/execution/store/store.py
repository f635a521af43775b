"""Runs, their events and their files, shared by the page's threads and the workers' processes."""

import os
import sqlite3
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pruning.errors import JobError, NoRoomError
from pruning.events import Event, Failed, Finished, Searching, TuningStep
from pruning.execution.settings import Limits
from pruning.execution.store import run_folders as folders
from pruning.execution.store import transitions as changes
from pruning.execution.store.database import Database
from pruning.execution.store.disk_room import DiskRoom
from pruning.execution.store.halvings import Halvings
from pruning.execution.store.ownership import unknown_run
from pruning.execution.store.reading import COLUMNS, event_of, row_of
from pruning.execution.store.records import Artefact, Lease, RunRow, RunState
from pruning.execution.store.silence import Silence
from pruning.execution.store.sweeps import Sweeps
from pruning.execution.store.wastebasket import Wastebasket

if TYPE_CHECKING:
    from pruning.recipe.recipe import Recipe

LONGEST_TITLE = 80
_MANY = ("tuning_step", "unit_sizes", "searching")


def default_home() -> Path:
    """Where runs are kept: PRUNING_HOME if it is set, else a folder in the person's home."""
    return Path(os.environ.get("PRUNING_HOME") or Path.home() / ".pruning-explorer")


class Store:
    """`home/store.sqlite` and the folders `home/runs/<id>/`. Any thread of any process may use it.

    A page queues runs, reads them and looks after them; a worker holds a lease of the run that it carries out, and only
    while it does can it write. A killed process loses nothing. A power cut loses at most the last training steps: all
    that a page was shown and every event that a checkpoint rests on is on the disk before the next thing happens.
    """

    def __init__(self, home: Path, limits: Limits | None = None, most_running: int | None = None) -> None:
        """`most_running` is how many runs of this home may be going on when another is claimed; None: any number."""
        self._most_running = most_running
        self.limits = limits or Limits.from_environment()
        self._database = Database(home)
        self.home = self._database.home
        self.path = self._database.path
        self.disk = DiskRoom(self.home, self.limits.disk_reserve_mb)
        self._silence = Silence(self.limits.lease_s)
        self._begun: dict[str, float] = {}  # when runs were claimed through this store, by this process's own clock
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

        JobError if the session has as many runs queued or running as it may have, not counting those of sweeps, or if
        the run cannot be over in the time that a run may take.
        """
        from pruning.recipe.recipe import to_json  # brings torch; see the package's docstring

        changes.require_possible(recipe, self.limits.run_hours)
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
        where = f"AND state IN ({_places(states)})" if states else ""
        query = f"SELECT {COLUMNS} FROM runs WHERE deleted IS NULL {where} ORDER BY pinned DESC, place DESC"
        with self._database.reading() as connection:
            rows = [row_of(values) for values in connection.execute(query, tuple(states))]
        words = search.casefold().split()
        if not words:
            return rows
        # not LIKE: it knows the cases of English letters only
        texts = [f"{row.id}\n{row.title}\n{row.recipe_json}".casefold() for row in rows]
        return [row for row, text in zip(rows, texts, strict=True) if all(word in text for word in words)]

    def run(self, run: str) -> RunRow:
        """One run. JobError if there is none of that id."""
        with self._database.reading() as connection:
            query = f"SELECT {COLUMNS} FROM runs WHERE id = ? AND deleted IS NULL"
            row = connection.execute(query, (run,)).fetchone()
        if row is None:
            raise unknown_run(run)
        return row_of(row)

    def events(self, run: str, after: int = 0) -> list[tuple[int, Event]]:
        """The run's events with their numbers, which count from 1; those after number `after`."""
        query = "SELECT seq, event FROM events WHERE run = ? AND seq > ? ORDER BY seq"
        with self._database.reading() as connection:
            rows = connection.execute(query, (run, after)).fetchall()
        return [(seq, event_of(text)) for seq, text in rows]

    def last_event(self, run: str) -> int:
        """The number of the run's latest event, 0 = it has none."""
        with self._database.reading() as connection:
            return connection.execute("SELECT coalesce(max(seq), 0) FROM events WHERE run = ?", (run,)).fetchone()[0]

    def milestones(self, run: str) -> list[Event]:
        """The run's events but for optimiser steps, sizes of units and cuts of a search, which are nearly all: what it
        came to.
        """
        # not json_extract: a score in a unit of its own may be infinite, which SQLite does not read
        others = " ".join(f"""AND event NOT LIKE '{{"kind": "{kind}"%'""" for kind in _MANY)
        query = f"SELECT event FROM events WHERE run = ? {others} ORDER BY seq"
        with self._database.reading() as connection:
            rows = connection.execute(query, (run,)).fetchall()
        return [event_of(text) for (text,) in rows]

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
        self.notice_strangers()
        with self._database.reading() as connection:
            strangers = {run for (run,) in connection.execute("SELECT run FROM strangers")}
        ours = [path for path in found if path.name not in strangers]
        folders.sweep(ours, {row.id for row in rows} | kept, {row.id for row in rows if not row.over})

    def notice_strangers(self) -> list[str]:
        """Folders of runs that this store has never had: it was emptied, or an older copy was put in its place.

        They are left alone, and no id of theirs is ever given again.
        """
        found = [path.name for path in folders.run_folders(self.home / "runs")]
        with self._database.writing(durable=True) as connection:
            changes.notice_strangers(connection, found)
        return self.strangers()

    def strangers(self) -> list[str]:
        """Those that were noticed and are there still."""
        with self._database.reading() as connection:
            noticed = [run for (run,) in connection.execute("SELECT run FROM strangers ORDER BY run")]
        return [run for run in noticed if self.folder(run).is_dir()]

    def shrink(self) -> None:
        """Give the room of deleted rows back to the disk; others wait meanwhile."""
        with self._database.reading() as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def begin_again(self) -> None:
        """After a backup was restored: what was going on when it was made waits for a worker."""
        with self._database.writing(durable=True) as connection:
            for (run,) in connection.execute("SELECT id FROM runs WHERE state = 'running'").fetchall():
                changes.queue_again(connection, run)
                if folders.shared_checkpoints():  # they are of later, and count events that are not there any more
                    folders.discard_checkpoints(self.folder(run))

    # What a worker does

    def has_work(self) -> bool:
        """Whether a run is queued and the disk takes what it will write, which is tried by writing."""
        with self._database.reading() as connection:  # idle workers ask often, and must not lock the file
            if connection.execute("SELECT 1 FROM runs WHERE state = 'queued' LIMIT 1").fetchone() is None:
                return False
            if self._all_running(connection):
                return False
        return not self.disk.look()

    def claim(self, worker: str) -> Lease | None:
        """Hand the next queued run to this worker; None if none can go on now. Nobody else has a lease of it then."""
        with self._database.writing(durable=True) as connection:
            if self._all_running(connection):
                return None
            query = "SELECT id FROM runs WHERE state = 'queued' AND needs > ?"
            too_large = {run for (run,) in connection.execute(query, (self.disk.free(),))}
            order = [run for run in changes.queue_order(connection) if run not in too_large]
            if not order:
                return None
            query = (
                "UPDATE runs SET state = 'running', worker = ?, started = ?, attempt = attempt + 1, beats = 0, "
                "sentence = '', ran = ran + seconds, seconds = 0, turn = (SELECT max(turn) + 1 FROM runs) "
                "WHERE id = ? RETURNING attempt"
            )
            (attempt,) = connection.execute(query, (worker, time.time(), order[0])).fetchone()
        self._begun[order[0]] = time.monotonic()
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
                self._tell_time(connection, lease)
                (why,) = connection.execute("SELECT sentence FROM runs WHERE id = ?", (lease.run,)).fetchone()
                stopped = isinstance(event, Finished) and event.stopped
                changes.end_run(connection, lease.run, event, why if stopped else "")
        return held

    def pause(self, lease: Lease) -> bool:
        """The disk does not take what the run writes: it goes on later, and no attempt is counted as lost.

        False if the lease is over. NoRoomError if not even this can be written, with the reserve given up.
        """
        try:
            return self._pause(lease)
        except NoRoomError:
            self.disk.give_up_reserve()
            return self._pause(lease)

    def paused(self, row: RunRow) -> str:
        """Why a run that is not over does not go on now, in a sentence; "" if it does, or waits for its turn only."""
        if row.over:
            return ""
        return self.disk.waiting_for(row.needs) if row.state == "queued" else self.disk.unwritable

    def heartbeat(self, lease: Lease) -> bool:
        """Note that the run's worker is alive. False if the lease is over: the worker should do nothing more."""
        with self._database.writing() as connection:
            held = changes.holds(connection, lease)
            if held:
                connection.execute("UPDATE runs SET beats = beats + 1 WHERE id = ?", (lease.run,))
                self._tell_time(connection, lease)
                changes.stop_if_too_long(connection, lease.run, self.limits.run_hours)
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
        """`release` all whose worker has sent no heartbeat for a lease's time, but not those known to be alive.

        A lease's time is what this store has looked on for: it has to be asked again and again.
        """
        query = f"SELECT id, worker, beats FROM runs WHERE state = 'running' AND worker NOT IN ({_places(alive)})"
        with self._database.reading() as connection:
            others = connection.execute(query, tuple(alive)).fetchall()
        silent = [sign for sign in others if self._silence.lasts(sign[0], sign)]
        return [run for sign in silent for run in self._release("id = ? AND worker = ? AND beats = ?", sign)]

    def hand_back(self, worker: str) -> list[str]:
        """The worker was ended in good order: its run waits for the next one, and no attempt is counted as lost."""
        with self._database.writing(durable=True) as connection:
            rows = connection.execute(
                "SELECT id FROM runs WHERE state = 'running' AND worker = ?", (worker,)
            ).fetchall()
            for (run,) in rows:
                changes.queue_again(connection, run)
        return [run for (run,) in rows]

    def fail_running(self, worker: str, sentence: str) -> None:
        """The worker was ended for what its run does: it would do so again."""
        with self._database.writing(durable=True) as connection:
            query = "SELECT id FROM runs WHERE state = 'running' AND worker = ?"
            for (run,) in connection.execute(query, (worker,)).fetchall():
                changes.end_run(connection, run, Failed(sentence))

    def fail_queued(self, runs: Collection[str], sentence: str) -> list[str]:
        """End those of the runs that are still queued as failed, because nobody can take them; returns their ids."""
        with self._database.writing(durable=True) as connection:
            query = f"SELECT id FROM runs WHERE state = 'queued' AND id IN ({_places(runs)})"
            queued = [run for (run,) in connection.execute(query, tuple(runs))]
            for run in queued:
                changes.end_run(connection, run, Failed(sentence))
        return queued

    def _pause(self, lease: Lease) -> bool:
        with self._database.writing(durable=True) as connection:
            held = changes.holds(connection, lease)
            if held:
                stop, needs = connection.execute("SELECT stop, needs FROM runs WHERE id = ?", (lease.run,)).fetchone()
                if stop:
                    changes.cut_short(connection, lease.run, "the disk was full while it was stopping")
                else:
                    changes.queue_again(connection, lease.run)
                    needs = self.disk.needed_by(self.folder(lease.run), needs)
                    connection.execute("UPDATE runs SET needs = ? WHERE id = ?", (needs, lease.run))
        return held

    def _all_running(self, connection: sqlite3.Connection) -> bool:
        (running,) = connection.execute("SELECT count(*) FROM runs WHERE state = 'running'").fetchone()
        return self._most_running is not None and running >= self._most_running

    def _tell_time(self, connection: sqlite3.Connection, lease: Lease) -> None:
        if lease.run in self._begun:
            seconds = time.monotonic() - self._begun[lease.run]
            connection.execute("UPDATE runs SET seconds = ? WHERE id = ?", (seconds, lease.run))

    def _release(self, where: str, values: tuple[Any, ...]) -> list[str]:
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


def _places(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _lost(times: int) -> str:
    return (
        f"worker lost: {times} of {times} processes that carried the run out have ended before it was over, for which "
        "too little memory is the usual reason; choose a smaller model or a lower tuning.batch_size and start it again"
    )
