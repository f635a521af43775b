"""What the tables of the page Server say: plain values of the store, the door and the workers, in words."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from pruning.errors import printable
from pruning.execution.ipc import WorkerKind
from pruning.execution.server_state import Question, ServerState, WorkerState
from pruning.execution.store.disk_share import DiskShare
from pruning.execution.store.ownership import shown_name
from pruning.execution.store.records import RunRow
from pruning.reporting.formatting import count, duration, si
from pruning.reporting.run_history import plain_recipe
from views.entrance.presence import Present
from views.server.components import BoardButton, BoardData, BoardHead, BoardRow
from views.shared.language import _
from views.shared.moments import reader_zone, when

NOW_S = 60.0
MOST = 200
KINDS: dict[WorkerKind, str] = {"calls": "sliders", "background": "background", "runs": "runs"}
"""What workers of a kind are for."""


def people(here: Sequence[Present], live: Sequence[RunRow], disk: Sequence[DiskShare], state: ServerState) -> BoardData:
    """Everybody who is here, or has runs: those with an open page first, by name, so that an update moves nobody."""
    present = {one.person: one for one in here}
    shares = {share.session: share for share in disk}
    asking = Counter(person for question in _asked(state) for person in question.people)
    everybody = dict.fromkeys([*present, *(row.session for row in live), *shares])
    rows = [_person(person, present.get(person), live, shares.get(person), asking[person]) for person in everybody]
    pages = {person: one.pages for person, one in present.items()}
    order = sorted(rows, key=lambda row: (not pages.get(row["id"]), row["cells"][0][0].casefold(), row["id"]))
    return {
        "label": _("people"),
        "heads": [
            _head(_("person"), 16), _head(_("pages open"), 9, True), _head(_("last heard"), 11, True),
            _head(_("runs going on"), 11, True), _head(_("waiting"), 8, True), _head(_("questions"), 9, True),
            _head(_("disk"), 11, True),
        ],
        "rows": order[:MOST],
        "empty": _("Nobody is here, and there is no run."),
    }  # fmt: skip


def _person(
    person: str, present: Present | None, live: Sequence[RunRow], share: DiskShare | None, asking: int
) -> BoardRow:
    mine = Counter(row.state for row in live if row.session == person)
    kept = (si(share.bytes, "B"), _("runs: {n}").format(n=count(share.runs))) if share else ("0", "")
    cells = [
        (name_of(person), ""),
        (str(present.pages) if present else "0", ""),
        (_heard(present.seen) if present else "", ""),
        (str(mine["running"]), ""),
        (str(mine["queued"]), ""),
        (str(asking), ""),
        kept,
    ]
    buttons = [
        _button(
            "stop_waiting", _("Stop waiting runs"), name_of(person),
            _("Takes their queued runs out of the queue. What runs goes on."),
            "" if mine["queued"] else _("No run of theirs waits."),
        ),
        _button(
            "end_questions", _("End questions"), name_of(person),
            _("Ends what their pages ask of workers; a page that asks again begins anew."),
            "" if asking else _("Their pages ask nothing."),
        ),
    ]  # fmt: skip
    return {"id": person, "cells": cells, "buttons": buttons}


def runs(live: Sequence[RunRow], order: Sequence[str], paused: Mapping[str, str]) -> BoardData:
    """What runs and what waits, in the order in which it starts; what several share is one row. `paused` says why."""
    places = {run: place for place, run in enumerate(order)}
    shared: dict[str, list[RunRow]] = {}
    for row in sorted(live, key=lambda row: row.created):
        shared.setdefault(row.carrier, []).append(row)
    first = sorted(
        shared.values(),
        key=lambda rows: (rows[0].state != "running", places.get(rows[0].carrier, len(order)), rows[0].created),
    )
    return {
        "label": _("runs"),
        "heads": [
            _head(_("run"), 22), _head(_("whose"), 18), _head(_("state"), 20), _head(_("since"), 14, True),
            _head(_("time used"), 12, True),
        ],
        "rows": [_run(rows, places, paused) for rows in first[:MOST]],
        "empty": _("No run goes on, and none waits."),
    }  # fmt: skip


def _run(rows: Sequence[RunRow], places: Mapping[str, int], paused: Mapping[str, str]) -> BoardRow:
    row = rows[0]
    name = printable(row.title) or row.id
    workload = str(plain_recipe(row.recipe_json).get("workload", ""))
    since = when(row.started or row.created, datetime.now(reader_zone()))
    used = row.ran + row.seconds
    cells = [
        (name, workload if name == row.id else f"{row.id} · {workload}"),
        (_whose(rows), ""),
        _state(row, places, paused.get(row.id, "")),
        (since, ""),
        (duration(used) if used else "", ""),
    ]
    stop = _button(
        "stop_run", _("Stop"), name, _("Ends after the current step and keeps what there is."),
        _("It is stopping.") if row.stopping else "",
    )  # fmt: skip
    end = _button(
        "end_run", _("End now"), name, _("Does not wait for the measurement: within 5 s, without a result."),
        "" if row.stopping else _("Stop it first."),
    )  # fmt: skip
    return {"id": row.id, "cells": cells, "buttons": [stop, end] if row.state == "running" else [stop]}


def _whose(rows: Sequence[RunRow]) -> str:
    """Those who share a run, the first of them by name."""
    names = list(dict.fromkeys(name_of(row.session) for row in sorted(rows, key=lambda row: row.created)))
    more = _(" and {n} more").format(n=len(names) - 3) if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _state(row: RunRow, places: Mapping[str, int], paused: str) -> tuple[str, str]:
    if paused:
        return _("paused"), paused
    if row.state == "running":
        return (_("stopping") if row.stopping else _("running")), ""
    place = places.get(row.carrier, 0)
    return _("queued"), _("{n} ahead of it").format(n=place) if place else _("next")


def workers(state: ServerState, live: Sequence[RunRow]) -> BoardData:
    """What each worker does, for whom and for how long, and what memory it takes."""
    known: dict[str, list[RunRow]] = {}
    for row in live:
        known.setdefault(row.carrier, []).append(row)
    return {
        "label": _("workers"),
        "heads": [
            _head(_("worker for"), 14), _head(_("does now"), 26), _head(_("whose"), 18), _head(_("for"), 12, True),
            _head(_("memory"), 16, True),
        ],
        "rows": [_worker(worker, known) for worker in state.workers],
        "empty": _("No worker has been started yet."),
    }  # fmt: skip


def _worker(worker: WorkerState, live: Mapping[str, Sequence[RunRow]]) -> BoardRow:
    doing, whose, seconds = _("starting") if worker.starting else _("idle"), "", ""
    if worker.question is not None:
        doing, whose = worker.question.what, names_of(worker.question.people)
        seconds = duration(worker.question.seconds)
    elif worker.run:
        doing = _("run {run}").format(run=worker.run)
        if rows := live.get(worker.run):
            whose, seconds = _whose(rows), duration(rows[0].seconds)
    memory = "" if worker.memory_bytes is None else si(worker.memory_bytes, "B")
    most = "" if worker.allowed_bytes is None else _("of {most}").format(most=si(worker.allowed_bytes, "B"))
    restart = _button(
        "restart_worker", _("Restart"), f"{_(KINDS[worker.kind])} {worker.worker[:6]}",
        _("For a worker that hangs: another takes its place, and its run goes on from the last checkpoint."),
    )  # fmt: skip
    cells = [(_(KINDS[worker.kind]), worker.worker[:6]), (doing, ""), (whose, ""), (seconds, ""), (memory, most)]
    return {"id": worker.worker, "cells": cells, "buttons": [restart]}


def questions(state: ServerState) -> BoardData:
    """What pages wait for, the oldest first. Whose they are can be ended in the table of people."""
    rows: list[BoardRow] = [
        {
            "id": f"{place}",
            "cells": [(one.what, ""), (names_of(one.people), ""), (duration(one.seconds), "")],
            "buttons": [],
        }
        for place, one in enumerate(state.questions[:MOST])
    ]
    return {
        "label": _("questions"),
        "heads": [_head(_("question"), 40), _head(_("whose"), 40), _head(_("asked for"), 20, True)],
        "rows": rows,
        "empty": _("No page waits for anything."),
    }


def _asked(state: ServerState) -> list[Question]:
    """All that people ask: what waits, and calls that a worker is at. What is gone on with in turns is among the first."""
    waiting = {(question.what, question.people) for question in state.questions}
    at = [worker.question for worker in state.workers if worker.question is not None]
    return [*state.questions, *(one for one in at if (one.what, one.people) not in waiting)]


def name_of(person: str) -> str:
    return printable(shown_name(person), 60) or _("nobody who is known")


def names_of(persons: Sequence[str]) -> str:
    return ", ".join(name_of(person) for person in persons)


def _heard(seen: float) -> str:
    return _("now") if time.time() - seen < NOW_S else when(seen, datetime.now(reader_zone()))


def _head(text: str, width: int, number: bool = False) -> BoardHead:
    return {"text": text, "number": number, "width": width}


def _button(action: str, text: str, of: str, words: str, off: str = "") -> BoardButton:
    return {"action": action, "text": text, "label": f"{text}: {of}", "help": words, "off": off}
