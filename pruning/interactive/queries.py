"""What the page asks while a person moves a slider. Lives in a worker, keeps what is expensive, answers plain values.

Scores are computed and sorted once for a (model, criterion, granularity); a slider position is then a search. Accuracy
comes in growing samples: the page asks again for as long as it wants to know more, so a newer position simply asks for
something else and the older estimate is abandoned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pruning.criteria import ANY
from pruning.errors import PruningError, RecipeError
from pruning.granularities import Weights
from pruning.interactive.histograms import Rows
from pruning.interactive.responses import CELLS, AccuracyPreview, Axis, CutPreview, Heatmap, ModelView, UnitsView
from pruning.interactive.session import Opened, PreviewSession
from pruning.layer_sensitivity.result import Sensitivity
from pruning.model.costs import file_bytes, gzip_size, nonzero_after
from pruning.model.layer_table import owning_layer
from pruning.model.layer_types import is_a
from pruning.model.units import group_of, masks_of
from pruning.pipeline.criteria_comparison import Agreement, Compared, Effort
from pruning.recipe.recipe import Recipe
from pruning.selection.allocation import erk, uniform
from pruning.selection.amounts import PerLayer
from pruning.selection.ranking import position, select


def open_workload(lab: PreviewSession, name: str) -> ModelView:
    """The model as it is, measured on the validation split the first time."""
    return lab.opened(name).view


def score_range(lab: PreviewSession, recipe: Recipe) -> tuple[float, float]:
    """The ends of a threshold slider: above it lies at most one unit in 500, so that the slider is not all tail."""
    return lab.ranges(recipe.workload, recipe.criterion, recipe.granularity, recipe.scope, recipe.seed)


def allocation(lab: PreviewSession, recipe: Recipe, rule: Literal["uniform", "erk"], share: float) -> dict[str, float]:
    """Group name -> sparsity by rule: what a person starts from who sets layers by hand."""
    groups = lab.ranking(replace(recipe, amount=PerLayer())).groups
    return uniform(groups, share) if rule == "uniform" else erk(groups, lab.opened(recipe.workload).cost.shapes, share)


def look(lab: PreviewSession, recipe: Recipe, axis: Axis) -> CutPreview:
    """What the recipe's amount does to every layer and to the sizes: searches in what is sorted, and bin counts."""
    opened = lab.opened(recipe.workload)
    ranking, amount = lab.ranking(recipe), lab.amount(recipe)
    where = position(ranking, amount)
    keep = select(ranking, amount)
    removed = ranking.groups if recipe.granularity.removable else ()
    size = opened.cost.after(removed, {share.name: share.pruned for share in where.shares})
    own = amount.own_pools(group.name for group in ranking.groups)
    cuts = {share.cut for share in where.shares if share.name not in own}
    groups, left_out = lab.sorted_out(recipe.workload, recipe.criterion, recipe.granularity)
    bins = lab.bins(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed, axis)
    masks = masks_of(ranking.groups, keep, opened.model)
    cuts_by_name = {share.name: share.cut for share in where.shares}
    rows = Rows(recipe, axis, groups, left_out, bins, keep, masks, cuts_by_name)
    costs_before = opened.view.costs
    return CutPreview(
        layers=tuple(rows.row(layer) for layer in opened.view.layers if layer.shape),
        units=where.units,
        asked=where.asked,
        pruned=where.pruned,
        cut=cuts.pop() if len(cuts) == 1 else None,
        parameters=size.parameters,
        nonzero=nonzero_after(opened.model, ranking.groups, keep),
        zero_before=costs_before.parameters - costs_before.nonzero,
        bytes=size.bytes,
        macs=size.macs,
    )


def estimate(lab: PreviewSession, recipe: Recipe, seconds: float) -> AccuracyPreview:
    """Evaluate the cut on more of the validation split for about so many seconds, continuing where the last call
    ended.
    """
    trial = lab.trial(recipe)
    if trial.gzip_bytes is None and trial.comparison.samples:
        trial.gzip_bytes = gzip_size(file_bytes(trial.model.state_dict()))
    return AccuracyPreview(trial.comparison.advance(trial.model, seconds), trial.gzip_bytes)


def heatmap(lab: PreviewSession, recipe: Recipe, layer: str, window: tuple[int, int, int, int] | None) -> Heatmap:
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
    pruned = torch.zeros_like(values) if mask is None else (~mask).float().flatten(1)
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
        pruned=(F.adaptive_avg_pool2d(pruned[part][None], size)[0] * 255).round().byte().numpy(),
        of_units=of_units,
        lowest=min(float(values.min()), 0.0),
        highest=float(values.max()),
    )


def sensitivity(
    lab: PreviewSession,
    recipe: Recipe,
    levels: tuple[float, ...],
    half_width: float,
    seconds: float,
    part: tuple[int, int] = (0, 1),
    max_drop: float | None = None,
) -> Sensitivity:
    """Sharpen the map of the recipe's criterion and granularity for about so many seconds, from where it was left.

    `half_width` in [0, 1] is how narrow each cell's 95 % interval shall be; 0 evaluates all samples. `part` (i, n)
    takes every nth row from row i on: n workers make a map together. `max_drop` as in `Sensing.advance`.
    """
    return lab.sensing(recipe, levels, part).advance(seconds, half_width, max_drop)


def effort(lab: PreviewSession, recipe: Recipe) -> Effort:
    """What scoring the recipe's units took the first time; scores them if that has not been done."""
    return lab.scored(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)[2]


def know_more(lab: PreviewSession, row: Compared | None, recipe: Recipe | None, seconds: float) -> Compared | None:
    """A comparison's row with its units scored, or else evaluated on more samples; None is nothing to do."""
    if row is None or recipe is None:
        return None
    try:
        if row.effort is not None:
            return replace(row, estimate=estimate(lab, recipe, seconds).estimate)
        now = look(lab, recipe, "score")
        return replace(row, effort=effort(lab, recipe), units=now.units, pruned=now.pruned)
    except PruningError as error:
        return replace(row, problem=str(error))


def agree(lab: PreviewSession, recipes: Mapping[str, Recipe]) -> Agreement:
    """How far the criteria of the recipes, by kind, agree on what is important and on what is pruned."""
    return lab.agreements(tuple(recipes.items()))


def units(lab: PreviewSession, recipe: Recipe, layers: Sequence[str]) -> list[UnitsView]:
    """Score and fate of every unit of the layers' groups, each group once."""
    ranking = lab.ranking(recipe)
    groups, scores = lab.scores(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)
    keep = select(ranking, lab.amount(recipe))
    shown: dict[str, UnitsView] = {}
    for layer in layers:
        group = group_of(groups, layer)
        if group is None:
            raise RecipeError(f"{layer} has no {recipe.granularity.unit} that may be pruned; choose another layer")
        stays = keep.get(group.name, torch.ones(group.units, dtype=torch.bool))
        values = scores[group.name].reshape(group.layout).numpy()
        shown[group.name] = UnitsView(group.name, values, (~stays).reshape(group.layout).numpy(), group.unit_names)
    return list(shown.values())


def _importance(lab: PreviewSession, recipe: Recipe, layer: str) -> tuple[Tensor, bool]:
    """Scores [out, in·kernel] of the layer's weights, and whether they are its units' spread over their values."""
    opened = lab.opened(recipe.workload)
    param = _param(opened, layer)
    weight = opened.model.get_parameter(param).detach()
    weights = is_a(owning_layer(opened.model, param), recipe.criterion.layers) and recipe.criterion.fits == ANY
    for granularity in [Weights()] * weights + [recipe.granularity]:
        groups, scores = lab.scores(recipe.workload, recipe.criterion, granularity, recipe.seed)
        group = group_of(groups, layer)
        piece = next((piece for piece in group.ranked if piece.param == param), None) if group else None
        if group is not None and piece is not None:
            owners = piece.owners(weight.shape)
            spread = torch.where(owners < 0, 0.0, scores[group.name][owners.clamp(min=0)]).expand(weight.shape)
            return spread.flatten(1), not group.of_weights
    return weight.abs().float().flatten(1).cpu(), False


def _param(opened: Opened, layer: str) -> str:
    """The weight matrix that a row of the layer table stands for."""
    rows = {row.name: row.param for row in opened.view.layers if len(row.shape) > 1 and row.param}
    if layer not in rows:
        raise RecipeError(f"{layer} is not a layer with a weight matrix; choose one from the layer table")
    return rows[layer]
