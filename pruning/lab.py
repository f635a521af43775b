"""What the page asks while a person moves a slider. Lives in a worker, keeps what is expensive, answers plain values.

Scores are computed and sorted once for a (model, criterion, granularity); a slider position is then a search. Accuracy
comes in growing samples: the page asks again for as long as it wants to know more, so a newer position simply asks for
something else and the older estimate is abandoned.
"""

import copy
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.amounts import PerLayer
from pruning.answers import CELLS, Axis, Heatmap, Look, ModelView, Outcome
from pruning.calibration import Calibration
from pruning.costs import CostModel, cost_model, costs, file_bytes, gzip_size, nonzero_after
from pruning.criteria import Criterion, unit_scores
from pruning.devices import describe
from pruning.engine import allowed
from pruning.errors import PruningError, RecipeError
from pruning.granularities import Granularity, Weights
from pruning.histograms import Bins, Rows, binned
from pruning.layers import layer_table, prunable_layers
from pruning.measure import Comparison, judge_all
from pruning.opening import open_model
from pruning.recipe import Recipe
from pruning.schedules import OneShot
from pruning.select import Ranking, position, rank, select
from pruning.surgery import remove_units
from pruning.tuning import Tuning
from pruning.units import UnitGroup, apply_masks, group_of, masks_of
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


class Lab:
    """The worker's bench: opened models, rankings and trials, each in a bounded least-recently-used cache."""

    def __init__(self, workloads: Workloads, device: torch.device) -> None:
        self.workloads = workloads
        self.device = device
        self.opened = lru_cache(maxsize=8)(self._open)
        self.sorted_out = lru_cache(maxsize=32)(self._sorted_out)
        self.scores = lru_cache(maxsize=32)(self._scores)
        self.bins = lru_cache(maxsize=16)(self._bins)
        self.rankings = lru_cache(maxsize=32)(self._ranking)
        self.trials = lru_cache(maxsize=32)(self._trial)

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
        )
        return _Opened(workload, model, view, cost_model(model, example), dense)

    def _scores(
        self, name: str, criterion: Criterion, granularity: Granularity, seed: int
    ) -> tuple[list[UnitGroup], dict[str, Tensor]]:
        opened = self.opened(name)
        groups, _ = self.sorted_out(name, granularity)
        calibration = Calibration(opened.workload, self.device, seed)
        return groups, unit_scores(criterion, opened.model, groups, calibration)

    def _sorted_out(self, name: str, granularity: Granularity) -> tuple[list[UnitGroup], dict[str, str]]:
        opened = self.opened(name)
        return granularity.sorted_out(opened.model, opened.workload.example.to(self.device))

    def _bins(
        self, name: str, criterion: Criterion, granularity: Granularity, seed: int, axis: Axis
    ) -> dict[str, "Bins"]:
        """Layer name -> its histogram's bins; the scores' axis ends where all layers' scores end."""
        groups, scores = self.scores(name, criterion, granularity, seed)
        highest = max((float(values.max()) for values in scores.values()), default=1.0) or 1.0
        found: dict[str, Bins] = {}
        if axis == "score":
            for group in groups:
                found |= {layer: binned(scores[group.name], 0.0, highest, 1.0) for layer in group.members}
            return found
        for layer, module in prunable_layers(self.opened(name).model):
            weight = module.get_parameter("weight").detach().float().cpu()
            sigma = float(weight.std(correction=0)) or 1.0
            found[layer] = binned(weight.flatten() / sigma, -4.0, 4.0, sigma)
        return found

    def _ranking(self, recipe: Recipe) -> Ranking:
        """Keyed by a recipe whose amount says only which layers stand apart; see `ranking`."""
        opened = self.opened(recipe.workload)
        groups, scores = self.scores(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)
        return rank(allowed(recipe, groups, opened.view.layers), scores, recipe.scope, recipe.amount)

    def ranking(self, recipe: Recipe) -> Ranking:
        """The sorted units that the recipe's amount is applied to: one sort serves all positions of a slider."""
        empties = recipe.amount.empties()
        apart = PerLayer({layer: float(layer in empties) for layer in recipe.amount.own_pools()})
        return self.rankings(replace(_selection(recipe), amount=apart))

    def _trial(self, recipe: Recipe) -> _Trial:
        opened = self.opened(recipe.workload)
        ranking = self.ranking(recipe)
        keep = select(ranking, recipe.amount)
        model = copy.deepcopy(opened.model)
        apply_masks(model, masks_of(ranking.groups, keep, model))
        if recipe.granularity.removable:
            model = remove_units(model, opened.workload.example.to(self.device), ranking.groups, keep)
        split, task = opened.workload.validation, opened.workload.task
        return _Trial(model, Comparison(opened.dense, split, task, self.device))


def open_workload(lab: Lab, name: str) -> ModelView:
    """The model as it is, measured on the validation split the first time."""
    return lab.opened(name).view


def highest_score(lab: Lab, recipe: Recipe) -> float:
    """The end of a threshold slider: above it lies at most one unit in 500, so that the slider is not all tail."""
    _, scores = lab.scores(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)
    values = torch.cat(list(scores.values())).sort().values if scores else torch.zeros(1)
    return float(values[min(int(0.998 * len(values)), len(values) - 1)])


def look(lab: Lab, recipe: Recipe, axis: Axis) -> Look:
    """What the recipe's amount does to every layer and to the sizes: searches in what is sorted, and bin counts."""
    opened = lab.opened(recipe.workload)
    ranking = lab.ranking(recipe)
    where = position(ranking, recipe.amount)
    keep = select(ranking, recipe.amount)
    size = opened.cost.after(ranking.groups, {share.name: share.fallen for share in where.shares})
    own = recipe.amount.own_pools()
    cuts = {share.cut for share in where.shares if share.name not in own}
    groups, left_out = lab.sorted_out(recipe.workload, recipe.granularity)
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
    mask = masks_of(ranking.groups, select(ranking, recipe.amount), opened.model).get(f"{layer}.weight")
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
        highest=float(values.max()),
    )


def _importance(lab: Lab, recipe: Recipe, layer: str) -> tuple[Tensor, bool]:
    """Scores [out, in·kernel] of the layer's weights, and whether they are its units' scores spread over their rows."""
    opened = lab.opened(recipe.workload)
    if layer not in {row.name for row in opened.view.layers if len(row.shape) > 1}:
        raise RecipeError(f"{layer} is not a layer with a weight matrix; choose one from the layer table")
    weight = opened.model.get_submodule(layer).get_parameter("weight").detach()
    rows = weight.shape[0]
    if "weights" in recipe.criterion.fits:
        groups, scores = lab.scores(recipe.workload, recipe.criterion, Weights(), recipe.seed)
        if (group := group_of(groups, layer)) is not None:
            return scores[group.name].reshape(rows, -1), False
    groups, scores = lab.scores(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)
    if (group := group_of(groups, layer)) is not None:
        return scores[group.name][:, None].expand(rows, weight[0].numel()), True
    return weight.abs().float().flatten(1).cpu(), False


def _selection(recipe: Recipe) -> Recipe:
    """The recipe without what does not change which units fall in one shot: equal selections share their caches."""
    return replace(recipe, schedule=OneShot(), tuning=Tuning())
