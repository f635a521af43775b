"""What a worker does in the store while it carries a run out, and what becomes of the run when the worker is gone."""

import sqlite3
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pruning.errors import JobError, NoRoomError
from pruning.events import Event, Failed, Finished, Searching, TuningStep
from pruning.execution.settings import Limits
from pruning.execution.store import transitions as changes
from pruning.execution.store.database import Database
from pruning.execution.store.disk_room import DiskRoom
from pruning.execution.store.ownership import unknown_run
from pruning.execution.store.program import program_digest
from pruning.execution.store.reading import COLUMNS, marks, row_of
from pruning.execution.store.records import Lease, RunRow
from pruning.execution.store.run_folders import run_folder
from pruning.execution.store.silence import Silence


class Leases:
    """The leases of a store's runs: only who holds one writes. A `RunStore` for workers that reach the store's file."""

    def __init__(self, database: Database, limits: Limits, disk: DiskRoom, most_running: int | None) -> None:
        self._database = database
        self._limits = limits
        self._disk = disk
        self._most_running = most_running
        self._silence = Silence(limits.lease_s)
        self._begun: dict[str, float] = {}  # when runs were claimed here, by this process's own clock

    def folder(self, run: str) -> Path:
        """Where the run's artefacts are; made by whoever writes there first."""
        return run_folder(self._database.home, run)

    def has_work(self) -> bool:
        """Whether a run is queued and the disk takes what it will write, which is tried by writing."""
        with self._database.reading() as connection:  # idle workers ask often, and must not lock the file
            if connection.execute("SELECT 1 FROM runs WHERE state = 'queued' LIMIT 1").fetchone() is None:
                return False
            if self._all_running(connection):
                return False
        return not self._disk.look()

    def claim(self, worker: str) -> Lease | None:
        """Hand the next queued run to this worker; None if none can go on now. Nobody else has a lease of it then."""
        with self._database.writing(durable=True) as connection:
            if self._all_running(connection):
                return None
            order = changes.queue_order(connection, self._disk.free())
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

    def carried_out(self, run: str) -> RunRow:
        """The run as its worker knows it, who goes on where only others wait for it. JobError if there is none."""
        with self._database.reading() as connection:
            row = connection.execute(f"SELECT {COLUMNS} FROM shown WHERE id = ?", (run,)).fetchone()
        if row is None:
            raise unknown_run(run)
        return row_of(row)

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
            self._disk.give_up_reserve()
            return self._pause(lease)

    def heartbeat(self, lease: Lease) -> bool:
        """Note that the run's worker is alive. False if the lease is over: the worker should do nothing more."""
        with self._database.writing() as connection:
            held = changes.holds(connection, lease)
            if held:
                connection.execute("UPDATE runs SET beats = beats + 1 WHERE id = ?", (lease.run,))
                self._tell_time(connection, lease)
                changes.stop_if_too_long(connection, lease.run, self._limits)
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
        query = f"SELECT id, worker, beats FROM runs WHERE state = 'running' AND worker NOT IN ({marks(alive)})"
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
            query = f"SELECT id FROM runs WHERE state = 'queued' AND id IN ({marks(runs)})"
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
                    needs = self._disk.needed_by(self.folder(lease.run), needs)
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
                elif losses < self._limits.attempts:
                    changes.queue_again(connection, run)
                else:
                    changes.end_run(connection, run, Failed(_lost(losses)))
        return [run for run, _, _ in lost]


def _lost(times: int) -> str:
    return (
        f"worker lost: {times} of {times} processes that carried the run out have ended before it was over, for which "
        "too little memory is the usual reason; choose a smaller model or a lower tuning.batch_size and start it again"
    )
