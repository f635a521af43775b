"""Halvings in the store: what somebody asked for, which server looks after it, and what it came to so far."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pruning.errors import JobError
from pruning.execution.settings import Limits
from pruning.execution.store.database import Database
from pruning.execution.store.records import HalvingRow
from pruning.execution.store.silence import Silence
from pruning.execution.store.transitions import queue_missing

if TYPE_CHECKING:
    from pruning.recipe.recipe import Recipe

_COLUMNS = "name, title, halving, session, created, ends, state, sentence, ranking"
DRIVEN_S = 15.0
"""After so long without a sign of the server that looked after a halving another one takes it over."""
_FREE = 0  # `driven` counts the signs of life of the server that looks after the halving


class Halvings:
    """The halvings of a store. Their runs are queued as those of sweeps are, a few at a time."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits
        self._silence = Silence(DRIVEN_S)

    def open(self, name: str, halving_json: str, session: str, seconds: float) -> None:
        """Keep the halving under its name and let it go on for so long from now; one that is there goes on."""
        now = time.time()
        with self._database.writing(durable=True) as connection:
            connection.execute(
                "INSERT INTO halvings (name, halving, session, created, ends) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET state = 'open', sentence = '', ends = excluded.ends",
                (name, halving_json, session, now, now + seconds),
            )

    def all(self) -> list[HalvingRow]:
        """Every halving of this store, the newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM halvings ORDER BY place DESC").fetchall()
        return [HalvingRow(*values) for values in rows]

    def one(self, name: str) -> HalvingRow:
        """JobError if there is none of that name."""
        with self._database.reading() as connection:
            found = connection.execute(f"SELECT {_COLUMNS} FROM halvings WHERE name = ?", (name,)).fetchone()
        if found is None:
            raise JobError(f"there is no halving {name}; it was taken off the list")
        return HalvingRow(*found)

    def live(self, name: str) -> list[str]:
        """Ids of the runs that were queued for the halving and are not over."""
        query = "SELECT id FROM shown WHERE sweep = ? AND state IN ('queued', 'running') ORDER BY place"
        with self._database.reading() as connection:
            return [run for (run,) in connection.execute(query, (name,))]

    def drive(self, name: str, driver: str) -> bool:
        """Whether this server may look after the halving now: nobody else has done so of late."""
        with self._database.writing() as connection:
            query = "SELECT driver, driven FROM halvings WHERE name = ? AND state = 'open'"
            sign = connection.execute(query, (name,)).fetchone()
            if sign is None:
                return False
            if sign[0] != driver and sign[1] != _FREE and not self._silence.lasts(name, sign):
                return False
            connection.execute("UPDATE halvings SET driver = ?, driven = driven + 1 WHERE name = ?", (driver, name))
            return True

    def let_go(self, driver: str) -> None:
        """Another server may take over what this one looked after."""
        with self._database.writing() as connection:
            connection.execute("UPDATE halvings SET driven = ? WHERE driver = ?", (_FREE, driver))

    def queue(self, row: HalvingRow, recipes: Sequence["Recipe"]) -> list[str]:
        """Queue those of the recipes that nobody has run; returns the new runs' ids."""
        with self._database.writing(durable=True) as connection:
            return queue_missing(connection, recipes, row.session, row.name, self._limits)

    def keep(self, name: str, ranking_json: str) -> None:
        """Write down what the halving came to so far."""
        with self._database.writing() as connection:
            connection.execute("UPDATE halvings SET ranking = ? WHERE name = ?", (ranking_json, name))

    def end(self, name: str, state: Literal["over", "stopped", "failed"], sentence: str) -> None:
        """End a halving that is open, with a sentence that says why."""
        with self._database.writing(durable=True) as connection:
            connection.execute(
                "UPDATE halvings SET state = ?, sentence = ? WHERE name = ? AND state = 'open'", (state, sentence, name)
            )

    def rename(self, name: str, title: str) -> None:
        """Give the halving a title, "" = none."""
        with self._database.writing(durable=True) as connection:
            connection.execute("UPDATE halvings SET title = ? WHERE name = ?", (title.strip(), name))

    def forget(self, name: str) -> None:
        """Take the halving from the list; its runs stay. JobError while it is open."""
        if self.one(name).state == "open":
            raise JobError("the halving goes on; stop it first, then take it off the list")
        with self._database.writing(durable=True) as connection:
            connection.execute("DELETE FROM halvings WHERE name = ?", (name,))
