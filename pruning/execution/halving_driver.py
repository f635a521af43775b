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

from pruning.errors import JobError, NoRoomError, PruningError, no_room
from pruning.execution.store.ownership import Who
from pruning.execution.store.records import HalvingRow, RunRow
from pruning.execution.store.store import Store
from pruning.execution.sweep_progress import best_rows, trial_of

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
        self._rows: dict[str, RunRow | None] = {}  # the best of each recipe's name, as far as a step has looked
        self._ends: dict[tuple[str, float], float] = {}
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
                except NoRoomError:
                    raise  # it goes on once there is room
                except PruningError as error:
                    self._store.halvings.end(row.name, "failed", str(error))
                except Exception as error:
                    if no_room(error):
                        raise NoRoomError(f"the halving {row.name} waits for room on the disk: {error}") from error
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
        self._rows = {}
        left = self._left_s(row)
        over = left < 0

        def fits(share: float) -> bool:
            pace = self._pace(contest)  # what is over by now has a say
            return not over and (pace is None or pace * share < left)

        wanted = contest.step(self._at_once, begin=fits(contest.halving.shares[0]))
        startable = [each for each in wanted if fits(each.share)]
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

    def _left_s(self, row: HalvingRow) -> float:
        """Until the halving's time is over; a clock that is set while this server looks after it changes nothing."""
        end = self._ends.setdefault((row.name, row.ends), time.monotonic() + row.ends - time.time())
        return end - time.monotonic()

    def _contest(self, row: HalvingRow) -> "Contest":
        from pruning.halving.contest import Contest
        from pruning.halving.halving import halving_from_json

        if row.name not in self._contests:
            halving = halving_from_json(row.halving_json)
            journal = self._store.home / FOLDER / f"{row.name}.journal"
            who = Who(row.session)  # not what others keep to themselves
            self._contests[row.name] = Contest(halving, journal, lambda recipe: self._outcome(contest, recipe, who))
        contest = self._contests[row.name]
        return contest

    def _outcome(self, contest: "Contest", recipe: "Recipe", who: Who) -> "Outcome":
        from pruning.halving.contest import Outcome
        from pruning.halving.halving import cost_left
        from pruning.halving.result import Score

        if recipe.name not in self._rows:
            self._rows[recipe.name] = best_rows(self._store.list.of_recipes([recipe.name], who)).get(recipe.name)
        row = self._rows[recipe.name]
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
        return Outcome("finished", Score(row.id, found.tuned.validation, drop, left, worth, found.metric))

    def _pace(self, contest: "Contest") -> float | None:
        """Seconds that a run with the whole training takes, by those that are over; None before any is."""
        shares, entries = contest.halving.shares, contest.ranking().entries
        over = self._store.list.rows([score.run for entry in entries for score in entry.scores])
        took = {row.id: row.seconds for row in over if row.finished and row.started}
        paces = [
            took[score.run] / shares[rung]
            for entry in entries
            for rung, score in enumerate(entry.scores)
            if score.run in took
        ]
        return median(paces) if paces else None

    def _put_off(self, row: HalvingRow, contest: "Contest") -> None:
        """End what was queued for the halving and is not over; its next call asks for it again."""
        for run in self._store.halvings.live(row.name):
            self._end(run)
        for waiting in contest.under_way():
            contest.put_off(waiting)


def _why(contest: "Contest", over: bool, wanted: bool) -> str:
    ranking = contest.ranking()
    tried = f"{len(ranking.entries) + len(ranking.refused)} of {ranking.combinations} settings were tried"
    if over:
        return f"the time is over; {tried}"
    if wanted or len(ranking.entries) + len(ranking.refused) < ranking.combinations:
        return f"no other run is likely to end in the time that is left; {tried}"
    return f"done; {tried}"
