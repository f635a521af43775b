"""Who looks after open halvings: reads what runs came to, lets settings go on or stop, and queues the next runs."""

import logging
import math
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from statistics import median
from typing import TYPE_CHECKING

from pruning.errors import JobError, PruningError
from pruning.execution.store.records import HalvingRow, RunRow
from pruning.execution.store.store import Store
from pruning.execution.sweep_progress import planned_runs, trial_of

if TYPE_CHECKING:
    from pruning.halving.contest import Contest, Outcome
    from pruning.recipe.recipe import Recipe

log = logging.getLogger(__name__)

FOLDER = "halvings"


class HalvingDriver:
    """Every look takes each open halving a step further. Runs are started and ended by whoever made the driver."""

    def __init__(self, store: Store, started: Callable[[str], None], end: Callable[[str], None], at_once: int) -> None:
        self._store = store
        self._started = started
        self._end = end
        self._at_once = at_once
        self._name = uuid.uuid4().hex
        self._contests: dict[str, Contest] = {}
        self._lock = threading.Lock()  # a page may stop what the watching thread is at

    def look(self) -> None:
        """Take every open halving a step further, but those that another server looks after."""
        for row in self._store.halvings.all():
            if row.state != "open":
                self._contests.pop(row.name, None)
            elif self._store.halvings.drive(row.name, self._name):
                try:
                    with self._lock:
                        self._step(row)
                except PruningError as error:
                    self._store.halvings.end(row.name, "failed", str(error))
                except Exception as error:
                    log.exception("halving %s", row.name)
                    sentence = f"{type(error).__name__}: {error}; this is a fault of the program, the log has the rest"
                    self._store.halvings.end(row.name, "failed", sentence)

    def stop(self, name: str) -> None:
        """End a halving and what it has queued or running; what is over is kept, and it can go on later."""
        row = self._store.halvings.one(name)
        if row.state == "open":
            with self._lock:
                self._store.halvings.end(name, "stopped", "stopped; what was found is kept")
                self._put_off(row, self._contest(row))

    def close(self) -> None:
        """Let another server take over."""
        with suppress(JobError):
            self._store.halvings.let_go(self._name)

    def _step(self, row: HalvingRow) -> None:
        from pruning.halving.result import ranking_to_json

        contest = self._contest(row)
        over = time.time() > row.ends
        wanted = contest.step(self._at_once, begin=not over and self._fits(row, contest, contest.halving.shares[0]))
        startable = [each for each in wanted if not over and self._fits(row, contest, each.share)]
        for each in startable:
            contest.queued(each)
        for run in self._store.halvings.queue(row, [each.recipe for each in startable]) if startable else ():
            self._started(run)
        if (now := ranking_to_json(contest.ranking())) != row.ranking_json:
            self._store.halvings.keep(row.name, now)
        waiting = len(contest.under_way()) - len(wanted) + len(startable)
        if over and waiting:
            self._put_off(row, contest)
        if over or not waiting:
            self._store.halvings.end(row.name, "over", _why(contest, over, bool(wanted)))

    def _contest(self, row: HalvingRow) -> "Contest":
        from pruning.halving.contest import Contest
        from pruning.halving.halving import halving_from_json

        if row.name not in self._contests:
            halving = halving_from_json(row.halving_json)
            journal = self._store.home / FOLDER / f"{row.name}.journal"
            self._contests[row.name] = Contest(halving, journal, lambda recipe: self._outcome(contest, recipe))
        contest = self._contests[row.name]
        return contest

    def _outcome(self, contest: "Contest", recipe: "Recipe") -> "Outcome":
        from pruning.halving.contest import Outcome
        from pruning.halving.halving import cost_left
        from pruning.halving.result import Score

        row = self._row(recipe)
        if row is None:
            return Outcome("missing")
        if row.state == "queued" or row.state == "running":
            return Outcome("waiting")
        if row.state != "finished":
            return Outcome(row.state, sentence=row.sentence)
        found = trial_of(row, "grid", self._store.milestones(row.id))
        if found is None:
            return Outcome("failed", sentence="its run has measured nothing")
        if not math.isfinite(found.tuned.validation):
            return Outcome(
                "failed", sentence="its score is not a number: the training diverged, lower its learning rate"
            )
        goal = contest.halving.goal
        left = cost_left(goal, found.dense, found.tuned) if goal else found.tuned.nonzero / max(found.dense.nonzero, 1)
        drop = found.metric.drop(found.tuned.validation - found.dense.validation)
        worth = contest.halving.worth(found.dense, found.tuned, found.metric)
        return Outcome("finished", Score(row.id, found.tuned.validation, drop, left, worth))

    def _row(self, recipe: "Recipe") -> RunRow | None:
        """The run that stands for a recipe: the best of those of its name."""
        from pruning.sweeps.expansion import Planned

        (found,) = planned_runs([Planned(recipe, "grid")], self._store.runs())
        return found.row

    def _fits(self, row: HalvingRow, contest: "Contest", share: float) -> bool:
        """Whether a run with such a part of the training is likely to be over in time, by how long others took."""
        shares = contest.halving.shares
        paces = [
            took / shares[rung]
            for entry in contest.ranking().entries
            for rung, score in enumerate(entry.scores)
            if (took := self._seconds(score.run)) is not None
        ]
        return not paces or time.time() + median(paces) * share < row.ends

    def _seconds(self, run: str) -> float | None:
        """How long a run took; None where it is not known any more."""
        try:
            row = self._store.run(run)
        except JobError:  # somebody has deleted it
            return None
        return row.finished - row.started if row.finished and row.started else None

    def _put_off(self, row: HalvingRow, contest: "Contest") -> None:
        """End what runs for the halving alone; its next call asks for it again."""
        for waiting in contest.under_way():
            found = self._row(waiting.recipe)
            if found is not None and not found.over and found.session == row.session:
                self._end(found.id)
            contest.put_off(waiting)


def _why(contest: "Contest", over: bool, wanted: bool) -> str:
    ranking = contest.ranking()
    tried = f"{len(ranking.entries) + len(ranking.refused)} of {ranking.combinations} settings were tried"
    if over:
        return f"the time is over; {tried}"
    if wanted or len(ranking.entries) + len(ranking.refused) < ranking.combinations:
        return f"no other run is likely to end in the time that is left; {tried}"
    return f"done; {tried}"
