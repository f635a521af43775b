"""The queue in words: a run's place and about how long until it starts."""

import streamlit as st

from pruning.errors import PruningError
from pruning.execution.store.records import RunRow
from pruning.reporting.formatting import duration
from pruning.reporting.run_history import plain_recipe, typical_s, until_start_s
from pruning.reporting.run_progress import progress
from views.shared.language import _
from views.shared.run_events import events_of
from views.shared.server import backend

RECENT = 50  # finished runs from which the time until a run starts is estimated


def waiting(row: RunRow) -> str:
    """`next in the queue, starts in about 40 s`; of a run that lost its worker, that it will go on."""
    if why := backend().store.paused(row):
        return _("paused: {why}").format(why=why)
    try:
        order = backend().store.queue()
        place = order.index(row.id) if row.id in order else 0
        seconds = _until_start(order[:place])
    except PruningError:  # it was deleted or taken out of the queue meanwhile
        return _("waiting for the worker")
    words = _("next in the queue") if place == 0 else _("{n} ahead of it in the queue").format(n=place)
    if seconds is not None and seconds < 1:
        words += _(", starts in a moment")
    elif seconds is not None:
        words += _(", starts in about {time}").format(time=duration(seconds))
    return _("its worker was lost, it goes on: {words}").format(words=words) if row.attempt else words


@st.cache_data(ttl=10, show_spinner=False)
def _past() -> list[tuple[str, float]]:
    """Workload and seconds of the latest finished runs; the same for all sessions, and asked for every row."""
    rows = backend().store.runs(("finished",))[:RECENT]
    return [(_workload(row), row.seconds) for row in rows]


def _until_start(before: list[str]) -> float | None:
    """Seconds until the runs `before` it are done, from what the running ones have left and from runs like those."""
    live = backend().store.runs(("queued", "running"))
    past = list(_past())
    left: list[float] = []
    for row in live:
        if row.state != "running":
            continue
        at = progress(events_of(row), row.seconds)
        likely = typical_s(past, _workload(row))
        if at.seconds_left is not None:
            past.append((_workload(row), row.seconds + at.seconds_left))
            left.append(at.seconds_left)
        elif likely is not None:
            left.append(max(likely - row.seconds, 0.0))
        else:
            return None
    ahead: list[float] = []
    for row in live:
        if row.id in before:
            likely = typical_s(past, _workload(row))
            if likely is None:
                return None
            ahead.append(likely)
    return until_start_s(left, ahead)


def _workload(row: RunRow) -> str:
    return str(plain_recipe(row.recipe_json).get("workload", ""))
