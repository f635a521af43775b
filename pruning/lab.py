"""What the page asks while a person moves a slider. Lives in a worker, keeps what is expensive, answers plain values.

Scores are computed and sorted once for a (model, criterion, granularity); a slider position is then a search. Accuracy
comes in growing samples: the page asks again for as long as it wants to know more, so a newer position simply asks for
something else and the older estimate is abandoned.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, ParamSpec, TypeVar

import torch
from cachetools import LRUCache, cached
from cachetools.keys import hashkey
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.allocation import CostLeft, erk, uniform
from pruning.amounts import Amount, PerLayer
from pruning.answers import CELLS, Axis, Heatmap, Look, ModelView, Outcome, UnitsView
from pruning.calibration import Calibration
from pruning.comparison import Agreement, Effort, agreement, timed_scores
from pruning.costs import CostModel, cost_model, costs, file_bytes, gzip_size, nonzero_after
from pruning.criteria import ANY, Ablation, Criterion
from pruning.devices import describe
from pruning.engine import allowed, scorable
from pruning.errors import PatienceError, PruningError, RecipeError
from pruning.granularities import Granularity, Weights
from pruning.histograms import Bins, Rows, binned
from pruning.layers import called_layer, layer_table, prunable_weights
from pruning.measure import Comparison, judge_all
from pruning.memory import bytes_of
from pruning.opening import open_model
from pruning.recipe import Recipe
from pruning.schedules import OneShot
from pruning.scopes import Scope
from pruning.select import Ranking, position, rank, select
from pruning.surgery import cut_out
from pruning.tuning import Tuning
from pruning.units import UnitGroup, group_of, masks_of
from pruning.workload import Workload, Workloads


@dataclass(frozen=True, eq=False)
class _Opened:
    workload: Workload
    model: nn.Module
    view: ModelView
    cost: CostModel
    dense: Tensor


@dataclass(eq=False)
class _Trial:
    model: nn.Module
    comparison: Comparison
    gzip_bytes: int | None = None


CACHE_BYTES = 2 * 2**30
MOST_MACS = 5 * 10**11  # multiply-accumulates of scoring that a page waits for: about a minute on two cores

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Lab:
    """The worker's bench: opened models, rankings and trials, in one least-recently-used cache of bounded bytes."""

    def __init__(self, workloads: Workloads, device: torch.device) -> None:
        self.workloads = workloads
        self.device = device
        self._cache: LRUCache[Hashable, Any] = LRUCache(CACHE_BYTES, getsizeof=bytes_of)
        self.opened = self._kept(self._open)
        self.sorted_out = self._kept(self._sorted_out)
        self.scored = self._kept(self._scored)
        self.bins = self._kept(self._bins)
        self.rankings = self._kept(self._ranking)
        self.amounts = self._kept(self._amount)
        self.ranges = self._kept(self._range)
        self.agreements = self._kept(self._agreement)
        self.trials = self._kept(self._trial)

    def _kept(self, compute: Callable[_P, _T]) -> Callable[_P, _T]:
        """The function, its answers kept in the one cache: what was asked longest ago goes first when bytes run out."""
        return cached(self._cache, key=partial(hashkey, compute.__name__))(compute)

    def _open(self, name: str) -> _Opened:
        if name not in self.workloads:
            raise RecipeError(f"workload is {name!r}; use one of {', '.join(sorted(self.workloads))}")
        workload = self.workloads[name]()
        model = open_model(workload, self.device)
        example = workload.example.to(self.device)
        dense, _ = judge_all(model, workload.validation, workload.task, self.device)
        view = ModelView(
            name=name,
            data=workload.data,
            device=describe(self.device),
            layers=tuple(layer_table(model, example)),
            classes=workload.task.classes,
            score=float(dense.double().mean()),
            samples=len(dense),
            costs=costs(model, example),
            checkpoints=tuple(workload.checkpoints),
        )
        return _Opened(workload, model, view, cost_model(model, example), dense)

    def scores(
        self, name: str, criterion: Criterion, granularity: Granularity, seed: int
    ) -> tuple[list[UnitGroup], dict[str, Tensor]]:
        """The groups that the criterion can score, and the scores of their units."""
        groups, scores, _ = self.scored(name, criterion, granularity, seed)
        return groups, scores

    def _scored(
        self, name: str, criterion: Criterion, granularity: Granularity, seed: int
    ) -> tuple[list[UnitGroup], dict[str, Tensor], Effort]:
        opened = self.opened(name)
        groups, _ = self.sorted_out(name, criterion, granularity)
        if not groups:
            return [], {}, Effort(0.0, 0, 0)
        _require_patience(criterion, groups, opened.view.costs.macs)
        calibration = Calibration(opened.workload, self.device, seed)
        return groups, *timed_scores(criterion, opened.model, groups, calibration)

    def _sorted_out(
        self, name: str, criterion: Criterion, granularity: Granularity
    ) -> tuple[list[UnitGroup], dict[str, str]]:
        opened = self.opened(name)
        return scorable(criterion, granularity, opened.model, opened.workload.example.to(self.device))

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
        for layer, param, _ in prunable_weights(model):
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
        return rank(self._allowed(recipe, groups), scores, recipe.scope, recipe.amount)

    def _allowed(self, recipe: Recipe, groups: list[UnitGroup]) -> list[UnitGroup]:
        _, reasons = self.sorted_out(recipe.workload, recipe.criterion, recipe.granularity)
        return allowed(recipe, groups, self.opened(recipe.workload).view.layers, reasons)

    def ranking(self, recipe: Recipe) -> Ranking:
        """The sorted units that the recipe's amount is applied to: one sort serves all positions of a slider."""
        groups, _ = self.scores(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)
        left = self._allowed(recipe, groups)
        empties = recipe.amount.empties()
        own = recipe.amount.own_pools(group.name for group in left)
        apart = PerLayer({layer: float(layer in empties) for layer in own})
        return self.rankings(replace(_selection(recipe), amount=apart))

    def _amount(self, recipe: Recipe) -> Amount:
        return recipe.amount.settled(CostLeft(self.ranking(recipe), self.opened(recipe.workload).cost))

    def _agreement(self, recipes: tuple[tuple[str, Recipe], ...]) -> Agreement:
        scores, keep = {}, {}
        for kind, recipe in recipes:
            scores[kind] = self.scores(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)[1]
            keep[kind] = select(self.ranking(recipe), self.amount(recipe))
        return agreement(scores, keep)

    def amount(self, recipe: Recipe) -> Amount:
        """The recipe's amount with everything known that depends on the network's costs."""
        return self.amounts(_selection(recipe))

    def _trial(self, recipe: Recipe) -> _Trial:
        opened = self.opened(recipe.workload)
        ranking = self.ranking(recipe)
        keep = select(ranking, self.amount(recipe))
        example = opened.workload.example.to(self.device)
        model = cut_out(opened.model, example, ranking.groups, keep, recipe.granularity.removable)
        split, task = opened.workload.validation, opened.workload.task
        return _Trial(model, Comparison(opened.dense, split, task, self.device))


def _require_patience(criterion: Criterion, groups: Sequence[UnitGroup], macs: int) -> None:
    """PatienceError where scoring would keep everybody who uses this worker waiting for minutes."""
    if not isinstance(criterion, Ablation):
        return
    passes = criterion.samples * sum(group.units for group in groups)
    if passes * macs > MOST_MACS:
        fewer = max(1, int(criterion.samples * MOST_MACS / (passes * macs)))
        raise PatienceError(
            f"ablation would send {passes} samples through the network, too long to wait for here: lower its samples "
            f"to {fewer} or choose larger units; Run carries the recipe out as it is"
        )


def open_workload(lab: Lab, name: str) -> ModelView:
    """The model as it is, measured on the validation split the first time."""
    return lab.opened(name).view


def score_range(lab: Lab, recipe: Recipe) -> tuple[float, float]:
    """The ends of a threshold slider: above it lies at most one unit in 500, so that the slider is not all tail."""
    return lab.ranges(recipe.workload, recipe.criterion, recipe.granularity, recipe.scope, recipe.seed)


def allocation(lab: Lab, recipe: Recipe, rule: Literal["uniform", "erk"], share: float) -> dict[str, float]:
    """Group name -> sparsity by rule: what a person starts from who sets layers by hand."""
    groups = lab.ranking(replace(recipe, amount=PerLayer())).groups
    return uniform(groups, share) if rule == "uniform" else erk(groups, lab.opened(recipe.workload).cost.shapes, share)


def look(lab: Lab, recipe: Recipe, axis: Axis) -> Look:
    """What the recipe's amount does to every layer and to the sizes: searches in what is sorted, and bin counts."""
    opened = lab.opened(recipe.workload)
    ranking, amount = lab.ranking(recipe), lab.amount(recipe)
    where = position(ranking, amount)
    keep = select(ranking, amount)
    removed = ranking.groups if recipe.granularity.removable else ()
    size = opened.cost.after(removed, {share.name: share.fallen for share in where.shares})
    own = amount.own_pools(group.name for group in ranking.groups)
    cuts = {share.cut for share in where.shares if share.name not in own}
    groups, left_out = lab.sorted_out(recipe.workload, recipe.criterion, recipe.granularity)
    bins = lab.bins(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed, axis)
    masks = masks_of(ranking.groups, keep, opened.model)
    cuts_by_name = {share.name: share.cut for share in where.shares}
    rows = Rows(recipe, axis, groups, left_out, bins, keep, masks, cuts_by_name)
    costs_before = opened.view.costs
    return Look(
        layers=tuple(rows.row(layer) for layer in opened.view.layers if layer.shape),
        units=where.units,
        asked=where.asked,
        fallen=where.fallen,
        cut=cuts.pop() if len(cuts) == 1 else None,
        parameters=size.parameters,
        nonzero=nonzero_after(opened.model, ranking.groups, keep),
        zero_before=costs_before.parameters - costs_before.nonzero,
        bytes=size.bytes,
        macs=size.macs,
    )


def estimate(lab: Lab, recipe: Recipe, seconds: float) -> Outcome:
    """Judge the cut on more of the validation split for about so many seconds, continuing where the last call ended."""
    trial = lab.trials(_selection(recipe))
    if trial.gzip_bytes is None and trial.comparison.seen:
        trial.gzip_bytes = gzip_size(file_bytes(trial.model.state_dict()))
    return Outcome(trial.comparison.advance(trial.model, seconds), trial.gzip_bytes)


def heatmap(lab: Lab, recipe: Recipe, layer: str, window: tuple[int, int, int, int] | None) -> Heatmap:
    """Importance of the layer's weights in a window (top, bottom, left, right), pooled to at most 128 x 128 cells."""
    opened = lab.opened(recipe.workload)
    values, of_units = _importance(lab, recipe, layer)
    rows, columns = values.shape
    top, bottom, left, right = window or (0, rows, 0, columns)
    if not (0 <= top < bottom <= rows and 0 <= left < right <= columns):
        raise PruningError(f"{layer}: the window {window} does not lie in {rows} x {columns}; reset the zoom")
    ranking = lab.ranking(recipe)
    masks = masks_of(ranking.groups, select(ranking, lab.amount(recipe)), opened.model)
    mask = masks.get(_param(opened, layer))
    fallen = torch.zeros_like(values) if mask is None else (~mask).float().flatten(1)
    part = (slice(top, bottom), slice(left, right))
    size = (min(bottom - top, CELLS), min(right - left, CELLS))
    return Heatmap(
        layer=layer,
        shape=(rows, columns),
        top=top,
        bottom=bottom,
        left=left,
        right=right,
        values=F.adaptive_max_pool2d(values[part][None], size)[0].numpy(),
        fallen=(F.adaptive_avg_pool2d(fallen[part][None], size)[0] * 255).round().byte().numpy(),
        of_units=of_units,
        lowest=min(float(values.min()), 0.0),
        highest=float(values.max()),
    )


def effort(lab: Lab, recipe: Recipe) -> Effort:
    """What scoring the recipe's units took the first time; scores them if that has not been done."""
    return lab.scored(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)[2]


def agree(lab: Lab, recipes: Mapping[str, Recipe]) -> Agreement:
    """How far the criteria of the recipes, by kind, agree on what is important and on what falls."""
    return lab.agreements(tuple(recipes.items()))


def units(lab: Lab, recipe: Recipe, layers: Sequence[str]) -> list[UnitsView]:
    """Score and fate of every unit of the layers' groups, each group once."""
    ranking = lab.ranking(recipe)
    groups, scores = lab.scores(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)
    keep = select(ranking, lab.amount(recipe))
    shown: dict[str, UnitsView] = {}
    for layer in layers:
        group = group_of(groups, layer)
        if group is None:
            raise RecipeError(f"{layer} has no {recipe.granularity.unit} that may fall; choose another layer")
        stays = keep.get(group.name, torch.ones(group.units, dtype=torch.bool))
        values = scores[group.name].reshape(group.layout).numpy()
        shown[group.name] = UnitsView(group.name, values, (~stays).reshape(group.layout).numpy(), group.unit_names)
    return list(shown.values())


def _importance(lab: Lab, recipe: Recipe, layer: str) -> tuple[Tensor, bool]:
    """Scores [out, in·kernel] of the layer's weights, and whether they are its units' spread over their values."""
    opened = lab.opened(recipe.workload)
    param = _param(opened, layer)
    weight = opened.model.get_parameter(param).detach()
    weights = isinstance(called_layer(opened.model, param), recipe.criterion.layers) and recipe.criterion.fits == ANY
    for granularity in [Weights()] * weights + [recipe.granularity]:
        groups, scores = lab.scores(recipe.workload, recipe.criterion, granularity, recipe.seed)
        group = group_of(groups, layer)
        piece = next((piece for piece in group.ranked if piece.param == param), None) if group else None
        if group is not None and piece is not None:
            owners = piece.owners(weight.shape)
            spread = torch.where(owners < 0, 0.0, scores[group.name][owners.clamp(min=0)]).expand(weight.shape)
            return spread.flatten(1), not group.of_weights
    return weight.abs().float().flatten(1).cpu(), False


def _param(opened: _Opened, layer: str) -> str:
    """The weight matrix that a row of the layer table stands for."""
    rows = {row.name: row.param for row in opened.view.layers if len(row.shape) > 1 and row.param}
    if layer not in rows:
        raise RecipeError(f"{layer} is not a layer with a weight matrix; choose one from the layer table")
    return rows[layer]


def _selection(recipe: Recipe) -> Recipe:
    """The recipe without what does not change which units fall in one shot: equal selections share their caches."""
    return replace(recipe, schedule=OneShot(), tuning=Tuning())
