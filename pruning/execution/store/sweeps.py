"""Sweeps in the store: a grid that somebody queued, and its runs, which give way to their session's other ones."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pruning.errors import JobError
from pruning.execution.settings import Limits
from pruning.execution.store.database import Database
from pruning.execution.store.records import SweepRow
from pruning.execution.store.transitions import queue_missing

if TYPE_CHECKING:
    from pruning.recipe.recipe import Recipe

_COLUMNS = "name, title, grid, created, session"


class Sweeps:
    """The sweeps of a store. Their runs are found by their recipes' names, whoever queued them."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits

    def queue(self, name: str, grid_json: str, recipes: Sequence["Recipe"], session: str) -> list[str]:
        """Keep the grid under its name and queue those of its recipes that nobody has run; returns the new runs' ids.

        A recipe with a run that is finished, running or queued is not run again; one whose runs failed or were stopped
        is. All or none are queued: JobError if the session would have more runs of sweeps waiting than it may have.
        """
        with self._database.writing(durable=True) as connection:
            new = queue_missing(connection, recipes, session, name, self._limits)
            connection.execute(
                "INSERT INTO sweeps (name, grid, created, session) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
                (name, grid_json, time.time(), session),
            )
        return new

    def all(self) -> list[SweepRow]:
        """Every sweep that was queued on this store, the newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM sweeps ORDER BY place DESC").fetchall()
        return [SweepRow(*values) for values in rows]

    def one(self, name: str) -> SweepRow:
        """JobError if there is none of that name."""
        with self._database.reading() as connection:
            found = connection.execute(f"SELECT {_COLUMNS} FROM sweeps WHERE name = ?", (name,)).fetchone()
        if found is None:
            raise JobError(f"there is no experiment {name}; it was taken off the list")
        return SweepRow(*found)

    def queued(self, name: str) -> list[str]:
        """Ids of the runs that were queued for the sweep and still wait."""
        query = "SELECT id FROM shown WHERE sweep = ? AND state = 'queued' ORDER BY place"
        with self._database.reading() as connection:
            return [run for (run,) in connection.execute(query, (name,))]

    def rename(self, name: str, title: str) -> None:
        """Give the sweep a title, "" = none."""
        with self._database.writing(durable=True) as connection:
            connection.execute("UPDATE sweeps SET title = ? WHERE name = ?", (title.strip(), name))

    def forget(self, name: str) -> None:
        """Take the sweep from the list; its runs stay."""
        with self._database.writing(durable=True) as connection:
            connection.execute("DELETE FROM sweeps WHERE name = ?", (name,))
