"""The queue in words: a run's place and about how long until it starts."""

import streamlit as st

from pruning.errors import PruningError
from pruning.execution.store.ownership import Who
from pruning.execution.store.records import RunRow
from pruning.execution.store.run_list import Wanted
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
        place = order.index(row.carrier) if row.carrier in order else 0
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
    runs = backend().store.list
    found = runs.found(Wanted(Who("", owner=True), ("finished",)), RECENT)
    return [(_workload(row), row.seconds) for row in runs.rows(found)]


def _until_start(before: list[str]) -> float | None:
    """Seconds until the runs `before` it are done, from what the running ones have left and from runs like those.

    None where that is not known of one of them: nothing like it has been over, or it takes longer than any did.
    """
    # what several share is carried out once, also where whoever asked for it first has left it to the others
    live = {row.carrier: row for row in backend().store.runs(("queued", "running"))}
    past = list(_past())
    left: list[float] = []
    for row in (row for row in live.values() if row.state == "running"):
        seconds = _left(row, past)
        if seconds is None:
            return None
        past.append((_workload(row), row.seconds + seconds))
        left.append(seconds)
    ahead = [typical_s(past, _workload(live[run])) for run in before if run in live]
    known = [seconds for seconds in ahead if seconds is not None]
    return until_start_s(left, known, backend().store.limits.run_workers) if len(known) == len(ahead) else None


def _left(row: RunRow, past: list[tuple[str, float]]) -> float | None:
    """Seconds until the running run is over, by its own pace or by that of its like; None where neither says."""
    if row.stopping:  # it measures what it has, for however long that takes
        return None
    at = progress(events_of(row), row.seconds)
    if at.seconds_left is not None:
        return at.seconds_left
    likely = typical_s(past, _workload(row))
    return likely - row.seconds if likely is not None and likely > row.seconds else None


def _workload(row: RunRow) -> str:
    return str(plain_recipe(row.recipe_json).get("workload", ""))
