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
from pruning.execution.settings import Limits
from pruning.execution.store.disk_share import require_share
from pruning.execution.store.fair_order import Turn, fair_order
from pruning.execution.store.reading import THERE
from pruning.execution.store.records import Artefact, Lease, RunState

if TYPE_CHECKING:
    from pruning.recipe.recipe import Recipe


_FASTEST_STEP_S = 0.0002
"""No step of training takes less on any machine."""


def add_run(
    connection: sqlite3.Connection, name: str, recipe: str, session: str, sweep: str = "", follows: str = ""
) -> str:
    """A run of the recipe of that name, given as JSON; returns its id. It is queued, or `follows` one that carries it
    out.
    """
    query = "INSERT INTO numbers VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET number = number + 1 RETURNING number"
    (number,) = connection.execute(query, (name,)).fetchone()
    run = f"{name}-{number}"
    connection.execute(
        "INSERT INTO runs (id, name, number, recipe, session, sweep, follows, state, created) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run, name, number, recipe, session, sweep, follows, "follows" if follows else "queued", time.time()),
    )
    return run


def notice_strangers(connection: sqlite3.Connection, found: Collection[str]) -> None:
    """Note those of the runs with these folders whose numbers were never given, and give none up to theirs again."""
    given: dict[str, int] = dict(connection.execute("SELECT name, number FROM numbers").fetchall())
    highest: dict[str, int] = {}
    for run in found:
        name, _, number = run.rpartition("-")
        if int(number) > given.get(name, 0):
            connection.execute("INSERT OR IGNORE INTO strangers VALUES (?)", (run,))
            highest[name] = max(highest.get(name, 0), int(number))
    query = "INSERT INTO numbers VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET number = excluded.number"
    connection.executemany(query, highest.items())


def queue_missing(
    connection: sqlite3.Connection, recipes: Sequence["Recipe"], session: str, sweep: str, limits: Limits
) -> list[str]:
    """Queue those of the recipes that nobody has run, is running or has queued; returns the new runs' ids.

    JobError if the session would have more runs of sweeps waiting than it may, or one cannot be over in its time.
    """
    from pruning.recipe.recipe import to_json  # brings torch; see the package's docstring

    texts = {recipe.name: to_json(recipe) for recipe in recipes}
    query = (
        f"SELECT DISTINCT name FROM shown WHERE state IN ('queued', 'running', 'finished') AND {THERE} "
        "AND (private = 0 OR session = ?)"  # what others may not see does not stand for theirs
    )
    there = {found for (found,) in connection.execute(query, (session,))}
    query = "SELECT count(*) FROM shown WHERE session = ? AND sweep != '' AND state IN ('queued', 'running')"
    (live,) = connection.execute(query, (session,)).fetchone()
    new = [recipe for recipe in texts if recipe not in there]
    for recipe in recipes:
        require_possible(recipe, limits)
    if new:
        require_share(connection, session, limits.disk_per_person_mb)
    most = limits.sweep_runs
    if live + len(new) > most:
        raise JobError(
            f"{len(new)} runs would be queued, {live} of your sweeps' runs are waiting and {most} is the most "
            "at once; vary fewer values, or wait until some are over (PRUNING_SWEEP_RUNS sets the limit)"
        )
    return [add_run(connection, recipe, texts[recipe], session, sweep) for recipe in new]


def require_possible(recipe: "Recipe", limits: Limits) -> None:
    """JobError if the run's training takes longer than a run may, however small the network and fast the machine, or
    more steps than it may write down.
    """
    tuning, schedule = recipe.tuning, recipe.schedule
    images = tuning.images_per_epoch or 1
    steps = tuning.epochs * max(images // tuning.batch_size, 1)
    if not schedule.continuous:
        steps *= len(schedule.rounds_of(steps, 0.5))
    most = ""
    if steps * _FASTEST_STEP_S > limits.run_hours * 3600:
        most = f"take longer than {limits.run_hours:g} h here (PRUNING_RUN_HOURS)"
    elif steps > limits.run_events:
        most = f"write down more than {limits.run_events} here (PRUNING_RUN_EVENTS)"
    if most:
        raise JobError(
            f"the recipe asks for {steps} optimiser steps at least, and no run may {most}; "
            f"lower tuning.epochs ({tuning.epochs}) or the number of rounds"
        )


def stop_if_too_long(connection: sqlite3.Connection, run: str, limits: Limits) -> None:
    """Ask a run to end that has run, or written, for as long as it may: it keeps what it has, and its row says why."""
    query = "UPDATE runs SET stop = 1, sentence = ? WHERE id = ? AND stop = 0 AND ran + seconds > ?"
    why = f"a run may take {limits.run_hours:g} h here: what it has is kept (PRUNING_RUN_HOURS)"
    connection.execute(query, (why, run, limits.run_hours * 3600))
    query = (
        "UPDATE runs SET stop = 1, sentence = ? WHERE id = ? AND stop = 0 "
        "AND (SELECT max(seq) FROM events WHERE run = runs.id) >= ?"
    )
    why = f"a run may write {limits.run_events} events here: what it has is kept (PRUNING_RUN_EVENTS)"
    connection.execute(query, (why, run, limits.run_events))


def queue_order(connection: sqlite3.Connection, free: int) -> list[Turn]:
    """The turns in which queued runs will start, where so many bytes of the disk are free.

    Of one session, the runs of sweeps come last. A run that waits for more room takes nobody's turn, not even its
    session's.
    """
    query = (
        "SELECT id, session, carrier FROM shown WHERE work_state = 'queued' AND left_at IS NULL AND NOT gone "
        "AND needs <= ? ORDER BY sweep != '', place"
    )
    queued = [Turn(*values) for values in connection.execute(query, (free,))]
    last_start: dict[str, int] = dict(
        connection.execute("SELECT session, max(turn) FROM runs WHERE turn > 0 GROUP BY session")
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
        query = "UPDATE runs SET event_bytes = (SELECT coalesce(sum(length(event)), 0) FROM events WHERE run = :run)"
        connection.execute(f"{query} WHERE id = :run", {"run": lease.run})
        connection.execute("DELETE FROM artefacts WHERE run = ?", (lease.run,))


def add_events(connection: sqlite3.Connection, run: str, events: Collection[Event]) -> None:
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM events WHERE run = ?", (run,)).fetchone()
    rows = [(run, seq, json.dumps(event_to_dict(event))) for seq, event in enumerate(events, last + 1)]
    connection.executemany("INSERT INTO events (run, seq, event) VALUES (?, ?, ?)", rows)
    written = sum(len(text) for _, _, text in rows)
    connection.execute("UPDATE runs SET event_bytes = event_bytes + ? WHERE id = ?", (written, run))


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
    (seconds,) = connection.execute("SELECT ran + seconds FROM runs WHERE id = ?", (run,)).fetchone()
    (files,) = connection.execute("SELECT count(*) FROM artefacts WHERE run = ?", (run,)).fetchone()
    left = "the files it had written are kept" if files else "no file was written; what it had measured is kept"
    add_events(connection, run, [Warned(f"{why}: {left}")])
    end_run(connection, run, Finished(stopped=True, seconds=seconds), f"{why}: {left}")


def queue_again(connection: sqlite3.Connection, run: str) -> None:
    """As if it had not been started, with its old turn. Its events stay until the next attempt has one."""
    connection.execute("UPDATE runs SET state = 'queued', worker = '', started = NULL WHERE id = ?", (run,))
    connection.execute("UPDATE runs SET turn = 0 WHERE carrier = ?", (run,))


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
