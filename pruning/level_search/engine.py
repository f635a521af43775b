"""The search: each group alone, the best levels together, what they really disturb, and again.

1. Each unit group is pruned alone to a few levels, repaired, and it is measured how far the outputs move.
2. One level for each group is solved for (`solver.py`), and the drop of that cut: what single groups disturb adds up
   but for some percent, and a factor for each group learns these. Factors are drawn from what is still open (Thompson
   1933), so that several good cuts are tried.
3. The best cuts are repaired as the recipe says and evaluated on all validation samples.

Every cut is made of the dense network in one shot: no labels but those of the criterion and of the validation split, no
training but the repair's.
"""

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from pruning.errors import RecipeError
from pruning.level_search.additive import Additive, Levels
from pruning.level_search.costing import Costing, Counted
from pruning.level_search.disturbance_table import DisturbanceTable, levels_up_to, measured_at, pruned_by
from pruning.level_search.joint_cuts import JointCuts, drafts_of, joint_cuts
from pruning.level_search.latency.table import LatencyTable
from pruning.level_search.latency.timed import of_table, timed
from pruning.level_search.loss_estimate import LossEstimate
from pruning.level_search.result import FrontPoint, Searched, keeps, undominated, with_best
from pruning.level_search.solver import smallest_in_steps
from pruning.model.devices import default_device
from pruning.recipe.compatibility import unmet_cost
from pruning.recipe.recipe import Recipe
from pruning.repair import Repair
from pruning.selection.goal import Goal
from pruning.workload import Workload, metric_of

SECONDS = 150.0
DRAFTS, FINALS = 6, 3
"""Cuts that are measured together in haste, and as the recipe says."""
MOST_DRAFTS, EARLY = 16, 0.2
"""Where a fifth of the time is not over: of a small network more is asked."""
MOST_FINALS, MOST_LIMITS = 9, 30
"""Where none keeps to the limit of the drop; and how often the limit is set anew, which often leads to the same cut."""
POINTS = 12
"""Estimated ones of the front."""
ROUGHLY = 1e-2
"""How far an estimated point of the front may be from the best."""

Pruned = Mapping[str, int]
Progress = Generator[Searched | None, None, None]
"""None: nothing new is known, but others may have a turn."""


@dataclass(eq=False)
class Search:
    """A search in the making: three phases, each of which says after every cut what is known."""

    cuts: JointCuts
    goal: Goal
    costing: Costing
    ends: float
    began: float
    table: DisturbanceTable
    loss: LossEstimate
    draw: np.random.Generator
    draft: Repair
    planned: int = 0
    note: str = ""
    measured: list[FrontPoint] = field(default_factory=list[FrontPoint])
    _levels: Levels = field(init=False, default_factory=dict[str, tuple[int, ...]])
    _cost: Additive = field(init=False, default_factory=lambda: Additive(1.0, {}))
    _estimated: list[tuple[Pruned, float, float]] = field(init=False, default_factory=list[tuple[Pruned, float, float]])
    _within: list[tuple[float, Pruned]] = field(init=False, default_factory=list[tuple[float, Pruned]])
    _made: set[tuple[int, ...]] = field(init=False, default_factory=set[tuple[int, ...]])
    _tighter: float = field(init=False, default=1.0)

    # --- the phases

    def alone(self) -> Progress:
        """Measure each group alone at some levels, those first that tell most, for half of the time."""
        removable = self.cuts.ranked.removable
        counts = {name: measured_at(units, removable) for name, units in self.cuts.units.items()}
        self.planned = sum(map(len, counts.values())) + DRAFTS + FINALS
        for turn in range(max(map(len, counts.values()))):
            for name in counts:
                if turn >= len(counts[name]) or (turn and self._passed(0.5)):
                    continue
                pruned = counts[name][turn]
                begun = time.monotonic()
                left = yield from self.cuts.trial({name: pruned}, self.draft)
                self.table.alone[name][pruned] = self.cuts.disturbance.of(left)
                if self.cuts.made == 1 and (time.monotonic() - begun) * self.planned > self.ends - self.began:
                    self.draft = drafts_of(self.cuts.recipe.repair)[1]
                yield self.state("each group alone")
        self._levels = {
            name: self.costing.offered(name, levels_up_to(max(found, default=0), self.cuts.units[name], removable))
            for name, found in self.table.alone.items()
        }
        self._cost = self.costing.table(self._levels)
        self.planned = self.cuts.made + DRAFTS + FINALS
        self._require_possible()

    def together(self) -> Progress:
        """Measure cuts of all groups in haste and let the table learn from them."""
        self._draw_front()
        for turn in range(MOST_DRAFTS):
            if turn >= DRAFTS and self._passed(EARLY):
                break
            pruned = self._new_cut(turn)
            if pruned is None or self._passed(0.75):
                break
            left = yield from self.cuts.trial(pruned, self.draft)
            cost, drop = self.costing.seen(pruned, left), self.cuts.disturbance.expected_drop(left)
            self._made.add(tuple(pruned.values()))
            self.table.together.append((pruned, drop))
            if self.goal.budget is not None and cost <= self.goal.budget:
                self._within.append((drop, pruned))
            yield self.state("groups together")
        self._draw_front()
        self.planned = self.cuts.made + FINALS

    def verified(self) -> Progress:
        """Repair the best cuts as the recipe says, and evaluate them on all validation samples."""
        if self.goal.budget is not None:
            self._within.sort(key=lambda found: found[0])
            untried = [] if self._within else [self._solved(self.table.factors(), None)]
            for pruned in [pruned for _, pruned in self._within[:FINALS]] or untried:
                if pruned is None:
                    break
                if self.measured and self._passed(1.0):
                    break
                yield from self._measure(pruned)
                yield self.state("evaluating the best")
            return
        low, high, known = 0.0, np.inf, dict[tuple[int, ...], bool]()
        for _ in range(MOST_LIMITS):
            limit = self._limit(low, high)
            pruned = self._solved(self.table.factors(), limit)
            enough = len(known) >= (FINALS if low > 0 else MOST_FINALS) or (known and self._passed(1.0))
            if pruned is None or enough:
                break
            key = tuple(pruned.values())
            if new := key not in known:
                known[key] = keeps((yield from self._measure(pruned)), self.goal)
            low, high = (max(low, limit), high) if known[key] else (low, min(high, limit))
            if new:
                yield self.state("evaluating the best")

    def measure(self, shares: Mapping[str, float]) -> None:
        """Make a cut of these shares, repair it as the recipe says, and evaluate it on all validation samples."""
        for _ in self._measure({name: round(shares[name] * units) for name, units in self.cuts.units.items()}):
            pass

    # --- single steps

    def _limit(self, low: float, high: float) -> float:
        """Of the estimated drop, between the largest that kept to the limit and the smallest that did not."""
        assert self.goal.max_drop is not None
        wanted = self.loss.estimated_at(self.goal.max_drop)
        if low < wanted < high:
            return wanted
        return (low * high) ** 0.5 if np.isfinite(high) and low > 0 else wanted * (2.0 if wanted <= low else 0.5)

    def _new_cut(self, turn: int) -> Pruned | None:
        """A good cut that was not measured yet: the best as far as is known, and then the best of what may be."""
        for attempt in range(8):
            factors = self.table.factors(self.draw if turn or attempt else None)
            limit = None if self.goal.max_drop is None else self.loss.estimated_at(self.goal.max_drop)
            pruned = self._solved(factors, limit)
            if pruned is not None and tuple(pruned.values()) not in self._made:
                return pruned
        return None

    def _solved(self, factors: Mapping[str, float], limit: float | None) -> Pruned | None:
        """The best cut by these factors: the least lost within the budget, else the least cost within a limit of what
        is lost.
        """
        lost = self.table.drops(self._levels, factors)
        if self.goal.budget is None:
            assert limit is not None
            chosen = smallest_in_steps(self._cost, lost, limit)
            return None if chosen is None else pruned_by(self._levels, chosen)
        for _ in range(6):
            chosen = smallest_in_steps(lost, self._cost, self.costing.bound(self.goal.budget) * self._tighter)
            if chosen is None:
                return None
            pruned = pruned_by(self._levels, chosen)
            left = self.costing.foreseen(pruned)
            if left <= self.goal.budget:
                return pruned
            self._tighter *= self.goal.budget / left * 0.9995
        return None

    def _measure(self, pruned: Pruned) -> Generator[None, None, FrontPoint]:
        left = yield from self.cuts.trial(pruned, self.cuts.recipe.repair)
        drop = metric_of(self.cuts.workload.task).drop(self.cuts.validation.score(left) - self.cuts.score)
        cost, expected = self.costing.seen(pruned, left), self.cuts.disturbance.expected_drop(left)
        point = FrontPoint(self.cuts.shares(pruned), cost, drop, 0.0, "measured", expected)
        self.measured.append(point)
        self.loss.learn(self._foreseen(pruned), drop)
        return point

    def _foreseen(self, pruned: Pruned) -> float:
        """The drop of a cut, as far as is known without making it."""
        factors = self.table.factors()
        return sum(float(self.table.of(name, [count])[0]) * factors[name] for name, count in pruned.items())

    def _draw_front(self) -> None:
        """Solve for the points of the front anew, from the cheapest that there can be to the dense network."""
        lost = self.table.drops(self._levels, self.table.factors())
        floor = self._cost.of({name: len(counts) - 1 for name, counts in self._levels.items()})
        self._estimated = []
        for budget in np.linspace(max(floor, 0.0), 1.0, POINTS + 1)[:-1]:
            chosen = smallest_in_steps(lost, self._cost, float(budget) + 1e-9, ROUGHLY)
            if chosen is not None:
                pruned = pruned_by(self._levels, chosen)
                self._estimated.append((pruned, self.costing.foreseen(pruned), lost.of(chosen)))

    def _require_possible(self) -> None:
        """RecipeError where the budget is below what is left with the most pruned of each group."""
        if self.goal.budget is None:
            return
        least = self.costing.foreseen({name: counts[-1] for name, counts in self._levels.items()})
        if least > self.goal.budget:
            instead = "a larger batch" if self.goal.cost == "latency" else "another granularity"
            raise RecipeError(
                f"budget is {self.goal.budget:g} of the {self.goal.cost}, and {least:.4g} of it are left with the most "
                f"that may be pruned of every group: ask for more, or choose {instead}"
            )

    def _passed(self, share: float) -> bool:
        """Whether so much of the time is over."""
        return time.monotonic() > self.began + share * (self.ends - self.began)

    def state(self, phase: str) -> Searched:
        """What is known now. What a cut was estimated to lose is not said any more once it is measured."""
        known = [point.shares for point in self.measured]
        estimated = [
            FrontPoint(shares, cost, *self.loss.drop(lost), "estimated", lost)
            for pruned, cost, lost in self._estimated
            if (shares := self.cuts.shares(pruned)) not in known
        ]
        best = self._best()
        return Searched(
            goal=self.goal,
            recipe=self.cuts.recipe,
            phase=phase,
            front=with_best(undominated([*estimated, *self.measured]), best),
            best=best,
            met=best is not None and keeps(best, self.goal),
            evaluations=self.cuts.made,
            planned=max(self.planned, self.cuts.made),
            dense=self.cuts.score,
            dense_cost=self.costing.dense,
            seconds=time.monotonic() - self.began,
            metric=metric_of(self.cuts.workload.task),
            note=self.note,
        )

    def _best(self) -> FrontPoint | None:
        """Of the measured points: those within the limits first; then the cheapest, or within a budget the one that
        is expected to lose least, for that is less noisy than its score.
        """

        def order(point: FrontPoint) -> tuple[bool, bool, float]:
            within = keeps(point, self.goal)
            if self.goal.budget is None:
                return not within, False, point.cost if within else point.drop
            # what a page had measured beyond the budget is not the best within it, however little it loses
            return not within, not keeps(point, replace(self.goal, max_drop=None)), point.expected_drop

        return min(self.measured, key=order, default=None)


def search(
    workload: Workload,
    recipe: Recipe,
    goal: Goal,
    seconds: float = SECONDS,
    device: torch.device | None = None,
    batch: int = 1,
    latencies: LatencyTable | None = None,
) -> Generator[Searched, None, Searched]:
    """Find the sparsity of each unit group that fits the goal best; yields what is known after every cut.

    Args:
        workload: The network with its data. Validation is what cuts are compared on; test is not looked at.
        recipe: Criterion, granularity, repair, layers that are kept whole, and seed. Its amount and scope are replaced.
        goal: What to look for.
        seconds: About how long: fewer levels and cuts are measured where a network is slow.
        device: Where to compute; the accelerator if there is one.
        batch: Samples in a pass whose time is the cost, where that is latency.
        latencies: Times that were measured before, perhaps on another machine; else they are measured first.

    Raises:
        RecipeError: The goal cannot be met with this granularity, or at all.
    """
    going_on = steps(workload, recipe, goal, seconds, device, batch, latencies)
    while True:
        try:
            known = next(going_on)
        except StopIteration as end:
            return end.value.state("")
        if known is not None:
            yield known


def steps(
    workload: Workload,
    recipe: Recipe,
    goal: Goal,
    seconds: float = SECONDS,
    device: torch.device | None = None,
    batch: int = 1,
    latencies: LatencyTable | None = None,
    scores: Mapping[str, Tensor] | None = None,
) -> Generator[Searched | None, None, Search]:
    """As `search`, and returns the search itself, which can measure further cuts. Yields None in between, where others
    may have a turn.

    `scores` are of all units that the recipe's criterion can score; None: they are computed first, in one piece.
    """
    if sentence := unmet_cost(goal.cost, recipe.granularity):
        raise RecipeError(sentence)
    began = time.monotonic()
    cuts = joint_cuts(workload, recipe, device or default_device(), scores)
    costing: Costing
    if goal.cost != "latency":
        costing = Counted(cuts, goal.cost)
    else:
        costing = of_table(cuts, latencies) if latencies else (yield from _timing(cuts, goal, batch, began))
    table = DisturbanceTable(cuts.units, cuts.disturbance.costs, {name: {} for name in cuts.units})
    loss = LossEstimate(metric_of(workload.task).tolerance(cuts.score))
    draw = np.random.default_rng(recipe.seed)
    found = Search(cuts, goal, costing, began + seconds, began, table, loss, draw, drafts_of(recipe.repair)[0])
    yield from found.alone()
    yield from found.together()
    yield from found.verified()
    return found


def _timing(cuts: JointCuts, goal: Goal, batch: int, began: float) -> Generator[Searched, None, Costing]:
    """Measure how long the layers take."""
    metric = metric_of(cuts.workload.task)
    making = timed(cuts, batch)
    while True:
        try:
            next(making)
        except StopIteration as end:
            return end.value
        passed = time.monotonic() - began
        yield Searched(goal, cuts.recipe, "timing the layers", (), None, False, 0, 1, cuts.score, 0.0, passed, metric)
