"""Runs, their events and their files, shared by the page's threads and the workers' processes."""

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from pruning.errors import JobError
from pruning.events import Finished
from pruning.execution.settings import Limits
from pruning.execution.store import run_folders as folders
from pruning.execution.store import sharing
from pruning.execution.store import transitions as changes
from pruning.execution.store.database import Database
from pruning.execution.store.disk_room import DiskRoom
from pruning.execution.store.disk_share import require_share
from pruning.execution.store.halvings import Halvings
from pruning.execution.store.leases import Leases
from pruning.execution.store.ownership import unknown_run
from pruning.execution.store.records import RunState
from pruning.execution.store.shown_runs import ShownRuns
from pruning.execution.store.sweeps import Sweeps
from pruning.execution.store.upkeep import Upkeep
from pruning.execution.store.wastebasket import Wastebasket

if TYPE_CHECKING:
    from pruning.recipe.recipe import Recipe

LONGEST_TITLE = 80


def default_home() -> Path:
    """Where runs are kept: PRUNING_HOME if it is set, else a folder in the person's home."""
    return Path(os.environ.get("PRUNING_HOME") or Path.home() / ".pruning-explorer")


class Store(ShownRuns):
    """`home/store.sqlite` and the folders `home/runs/<id>/`. Any thread of any process may use it.

    A page queues runs, reads them and looks after them; a worker holds one of the `leases`, for the run that it carries
    out, and only while it does can it write. A killed process loses nothing. A power cut loses at most the last
    training steps: all that a page was shown and every event that a checkpoint rests on is on the disk before the next
    thing happens.
    """

    def __init__(self, home: Path, limits: Limits | None = None, most_running: int | None = None) -> None:
        """`most_running` is how many runs of this home may be going on when another is claimed; None: any number."""
        self.limits = limits or Limits.from_environment()
        database = Database(home)
        super().__init__(database, DiskRoom(database.home, self.limits.disk_reserve_mb))
        self.path = database.path
        self.leases = Leases(database, self.limits, self.disk, most_running)
        self.upkeep = Upkeep(database)
        self.sweeps = Sweeps(database, self.limits)
        self.halvings = Halvings(database, self.limits)
        self.wastebasket = Wastebasket(database, lambda run: folders.discard(self.folder(run)))

    def close(self) -> None:
        """Close this process's connections. The store can be used again afterwards."""
        self._database.close()

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
