"""The events of runs: read from the store once, then only those that are new."""

from collections.abc import Collection, Sequence
from functools import lru_cache

from pruning.errors import PruningError, printable
from pruning.events import Event, TuningStep
from pruning.execution.store.ownership import may_see, unknown_run
from pruning.execution.store.records import RunRow, RunState
from pruning.execution.store.run_list import Wanted
from pruning.reporting.run_history import Summary, summary
from views.shared.person import who
from views.shared.server import backend
from views.shared.state import KeptEvents, shared_state

MOST_KEPT = 8  # runs whose events a session keeps
MOST_STEPS = 4000  # of a run, in a session
MOST_ENDED = 2000  # runs whose milestones the server keeps


def name_of(row: RunRow) -> str:
    """What the run is called: its title, else its id."""
    return printable(row.title) or row.id


def row_of(run: str) -> RunRow | None:
    """The run, or None where there is none of that id (any more), or another's that is private."""
    try:
        return run_seen(run)
    except PruningError:
        return None


def run_seen(run: str) -> RunRow:
    """The run. JobError if there is none of that id, or another's that is private: which of the two is not said."""
    row = backend().store.run(run)
    if not may_see(row, who()):
        raise unknown_run(run)
    return row


def runs_found(most: int, states: tuple[RunState, ...] = (), search: str = "", mine: bool = False) -> list[str]:
    """The ids of the first so many runs, without those that others keep to themselves; `rows_of` reads what is drawn."""
    return backend().store.list.found(Wanted(who(), states, search, mine), most)


def any_run(states: tuple[RunState, ...] = ()) -> bool:
    """Whether there is a run, in one of the states, that others do not keep to themselves."""
    return bool(runs_found(1, states))


def rows_of(runs: Sequence[str]) -> list[RunRow]:
    """What the store knows of runs that were found."""
    return backend().store.list.rows(runs)


def rows_of_recipes(names: Collection[str]) -> list[RunRow]:
    """All runs of the recipes of these names, but for those that others keep to themselves."""
    return backend().store.list.of_recipes(names, who())


def events_of(row: RunRow) -> list[Event]:
    """The run's events so far. What this session has read once is kept, so that a poll reads only what is new.

    A further attempt goes on from a checkpoint: what came after it is done again, so its events are read anew. Of a long
    run's optimiser steps every second is left out, and then every second again: a curve shows no more.
    """
    store, all_kept = backend().store, shared_state().events
    key = (row.id, row.attempt)
    kept = all_kept.pop(key, None) or KeptEvents(every=_stride(store.last_event(row.id)))
    numbered = [*kept.numbered, *store.events_thinned(row.id, kept.last, kept.every)]
    last, every = numbered[-1][0] if numbered else 0, kept.every
    while sum(isinstance(event, TuningStep) for _, event in numbered) > MOST_STEPS:
        every *= 2
        numbered = [one for one in numbered if one[0] % every == 0 or not isinstance(one[1], TuningStep)]
    all_kept[key] = KeptEvents(numbered, max(last, kept.last), every)  # at the end: what was asked for last
    for old in list(all_kept)[:-MOST_KEPT]:
        del all_kept[old]
    return [event for _, event in numbered]


def _stride(events: int) -> int:
    """How far apart steps are read of a run with so many events: a power of two."""
    every = 1
    while events // every > MOST_STEPS:
        every *= 2
    return every


def milestones_of(row: RunRow) -> tuple[Event, ...]:
    """The run's events but for optimiser steps. Those of a run that is over are read once for all sessions."""
    if row.over:
        return _of_ended(str(backend().store.home), row.id)
    return tuple(backend().store.milestones(row.id))


def summary_of(row: RunRow) -> Summary:
    """What the run came to by now."""
    return summary(milestones_of(row))


@lru_cache(maxsize=MOST_ENDED)
def _of_ended(home: str, run: str) -> tuple[Event, ...]:
    """No id is given twice in one home, and a run that is over stays as it is."""
    return tuple(backend().store.milestones(run))
