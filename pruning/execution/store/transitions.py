"""What can happen to a run in the store, each inside the caller's transaction: nobody sees the half of it."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pruning.errors import JobError
from pruning.events import Event, Exported, Failed, Finished, Resumed, Warned, event_to_dict
from pruning.execution.store.fair_order import fair_order
from pruning.execution.store.records import Artefact, Lease, RunState

if TYPE_CHECKING:
    from pruning.recipe.recipe import Recipe


def add_run(connection: sqlite3.Connection, name: str, recipe: str, session: str, sweep: str = "") -> str:
    """Queue a run of the recipe of that name, given as JSON, and return its id."""
    query = "INSERT INTO numbers VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET number = number + 1 RETURNING number"
    (number,) = connection.execute(query, (name,)).fetchone()
    run = f"{name}-{number}"
    connection.execute(
        "INSERT INTO runs (id, name, number, recipe, session, sweep, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (run, name, number, recipe, session, sweep, time.time()),
    )
    return run


def queue_missing(
    connection: sqlite3.Connection, recipes: Sequence["Recipe"], session: str, sweep: str, most: int
) -> list[str]:
    """Queue those of the recipes that nobody has run, is running or has queued; returns the new runs' ids.

    JobError if the session would have more than `most` runs of sweeps waiting.
    """
    from pruning.recipe.recipe import to_json  # brings torch; see the package's docstring

    texts = {recipe.name: to_json(recipe) for recipe in recipes}
    query = (
        "SELECT DISTINCT name FROM runs WHERE state IN ('queued', 'running', 'finished') AND deleted IS NULL "
        "AND (private = 0 OR session = ?)"  # what others may not see does not stand for theirs
    )
    there = {found for (found,) in connection.execute(query, (session,))}
    query = "SELECT count(*) FROM runs WHERE session = ? AND sweep != '' AND state IN ('queued', 'running')"
    (live,) = connection.execute(query, (session,)).fetchone()
    new = [recipe for recipe in texts if recipe not in there]
    if live + len(new) > most:
        raise JobError(
            f"{len(new)} runs would be queued, {live} of your sweeps' runs are waiting and {most} is the most "
            "at once; vary fewer values, or wait until some are over (PRUNING_SWEEP_RUNS sets the limit)"
        )
    return [add_run(connection, recipe, texts[recipe], session, sweep) for recipe in new]


def queue_order(connection: sqlite3.Connection) -> list[str]:
    """The queued runs in the order in which they will be started. Of one session, the runs of sweeps come last."""
    queued: list[tuple[str, str]] = connection.execute(
        "SELECT id, session FROM runs WHERE state = 'queued' ORDER BY sweep != '', place"
    ).fetchall()
    last_start: dict[str, float] = dict(
        connection.execute("SELECT session, max(started) FROM runs WHERE started IS NOT NULL GROUP BY session")
    )
    return fair_order(queued, last_start)


def holds(connection: sqlite3.Connection, lease: Lease) -> bool:
    """Whether the run is still this worker's and this attempt's."""
    query = "SELECT 1 FROM runs WHERE id = ? AND state = 'running' AND worker = ? AND attempt = ?"
    return connection.execute(query, (lease.run, lease.worker, lease.attempt)).fetchone() is not None


def begin_attempt(connection: sqlite3.Connection, lease: Lease, first: Event) -> None:
    """Before the attempt's first event: delete the events of earlier attempts that this one makes again."""
    query = "UPDATE runs SET told = attempt WHERE id = ? AND told < attempt"
    if connection.execute(query, (lease.run,)).rowcount:
        true_still = first.events if isinstance(first, Resumed) else 0
        connection.execute("DELETE FROM events WHERE run = ? AND seq > ?", (lease.run, true_still))
        connection.execute("DELETE FROM artefacts WHERE run = ?", (lease.run,))


def add_events(connection: sqlite3.Connection, run: str, events: Collection[Event]) -> None:
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events WHERE run = ?", (run,)).fetchone()
    rows = [(run, seq, json.dumps(event_to_dict(event))) for seq, event in enumerate(events, last + 1)]
    connection.executemany("INSERT INTO events (run, seq, event) VALUES (?, ?, ?)", rows)


def add_artefacts(connection: sqlite3.Connection, run: str, files: Collection[Artefact]) -> None:
    rows = [(run, file.kind, str(file.path), file.bytes, file.sha256) for file in files]
    connection.executemany("INSERT OR REPLACE INTO artefacts VALUES (?, ?, ?, ?, ?)", rows)


def end_run(connection: sqlite3.Connection, run: str, event: Finished | Failed, sentence: str = "") -> None:
    """The last event and the state it means. The run is queued or running."""
    failed = isinstance(event, Failed)
    state: RunState = "failed" if failed else "stopped" if event.stopped else "finished"
    connection.execute(
        "UPDATE runs SET state = ?, sentence = ?, finished = ? WHERE id = ?",
        (state, event.sentence if failed else sentence, time.time(), run),
    )
    add_events(connection, run, [event])


def cut_short(connection: sqlite3.Connection, run: str, why: str) -> None:
    """End a running run as stopped, with a sentence that says what is left of it."""
    (started,) = connection.execute("SELECT started FROM runs WHERE id = ?", (run,)).fetchone()
    (files,) = connection.execute("SELECT count(*) FROM artefacts WHERE run = ?", (run,)).fetchone()
    left = "the files it had written are kept" if files else "no file was written; what it had measured is kept"
    add_events(connection, run, [Warned(f"{why}: {left}")])
    end_run(connection, run, Finished(stopped=True, seconds=max(time.time() - started, 0.0)), f"{why}: {left}")


def queue_again(connection: sqlite3.Connection, run: str) -> None:
    """As if it had not been started, with its old turn. Its events stay until the next attempt has one."""
    connection.execute(
        "UPDATE runs SET state = 'queued', worker = '', started = NULL, heartbeat = NULL WHERE id = ?", (run,)
    )


def files_of(folder: Path, events: Sequence[Event]) -> list[Artefact]:
    """The files that the events speak of, those within the run's folder relative to it; those elsewhere may be gone."""
    exported = {
        kind: Path(path) for event in events if isinstance(event, Exported) for kind, path in event.artefacts.items()
    }
    found: list[Artefact] = []
    for kind, path in exported.items():
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            shown = path.relative_to(folder) if path.is_relative_to(folder) else path
            found.append(Artefact(kind, shown, path.stat().st_size, digest))
    return found
