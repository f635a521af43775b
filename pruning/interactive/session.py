"""What the interactive worker keeps: opened models, scores, rankings and cuts, in one cache of bounded bytes."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ParamSpec, TypeVar

import torch
from cachetools import LRUCache, cached
from cachetools.keys import hashkey
from torch import Tensor, nn

from pruning.criteria import Criterion
from pruning.criteria.calibration import Calibration
from pruning.errors import PatienceError, RecipeError
from pruning.evaluation.accuracy import Evaluator, guessing
from pruning.evaluation.progressive import ProgressiveEvaluation
from pruning.evaluation.regression_estimator import DenseReference, dense_reference
from pruning.granularities import Granularity
from pruning.interactive.cut import cut_of
from pruning.interactive.histograms import Bins, binned
from pruning.interactive.ongoing_packing import OngoingPacking
from pruning.interactive.ongoing_scoring import OngoingScoring, planned_passes, require_patience
from pruning.interactive.ongoing_works import OngoingWorks
from pruning.interactive.responses import Axis, ModelView, Repairing, Scoring
from pruning.interactive.shared_answers import SharedAnswers
from pruning.layer_sensitivity.analysis import SensitivityAnalysis
from pruning.layer_sensitivity.repaired import RepairedSensitivity
from pruning.level_search.engine import steps
from pruning.level_search.ongoing import OngoingSearch
from pruning.model.costs import CostModel, cost_model, costs
from pruning.model.devices import device_name
from pruning.model.layer_table import layer_table, prunable_weights
from pruning.model.memory import bytes_of
from pruning.model.module_sizes import sizes_between
from pruning.model.preparation import open_model
from pruning.model.surgery import remove_units
from pruning.model.units import UnitGroup
from pruning.pipeline.comparison import Agreement, Effort
from pruning.pipeline.criteria_comparison import agreement_of, timed_scores
from pruning.pipeline.eligibility import allowed_groups, scorable_groups
from pruning.pipeline.one_shot import Decision, RankedUnits
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe, to_json
from pruning.repair import NoRepair, Repair
from pruning.repair.mended import Mended, Mender
from pruning.repair.ongoing_mend import OngoingMend
from pruning.selection.amounts import PerLayer
from pruning.selection.goal import Goal
from pruning.selection.ranking import Ranking, rank
from pruning.selection.scopes import Scope
from pruning.workload import Workload, Workloads


@dataclass(frozen=True, eq=False)
class Opened:
    """A model that somebody looked at, and what is known of the validation split's samples."""

    workload: Workload
    model: nn.Module
    view: ModelView
    cost: CostModel
    validation: Evaluator
    known: DenseReference
    seconds_per_sample: float
    """Of a forward pass, measured over the validation split."""


@dataclass(eq=False)
class Trial:
    """A cut that is being evaluated, and the gzip size of its file once that is known."""

    model: nn.Module
    comparison: ProgressiveEvaluation
    gzip_bytes: int | None = None
    packs_next: bool = True
    """Whether the next slice is the file's, where a long evaluation and its packing take turns."""


@dataclass(eq=False)
class RepairedTrial:
    """A repaired cut that is being evaluated, and what the repair did."""

    model: nn.Module
    comparison: ProgressiveEvaluation
    mended: Mended


CACHE_BYTES = 2 * 2**30
MOST_CUTS = 256
"""Of those that somebody looked at last, with or without a repair: positions of sliders that people have left would
fill the cache in half an hour.
"""
MOST_SECONDS = 120.0
"""Of scoring, for one question."""


class _Recent(LRUCache[Hashable, None]):
    """The keys of a cache's values that were asked for last; when there are too many the oldest loses its value."""

    def __init__(self, most: int, cache: LRUCache[Hashable, Any]) -> None:
        super().__init__(most)
        self._values = cache

    def asked(self, key: Hashable) -> Hashable:
        self[key] = None
        return key

    def popitem(self) -> tuple[Hashable, None]:
        key, _ = super().popitem()
        self._values.pop(key, None)
        return key, None


_P = ParamSpec("_P")
_T = TypeVar("_T")


class PreviewSession:
    """The worker's bench: opened models, rankings and trials, in one least-recently-used cache of bounded bytes."""

    def __init__(
        self,
        workloads: Workloads,
        device: torch.device,
        shared: SharedAnswers | None = None,
        most_seconds: float = MOST_SECONDS,
    ) -> None:
        """`shared` is what workers of one server have together. `most_seconds` of scoring are for one question."""
        self.workloads = workloads
        self.device = device
        self._shared = shared
        self._most_seconds = most_seconds
        self._ongoing = OngoingWorks(CACHE_BYTES)
        self._cache: LRUCache[Hashable, Any] = LRUCache(CACHE_BYTES, getsizeof=bytes_of)
        self._decisions_kept = _Recent(MOST_CUTS, self._cache)
        self._trials_kept = _Recent(MOST_CUTS, self._cache)
        self.opened = self._kept(self._open)
        self.sorted_out = self._kept(self._sorted_out)
        self.scored = self._kept(self._scored)
        self.bins = self._kept(self._bins)
        self.rankings = self._kept(self._ranking)
        self._decisions = self._kept(self._decision, self._decisions_kept)
        self.ranges = self._kept(self._range)
        self.agreements = self._kept(self._agreement)
        self._trials = self._kept(self._trial, self._trials_kept)
        self._menders = self._kept(self._mender)
        self._repaired_trials = self._kept(self._repaired_trial, self._trials_kept)
        self._sensings = self._kept(self._sensing)
        self.searching = self._kept(self._searching)

    def _kept(self, compute: Callable[_P, _T], recent: "_Recent | None" = None) -> Callable[_P, _T]:
        """The function, its answers kept in the one cache: what was asked longest ago goes first when bytes run out, or
        when there are too many `recent` ones.
        """
        key = partial(hashkey, compute.__name__)
        return cached(self._cache, key=key if recent is None else lambda *asked: recent.asked(key(*asked)))(compute)

    def _open(self, name: str) -> Opened:
        if name not in self.workloads:
            raise RecipeError(f"workload is {name!r}; use one of {', '.join(sorted(self.workloads))}")
        workload = self.workloads[name]()
        model = open_model(workload, self.device)
        example = workload.example.to(self.device)
        evaluator = Evaluator(workload.validation, workload.task, self.device)

        def timed_reference() -> tuple[DenseReference, float]:
            began = time.perf_counter()
            known = dense_reference(model, evaluator)
            return known, (time.perf_counter() - began) / max(len(known.scores), 1)

        known, seconds_per_sample = self._computed(f"dense reference {name}", timed_reference)
        view = ModelView(
            name=name,
            data=workload.data,
            device=device_name(self.device),
            layers=tuple(layer_table(model, example)),
            classes=workload.task.classes,
            score=known.score,
            samples=len(known.scores),
            costs=costs(model, example),
            checkpoints=tuple(workload.checkpoints),
            teachers=tuple(workload.teachers),
            metric=known.metric,
            at_chance=guessing(known.score, len(known.scores), len(workload.task.classes), known.metric),
            train_samples=len(workload.train),
        )
        return Opened(workload, model, view, cost_model(model, example), evaluator, known, seconds_per_sample)

    def _computed(self, name: str, compute: Callable[[], _T]) -> _T:
        """By this worker, or by another before."""
        return compute() if self._shared is None else self._shared.computed(name, compute)

    def scores(
        self, name: str, criterion: Criterion, granularity: Granularity, seed: int
    ) -> tuple[list[UnitGroup], dict[str, Tensor]]:
        """The groups that the criterion can score, and the scores of their units."""
        groups, scores, _ = self.scored(name, criterion, granularity, seed)
        return groups, scores

    def _scored(
        self, name: str, criterion: Criterion, granularity: Granularity, seed: int
    ) -> tuple[list[UnitGroup], dict[str, Tensor], Effort]:
        groups, _ = self.sorted_out(name, criterion, granularity)
        if not groups:
            return [], {}, Effort(0.0, 0, 0)

        def score() -> tuple[dict[str, Tensor], Effort]:
            going_on = self._ongoing.taken_out(OngoingScoring, (name, criterion, granularity, seed))
            if going_on is not None and going_on.done:
                return going_on.result()
            opened = self._opened_to_score(name, criterion, groups)
            return timed_scores(criterion, opened.model, groups, Calibration(opened.workload, self.device, seed))

        return groups, *self._computed(f"scores {name} {criterion} {granularity} {seed}", score)

    def _opened_to_score(self, name: str, criterion: Criterion, groups: list[UnitGroup]) -> Opened:
        """The model; PatienceError where scoring its units would take too long."""
        opened = self.opened(name)
        planned = planned_passes(criterion, groups, len(opened.workload.train))
        require_patience(planned, opened.seconds_per_sample, criterion, self._most_seconds)
        return opened

    def _opened_to_repair(self, name: str, repair: Repair) -> Opened:
        """The model; PatienceError where repairing a cut of it would take too long."""
        opened = self.opened(name)
        planned, most = repair.passes(len(opened.workload.train)), self._most_seconds
        require_patience(planned, opened.seconds_per_sample, repair, most, "repair a cut", "another repair")
        return opened

    def score_more(self, recipe: Recipe, seconds: float) -> Scoring:
        """Score the recipe's units for about so many seconds, from where that was left."""
        key = (recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)
        groups, _ = self.sorted_out(*key[:3])
        if groups and hashkey(self._scored.__name__, *key) not in self._cache:
            if self._shared is not None and self._shared.has(f"scores {key[0]} {key[1]} {key[2]} {key[3]}"):
                self.scored(*key)
                return Scoring(1.0, 0.0)
            going_on = self._ongoing.taken_out(OngoingScoring, key)
            if going_on is None:
                opened = self._opened_to_score(recipe.workload, recipe.criterion, groups)
                calibration = Calibration(opened.workload, self.device, recipe.seed)
                going_on = OngoingScoring(
                    recipe.criterion, opened.model, groups, calibration, opened.seconds_per_sample
                )
            self._ongoing.keep(key, going_on)
            known = going_on.advance(seconds)
            if not known.done:
                return known
        self.scored(*key)
        return Scoring(1.0, 0.0)

    def _sorted_out(
        self, name: str, criterion: Criterion, granularity: Granularity
    ) -> tuple[list[UnitGroup], dict[str, str]]:
        opened = self.opened(name)
        example = opened.workload.example.to(self.device)
        return self._computed(
            f"groups {name} {criterion} {granularity}",
            lambda: scorable_groups(criterion, granularity, opened.model, example),
        )

    def _bins(
        self, name: str, criterion: Criterion, granularity: Granularity, seed: int, axis: Axis
    ) -> dict[str, "Bins"]:
        """Layer name -> its histogram's bins; the scores' axis ends where all layers' scores end."""
        groups, scores = self.scores(name, criterion, granularity, seed)
        lowest = min((float(values.min()) for values in scores.values()), default=0.0)
        highest = max((float(values.max()) for values in scores.values()), default=1.0)
        low, high = min(lowest, 0.0), max(highest, 0.0)
        high = high if high > low else low + 1.0
        found: dict[str, Bins] = {}
        if axis == "score":
            for group in groups:
                found |= {layer: binned(scores[group.name], low, high, 1.0) for layer in group.members}
            return found
        model = self.opened(name).model
        for layer, param, _ in prunable_weights(model, bare_parameters=True):
            weight = model.get_parameter(param).detach().float().cpu()
            sigma = float(weight.std(correction=0)) or 1.0
            found[layer] = binned(weight.flatten() / sigma, -4.0, 4.0, sigma)
        return found

    def _range(
        self, name: str, criterion: Criterion, granularity: Granularity, scope: Scope, seed: int
    ) -> tuple[float, float]:
        _, scores = self.scores(name, criterion, granularity, seed)
        if not scores:
            return 0.0, 1.0
        values = torch.cat([units / scope.divisor(units) for units in scores.values()])
        return float(values.min()), float(values.kthvalue(min(int(0.998 * len(values)) + 1, len(values))).values)

    def _ranking(self, recipe: Recipe) -> Ranking:
        """Keyed by a recipe whose amount says only which layers stand apart; see `ranking`."""
        groups, scores = self.scores(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)
        allowed = self._allowed(recipe, groups)
        return self._computed(f"ranking {to_json(recipe)}", lambda: rank(allowed, scores, recipe.scope, recipe.amount))

    def _allowed(self, recipe: Recipe, groups: list[UnitGroup]) -> list[UnitGroup]:
        _, reasons = self.sorted_out(recipe.workload, recipe.criterion, recipe.granularity)
        return allowed_groups(recipe, groups, self.opened(recipe.workload).view.layers, reasons)

    def ranking(self, recipe: Recipe) -> Ranking:
        """The sorted units that the recipe's amount is applied to: one sort serves all positions of a slider."""
        groups, _ = self.scores(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)
        left = self._allowed(recipe, groups)
        empties = recipe.amount.empties()
        own = recipe.amount.own_pools(group.name for group in left)
        apart = PerLayer({layer: float(layer in empties) for layer in own})
        return self.rankings(replace(cut_of(recipe), amount=apart))

    def decision(self, recipe: Recipe) -> Decision:
        """Which units the recipe prunes in one shot: one decision for all recipes that select alike."""
        return self._decisions(cut_of(recipe))

    def _decision(self, recipe: Recipe) -> Decision:
        _, scores = self.scores(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)
        cost = self.opened(recipe.workload).cost
        return RankedUnits(scores, self.ranking(recipe), cost, recipe.granularity.removable).decide(recipe.amount)

    def _agreement(self, recipes: tuple[tuple[str, Recipe], ...]) -> Agreement:
        return agreement_of({kind: self.decision(recipe) for kind, recipe in recipes})

    def trial(self, recipe: Recipe) -> Trial:
        """The recipe's cut, evaluated as far as it has been: one for all recipes that cut alike."""
        return self._trials(cut_of(recipe))

    def _trial(self, recipe: Recipe) -> Trial:
        opened = self.opened(recipe.workload)
        model = self.decision(recipe).pruned_copy(opened.model, opened.workload.example.to(self.device))
        return Trial(model, ProgressiveEvaluation(opened.known, opened.validation))

    def packed(self, recipe: Recipe, seconds: float) -> int | None:
        """The gzip size of the cut's file. Goes on with packing it for about so many seconds; None until it is done.

        A file waits until there is room: were it to end a large network's repair, both would begin anew for ever.
        """
        cut = cut_of(recipe)
        packing = self._ongoing.taken_out(OngoingPacking, cut)
        if packing is None:
            model = self.trial(recipe).model
            if not self._ongoing.room_for(bytes_of(model)):
                return None
            packing = OngoingPacking(model, sizes_between(self.opened(recipe.workload).model, model))
        self._ongoing.keep(cut, packing)
        size = packing.advance(seconds)
        if size is not None:
            self._ongoing.taken_out(OngoingPacking, cut)
        return size

    def _searching(self, recipe: Recipe, goal: Goal, batch: int) -> OngoingSearch:
        """A search for the goal, as far as it has come."""
        opened = self._opened_to_repair(recipe.workload, recipe.repair)
        _, scores = self.scores(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)
        return OngoingSearch(steps(opened.workload, recipe, goal, device=self.device, batch=batch, scores=scores))

    def _mender(self, name: str, repair: Repair, seed: int) -> Mender:
        opened = self._opened_to_repair(name, repair)
        return Mender(repair, opened.model, opened.workload, self.device, seed)

    def repaired(self, recipe: Recipe, seconds: float) -> RepairedTrial | Repairing:
        """The recipe's cut, repaired and evaluated as far as it has been: one for all recipes that cut and repair
        alike. Goes on with the repair for about so many seconds, where that is not done.
        """
        cut = cut_of(recipe, repaired=True)
        if hashkey(self._repaired_trial.__name__, cut) not in self._cache:
            mending = self._ongoing.taken_out(OngoingMend, cut)
            if mending is None:
                mender = self._menders(recipe.workload, recipe.repair, recipe.seed)
                mending = OngoingMend(mender, self.decision(recipe).masks)
            self._ongoing.keep(cut, mending)
            if not mending.advance(seconds):
                opened = self.opened(recipe.workload)
                planned = recipe.repair.passes(len(opened.workload.train)).as_forward * opened.seconds_per_sample
                return Repairing(max(planned - mending.seconds, 0.0))
        return self._repaired_trials(cut)

    def _repaired_trial(self, recipe: Recipe) -> RepairedTrial:
        opened, decision = self.opened(recipe.workload), self.decision(recipe)
        mending = self._ongoing.taken_out(OngoingMend, recipe)
        assert mending is not None
        model, done = mending.result()
        if decision.removable:
            model = remove_units(model, opened.workload.example.to(self.device), decision.groups, decision.keep)
        return RepairedTrial(model, ProgressiveEvaluation(opened.known, opened.validation), done)

    def sensing(
        self, recipe: Recipe, levels: tuple[float, ...], part: tuple[int, int]
    ) -> SensitivityAnalysis | RepairedSensitivity:
        """The sensitivity map of the recipe's criterion, granularity and repair, as far as it has been made."""
        chosen = Recipe(recipe.workload, recipe.criterion, recipe.granularity, seed=recipe.seed, repair=recipe.repair)
        return self._sensings(chosen, levels, part)

    def _sensing(
        self, recipe: Recipe, levels: tuple[float, ...], part: tuple[int, int]
    ) -> SensitivityAnalysis | RepairedSensitivity:
        name, opened = recipe.workload, self.opened(recipe.workload)
        groups, scores = self.scores(name, recipe.criterion, recipe.granularity, recipe.seed)
        _, left_out = self.sorted_out(name, recipe.criterion, recipe.granularity)
        first, step = part
        mine, known, validation = groups[first::step], opened.known, opened.validation
        if isinstance(recipe.repair, NoRepair):
            sensing = SensitivityAnalysis(opened.model, mine, scores, levels, known, validation, left_out)
        else:
            mender, kind = self._menders(name, recipe.repair, recipe.seed), kind_of(recipe.repair)
            sensing = RepairedSensitivity(
                opened.model, mine, scores, levels, known, validation, mender, kind, opened.cost, left_out
            )
        if sensing.most_bytes > CACHE_BYTES:  # the cache would not keep it, and every question would begin it anew
            raise PatienceError(
                f"a sensitivity map of {name} takes up to {sensing.most_bytes / 2**30:.1f} GiB of memory and a page's "
                f"worker keeps {CACHE_BYTES / 2**30:.1f} GiB: make it with python -m pruning sensitivity"
            )
        return sensing
