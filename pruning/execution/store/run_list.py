"""The list of runs as a page asks for it again and again: which there are is cheap, and only what is drawn is read."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pruning.execution.store.database import Database
from pruning.execution.store.ownership import Who
from pruning.execution.store.reading import COLUMNS, THERE, marks, row_of
from pruning.execution.store.records import RunRow, RunState

_NO_LIMIT = -1


@dataclass(frozen=True)
class Wanted:
    """Which of the runs that are shown to somebody; every field narrows them down."""

    who: Who
    states: tuple[RunState, ...] = ()
    """() = all."""
    search: str = ""
    """Every word must occur in the run's id, title or recipe (as JSON), in whatever case."""
    mine: bool = False
    """Only their own."""


class RunList:
    """The runs of a store in the list's order: the pinned ones first, then the newest."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def found(self, wanted: Wanted, most: int) -> list[str]:
        """The ids of the runs, in their order; of the first `most`, which are found without looking at the others."""
        where, values = _narrowed(wanted)
        words = wanted.search.casefold().split()
        # a recipe is most of a row: it is read where somebody searches
        columns = "id, title, recipe" if words else "id"
        query = f"SELECT {columns} FROM shown WHERE {where} ORDER BY pinned DESC, place DESC LIMIT ?"
        with self._database.reading() as connection:
            rows = connection.execute(query, (*values, _NO_LIMIT if words else most)).fetchall()
        # not LIKE: it knows the cases of English letters only
        texts = ("\n".join(map(str, row)).casefold() for row in rows)
        found = [row[0] for row, text in zip(rows, texts, strict=True) if all(word in text for word in words)]
        return found[:most]

    def rows(self, runs: Sequence[str]) -> list[RunRow]:
        """These runs in this order, but for those that are there no longer."""
        query = f"SELECT {COLUMNS} FROM shown WHERE {THERE} AND id IN ({marks(runs)})"
        with self._database.reading() as connection:
            there = {row.id: row for row in map(row_of, connection.execute(query, tuple(runs)))}
        return [there[run] for run in runs if run in there]

    def of_recipes(self, names: Collection[str], who: Who) -> list[RunRow]:
        """All runs of the recipes of these names that are shown to somebody."""
        found: list[RunRow] = []
        where, values = _narrowed(Wanted(who))
        query = f"SELECT {COLUMNS} FROM shown WHERE {where} AND name = ? ORDER BY pinned DESC, place DESC"
        with self._database.reading() as connection:
            for name in dict.fromkeys(names):
                found += map(row_of, connection.execute(query, (*values, name)))
        return found

    def counts(self) -> dict[RunState, int]:
        """How many runs are in each state, also those that only their owners see."""
        query = f"SELECT state, count(*) FROM shown WHERE {THERE} GROUP BY state"
        with self._database.reading() as connection:
            return dict(connection.execute(query).fetchall())


def _narrowed(wanted: Wanted) -> tuple[str, list[str]]:
    """What a query asks after WHERE, and its values."""
    parts, values = [THERE], list[str]()
    if wanted.states:
        parts.append(f"state IN ({marks(wanted.states)})")
        values += wanted.states
    if wanted.states and "stopped" not in wanted.states:
        parts.append(f"work_state IN ({marks(wanted.states)})")  # which has an index
        values += wanted.states
    if not wanted.who.owner:
        parts.append("(private = 0 OR (session = ? AND session != ''))")  # as `ownership.may_see` says
        values.append(wanted.who.person)
    if wanted.mine:
        parts.append("session = ?")
        values.append(wanted.who.person)
    return " AND ".join(parts), values
