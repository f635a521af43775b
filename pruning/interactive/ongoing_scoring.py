"""Scoring that is carried on a little at a time: how long it will take is known beforehand, and how far it is."""

import time
from collections.abc import Sequence
from dataclasses import fields

from torch import Tensor, nn

from pruning.criteria import Criterion, LooksAtData, Passes
from pruning.criteria.calibration import Calibration
from pruning.criteria.pass_counter import PassCount
from pruning.durations import duration
from pruning.errors import PatienceError
from pruning.interactive.responses import Scoring
from pruning.model.copying import deep_copy
from pruning.model.memory import bytes_of
from pruning.model.units import UnitGroup
from pruning.pipeline.comparison import Effort
from pruning.pipeline.criteria_comparison import timed_scores
from pruning.recipe.catalog import kind_of
from pruning.repair import Repair
from pruning.sliced_work import SlicedWork, rest

HOW_MUCH = ("samples", "probes", "steps", "rounds")
"""Fields of criteria and repairs that say how much they compute."""


class OngoingScoring:
    """Scores of a network's units, computed a slice at a time on a copy: others use the network in between."""

    def __init__(
        self,
        criterion: Criterion,
        model: nn.Module,
        groups: Sequence[UnitGroup],
        calibration: Calibration,
        seconds_per_sample: float,
    ) -> None:
        self._planned = planned_passes(criterion, groups, len(calibration.workload.train))
        self._seconds_per_sample = seconds_per_sample
        self.bytes = bytes_of(model)
        """Of the copy that it works on."""
        self._passes = PassCount()
        self._spent = 0.0

        def score() -> tuple[dict[str, Tensor], Effort]:
            def at_each_pass(passes: PassCount) -> None:
                self._passes = passes
                rest()

            scores, effort = timed_scores(criterion, deep_copy(model), groups, calibration, at_each_pass)
            return scores, Effort(self._spent_by_now(), effort.forward, effort.backward)

        self._began = 0.0
        self._work = SlicedWork(score)

    @property
    def abandoned(self) -> bool:
        return self._work.abandoned

    @property
    def done(self) -> bool:
        return self._work.done

    def give_up(self) -> None:
        """Let go of the copy: who asks again begins anew."""
        self._work.give_up()

    def advance(self, seconds: float) -> Scoring:
        """Go on for about so many seconds; how far it is then. Raises what scoring raises."""
        self._began = time.perf_counter()
        done = self._work.advance(seconds)
        self._spent = self._spent_by_now()
        if done:
            self._work.result()
            return Scoring(1.0, 0.0)
        by_now = Passes(self._passes.forward, self._passes.backward).as_forward
        share = min(by_now / max(self._planned.as_forward, 1), 0.99)
        left = (
            self._spent * (1 - share) / share if share > 0.02 else self._planned.as_forward * self._seconds_per_sample
        )
        return Scoring(share, left)

    def result(self) -> tuple[dict[str, Tensor], Effort]:
        return self._work.result()

    def _spent_by_now(self) -> float:
        """Seconds of the slices, without the time between them."""
        return self._spent + time.perf_counter() - self._began


def planned_passes(criterion: Criterion, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
    """What scoring will ask of the network; nothing of a criterion that looks at weights alone."""
    return criterion.passes(groups, train_samples) if isinstance(criterion, LooksAtData) else Passes()


def require_patience(
    planned: Passes,
    seconds_per_sample: float,
    method: Criterion | Repair,
    most: float,
    doing: str = "score these units",
    instead: str = "larger units",
) -> None:
    """PatienceError where what the method is `doing` would take more than `most` seconds, with what to lower."""
    seconds = planned.as_forward * seconds_per_sample
    if seconds <= most:
        return
    named = [field.name for field in fields(method) if field.name in HOW_MUCH]  # type: ignore[arg-type]
    way_out = f"lower its {' or '.join(named)}" if named else "choose another criterion"
    raise PatienceError(
        f"{kind_of(method)} would take about {duration(seconds)} to {doing} here, and a page computes for "
        f"{duration(most)} at most: {way_out}, or {instead}; Run carries the recipe out as it is"
    )
