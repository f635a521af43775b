"""Runs that somebody deleted: out of every list, kept for a week, and put back until then."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from pruning.errors import JobError
from pruning.execution.store.database import Database
from pruning.execution.store.reading import THERE
from pruning.execution.store.sharing import forget

KEPT_S = 7 * 86_400.0
LOOK_S = 600.0


@dataclass(frozen=True)
class Waste:
    """A run in the wastebasket. Times are seconds since 1970."""

    id: str
    title: str
    session: str
    deleted: float

    @property
    def gone(self) -> float:
        """When it is deleted for good."""
        return self.deleted + KEPT_S


class Wastebasket:
    """The deleted runs of a store; `discard` deletes the files of one for good."""

    def __init__(self, database: Database, discard: Callable[[str], None]) -> None:
        self._database = database
        self._discard = discard
        self._looked = float("-inf")

    def throw(self, run: str) -> None:
        """Take a run out of every list. JobError if there is none, or it is queued or running."""
        with self._database.writing(durable=True) as connection:
            query = f"SELECT state FROM shown WHERE id = ? AND {THERE}"
            found = connection.execute(query, (run,)).fetchone()
            if found is None:
                raise JobError(f"there is no run {run} any more; it was deleted")
            if found[0] in ("queued", "running"):
                raise JobError(f"run {run} is {found[0]}; stop it first, then delete it")
            connection.execute("UPDATE runs SET deleted = ? WHERE id = ?", (time.time(), run))

    def put_back(self, run: str) -> None:
        """Make it a run like others again. JobError if it is not in the wastebasket."""
        with self._database.writing(durable=True) as connection:
            query = "UPDATE runs SET deleted = NULL WHERE id = ? AND deleted IS NOT NULL AND NOT gone"
            if not connection.execute(query, (run,)).rowcount:
                raise _not_there(run)

    def empty(self, run: str) -> None:
        """Delete a run in the wastebasket for good. JobError if it is not there."""
        with self._database.writing(durable=True) as connection:
            query = "SELECT 1 FROM runs WHERE id = ? AND deleted IS NOT NULL AND NOT gone"
            if connection.execute(query, (run,)).fetchone() is None:
                raise _not_there(run)
            unwanted = forget(connection, run)
        if unwanted:
            self._discard(unwanted)  # a kill before this leaves a folder that the store's `sweep` finds

    def all(self) -> list[Waste]:
        """What is in there, the latest first."""
        query = (
            "SELECT id, title, session, deleted FROM runs WHERE deleted IS NOT NULL AND NOT gone ORDER BY deleted DESC"
        )
        with self._database.reading() as connection:
            return [Waste(*values) for values in connection.execute(query)]

    def one(self, run: str) -> Waste:
        """JobError if it is not there."""
        for waste in self.all():
            if waste.id == run:
                return waste
        raise _not_there(run)

    def look(self) -> None:
        """Delete for good what has been in there for a week. May be called often: it looks every ten minutes."""
        if time.monotonic() - self._looked < LOOK_S:
            return
        self._looked = time.monotonic()
        for waste in self.all():
            if waste.gone <= time.time():
                self.empty(waste.id)


def _not_there(run: str) -> JobError:
    return JobError(f"run {run} is not in the wastebasket; it was put back, or deleted for good")
