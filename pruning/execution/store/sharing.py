"""One computation for all who ask for the same run, each inside the caller's transaction.

Everybody has a run of their own, with its title and its right to be stopped, hidden and deleted. The first one's row
carries it out; the rows of the others follow it, and show its state, events and files. A row that others follow stays
for them when its person stops or deletes their run.
"""

import sqlite3
import time
from pathlib import Path

from pruning.execution.store.program import program_digest
from pruning.execution.store.reading import THERE

_SEEN = f"name = ? AND {THERE} AND (private = 0 OR session = ?)"
"""What others may not see does not stand for theirs."""


def one_to_share(connection: sqlite3.Connection, name: str, session: str, home: Path) -> tuple[str, bool] | None:
    """A run of the recipe of that name that need not be carried out twice, and whether it is the session's own.

    It waits or goes on, or this very program has finished it and its files are there. None if there is none.
    """
    query = (
        # one's own of a sweep that waits would come last: a single run that shares it has an earlier turn
        "SELECT id, carrier, session = ? AND NOT (sweep != '' AND state = 'queued') AS own "
        f"FROM shown WHERE {_SEEN} AND stop = 0 "
        "AND state IN ('queued', 'running', 'finished') ORDER BY own DESC, state = 'finished' DESC, place"
    )
    for run, carrier, own in connection.execute(query, (session, name, session)).fetchall():
        if _of_this_program(connection, carrier) and _files_are_there(connection, carrier, home):
            return (run, True) if own else (carrier, False)
    return None


def others_wait(connection: sqlite3.Connection, run: str) -> bool:
    """Whether the run's computation is wanted by others too."""
    query = (
        f"SELECT 1 FROM shown WHERE carrier = (SELECT carrier FROM runs WHERE id = ?) AND id != ? AND {THERE} "
        "AND state IN ('queued', 'running')"
    )
    return connection.execute(query, (run, run)).fetchone() is not None


def leave(connection: sqlite3.Connection, run: str) -> None:
    """The run is over for its person, with what it has by now; the computation goes on for the others."""
    query = (
        "UPDATE runs SET left_at = ?, left_seconds = work.seconds, "
        "left_events = (SELECT coalesce(max(seq), 0) FROM events WHERE events.run = work.id) "
        "FROM (SELECT id, CASE state WHEN 'running' THEN seconds END AS seconds FROM runs) AS work "
        "WHERE runs.id = ? AND work.id = runs.carrier"
    )
    connection.execute(query, (time.time(), run))


def forget(connection: sqlite3.Connection, run: str) -> str:
    """Delete a run that is over; returns the run whose files nobody shows any more, "" if they are still wanted."""
    (carrier,) = connection.execute("SELECT carrier FROM runs WHERE id = ?", (run,)).fetchone()
    query = "SELECT 1 FROM runs WHERE carrier = ? AND id != ? AND NOT gone"
    if connection.execute(query, (carrier, run)).fetchone() is not None:
        if run == carrier:
            connection.execute("UPDATE runs SET gone = 1, title = '' WHERE id = ?", (run,))
        else:
            connection.execute("DELETE FROM runs WHERE id = ?", (run,))
        return ""
    for table, column in (("events", "run"), ("artefacts", "run"), ("runs", "carrier")):
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (carrier,))
    return carrier


def _of_this_program(connection: sqlite3.Connection, carrier: str) -> bool:
    state, program = connection.execute("SELECT state, program FROM runs WHERE id = ?", (carrier,)).fetchone()
    return state == "queued" or program == program_digest()


def _files_are_there(connection: sqlite3.Connection, carrier: str, home: Path) -> bool:
    paths = connection.execute("SELECT path FROM artefacts WHERE run = ?", (carrier,)).fetchall()
    return all((home / "runs" / carrier / path).is_file() for (path,) in paths)
