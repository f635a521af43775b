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
from pruning.execution.store import sharing
from pruning.execution.store import transitions as changes
from pruning.execution.store.database import Database
from pruning.execution.store.disk_room import DiskRoom
from pruning.execution.store.disk_share import DiskShare, disk_shares, require_share
from pruning.execution.store.halvings import Halvings
from pruning.execution.store.ownership import unknown_run
from pruning.execution.store.program import program_digest
from pruning.execution.store.reading import COLUMNS, THERE, event_of, row_of
from pruning.execution.store.records import Artefact, Lease, RunRow, RunState
from pruning.execution.store.silence import Silence
from pruning.execution.store.sweeps import Sweeps
from pruning.execution.store.wastebasket import Wastebasket

if TYPE_CHECKING:
    from pruning.recipe.recipe import Recipe

LONGEST_TITLE = 80
_MANY = ("tuning_step", "unit_sizes", "searching")
_EVENTS_OF = (
    "run = (SELECT carrier FROM runs WHERE id = :run) "
    "AND seq <= coalesce((SELECT left_events FROM runs WHERE id = :run), seq)"
)
"""The events that a run shows: those of who carries it out, up to where its person left them to others."""


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
        changes.require_possible(recipe, self.limits)
        with self._database.writing(durable=True) as connection:
            return self._add(connection, recipe, session)

    def share(self, recipe: "Recipe", session: str) -> str:
        """`create`, but what is carried out already is not once more: returns the session's run of the recipe if there
        is one, else a new run of theirs that shows what somebody else's comes to (`sharing.py`).
        """
        changes.require_possible(recipe, self.limits)
        with self._database.writing(durable=True) as connection:
            found = sharing.one_to_share(connection, recipe.name, session, self.home)
            if found is None:
                return self._add(connection, recipe, session)
            run, own = found
            return run if own else self._add(connection, recipe, session, follows=run)

    def sharers(self, row: RunRow) -> list[RunRow]:
        """The other runs that show the same computation, the oldest first."""
        query = f"SELECT {COLUMNS} FROM shown WHERE carrier = ? AND id != ? AND {THERE} ORDER BY place"
        with self._database.reading() as connection:
            return [row_of(values) for values in connection.execute(query, (row.carrier, row.id))]

    def runs(self, states: Collection[RunState] = (), search: str = "") -> list[RunRow]:
        """All runs, or those in one of the states; the pinned ones first, then the newest.

        Every word of `search` must occur in the run's id, title or recipe (as JSON), in whatever case.
        """
        where = f"AND state IN ({_places(states)})" if states else ""
        if states and "stopped" not in states:
            where += f" AND work_state IN ({_places(states)})"  # which has an index
        query = f"SELECT {COLUMNS} FROM shown WHERE {THERE} {where} ORDER BY pinned DESC, place DESC"
        values = (*states, *states)[: where.count("?")]
        with self._database.reading() as connection:
            rows = [row_of(found) for found in connection.execute(query, values)]
        words = search.casefold().split()
        if not words:
            return rows
        # not LIKE: it knows the cases of English letters only
        texts = [f"{row.id}\n{row.title}\n{row.recipe_json}".casefold() for row in rows]
        return [row for row, text in zip(rows, texts, strict=True) if all(word in text for word in words)]

    def run(self, run: str) -> RunRow:
        """One run. JobError if there is none of that id."""
        with self._database.reading() as connection:
            query = f"SELECT {COLUMNS} FROM shown WHERE id = ? AND {THERE}"
            row = connection.execute(query, (run,)).fetchone()
        if row is None:
            raise unknown_run(run)
        return row_of(row)

    def carried_out(self, run: str) -> RunRow:
        """The run as its worker knows it, who goes on where only others wait for it. JobError if there is none."""
        with self._database.reading() as connection:
            row = connection.execute(f"SELECT {COLUMNS} FROM shown WHERE id = ?", (run,)).fetchone()
        if row is None:
            raise unknown_run(run)
        return row_of(row)

    def events(self, run: str, after: int = 0) -> list[tuple[int, Event]]:
        """The run's events with their numbers, which count from 1; those after number `after`."""
        query = f"SELECT seq, event FROM events WHERE {_EVENTS_OF} AND seq > :after ORDER BY seq"
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
            return [turn.carrier for turn in changes.queue_order(connection, free)]

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
            state, _ = self._state(connection, run)
            if state in ("queued", "running"):
                raise JobError(f"run {run} is {state}; stop it first, then delete it")
            unwanted = sharing.forget(connection, run)
        if unwanted:
            folders.discard(self.folder(unwanted))  # a kill before this leaves a folder that `sweep` finds

    def only_of(self, runs: Collection[str]) -> list[str]:
        """The runs whose files nobody would show any more if these were deleted."""
        with self._database.reading() as connection:
            shown = connection.execute("SELECT carrier, id FROM runs WHERE NOT gone").fetchall()
        wanted = {carrier for carrier, run in shown if run not in runs}
        return sorted({carrier for carrier, run in shown if run in runs} - wanted)

    def request_stop(self, run: str) -> None:
        """Ask for the run to end early; a queued one ends at once, and so does one that others wait for too: it goes on
        for them. A run that is over stays as it is.
        """
        with self._database.writing(durable=True) as connection:
            state, carrier = self._state(connection, run)
            if state not in ("queued", "running"):
                return
            if sharing.others_wait(connection, run):
                sharing.leave(connection, run)
            elif state == "queued":
                changes.end_run(connection, carrier, Finished(stopped=True, seconds=0.0))
            else:
                connection.execute("UPDATE runs SET stop = 1 WHERE id = ?", (carrier,))

    def stop_waiting(self, session: str) -> int:
        """Take the session's queued runs out of the queue, those that others wait for too only for it; returns how many
        they were.
        """
        query = "SELECT id, carrier FROM shown WHERE session = ? AND state = 'queued' AND NOT gone"
        with self._database.writing(durable=True) as connection:
            waiting = connection.execute(query, (session,)).fetchall()
            for run, carrier in waiting:
                if sharing.others_wait(connection, run):
                    sharing.leave(connection, run)
                else:
                    changes.end_run(connection, carrier, Finished(stopped=True, seconds=0.0))
        return len(waiting)

    def end(self, run: str) -> str | None:
        """Stop the run at once, with what it has written by now; returns the worker that must now be ended, if any.

        None must where others wait for the same run.
        """
        with self._database.writing(durable=True) as connection:
            state, carrier = self._state(connection, run)
            if state not in ("queued", "running"):
                return None
            if sharing.others_wait(connection, run):
                sharing.leave(connection, run)
                return None
            if state == "queued":
                changes.end_run(connection, carrier, Finished(stopped=True, seconds=0.0))
                return None
            (worker,) = connection.execute("SELECT worker FROM runs WHERE id = ?", (carrier,)).fetchone()
            changes.cut_short(connection, carrier, "ended at once")
        return worker

    def sweep(self) -> None:
        """Delete what killed processes left: folders of deleted runs, checkpoints of runs that are over."""
        found = folders.run_folders(self.home / "runs")  # before the rows: a folder is made after its row
        self.notice_strangers()
        with self._database.reading() as connection:
            strangers = {run for (run,) in connection.execute("SELECT run FROM strangers")}
            states: dict[str, str] = dict(connection.execute("SELECT id, state FROM runs"))
        ours = [path for path in found if path.name not in strangers]
        folders.sweep(ours, states.keys(), {run for run, state in states.items() if state in ("queued", "running")})

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
            order = changes.queue_order(connection, self.disk.free())
            if not order:
                return None
            turn = order[0]
            query = (
                "UPDATE runs SET state = 'running', worker = ?, started = ?, attempt = attempt + 1, beats = 0, "
                "sentence = '', ran = ran + seconds, seconds = 0, program = ? WHERE id = ? RETURNING attempt"
            )
            values = (worker, time.time(), program_digest(), turn.carrier)
            (attempt,) = connection.execute(query, values).fetchone()
            query = "UPDATE runs SET turn = (SELECT max(turn) + 1 FROM runs) WHERE id = ?"
            connection.execute(query, (turn.run,))
        self._begun[turn.carrier] = time.monotonic()
        return Lease(turn.carrier, worker, attempt)

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
                changes.stop_if_too_long(connection, lease.run, self.limits)
        return held

    def stop_requested(self, run: str) -> bool:
        with self._database.reading() as connection:
            found = connection.execute("SELECT stop FROM runs WHERE id = ?", (run,)).fetchone()
        if found is None:
            raise unknown_run(run)
        return bool(found[0])

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
            query = f"UPDATE runs SET {column} = ? WHERE id = ? AND NOT gone"
            if not connection.execute(query, (value, run)).rowcount:
                raise unknown_run(run)

    def _add(self, connection: sqlite3.Connection, recipe: "Recipe", session: str, follows: str = "") -> str:
        from pruning.recipe.recipe import to_json  # brings torch; see the package's docstring

        query = "SELECT count(*) FROM shown WHERE session = ? AND sweep = '' AND state IN ('queued', 'running')"
        (live,) = connection.execute(query, (session,)).fetchone()
        if live >= (most := self.limits.runs_per_session):
            raise JobError(
                f"{live} of your runs are queued or running and {most} is the most at once; wait until one is "
                "over, or stop one"
            )
        require_share(connection, session, self.limits.disk_per_person_mb)
        return changes.add_run(connection, recipe.name, to_json(recipe), session, follows=follows)

    def _state(self, connection: sqlite3.Connection, run: str) -> tuple[RunState, str]:
        """As its person sees it, and the run that carries it out."""
        row = connection.execute("SELECT state, carrier FROM shown WHERE id = ? AND NOT gone", (run,)).fetchone()
        if row is None:
            raise unknown_run(run)
        return row


def _places(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _lost(times: int) -> str:
    return (
        f"worker lost: {times} of {times} processes that carried the run out have ended before it was over, for which "
        "too little memory is the usual reason; choose a smaller model or a lower tuning.batch_size and start it again"
    )
