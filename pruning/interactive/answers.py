"""What the page's questions compute, over what a session keeps: scores, rankings, bins and cut networks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from pruning.criteria import ANY, scores_weight
from pruning.errors import PruningError, RecipeError
from pruning.evaluation.estimate import Estimate
from pruning.granularities import Weights
from pruning.interactive.histograms import Rows
from pruning.interactive.responses import (
    CELLS,
    AccuracyPreview,
    Axis,
    CutPreview,
    Heatmap,
    Repairing,
    RepairPreview,
    UnitsView,
)
from pruning.interactive.session import Opened, PreviewSession
from pruning.model.costs import nonzero_after
from pruning.model.layer_table import owning_layer
from pruning.model.layer_types import OUT_BY_IN, is_a
from pruning.model.units import group_of
from pruning.recipe.recipe import Recipe
from pruning.selection.allocation import erk, uniform
from pruning.selection.amounts import PerLayer

LONG_S = 1.0
"""An evaluation that takes longer has the gzip size looked for beside it."""


def allocated(
    session: PreviewSession, recipe: Recipe, rule: Literal["uniform", "erk"], share: float
) -> dict[str, float]:
    """Group name -> sparsity by rule: what a person starts from who sets layers by hand."""
    groups = session.ranking(replace(recipe, amount=PerLayer())).groups
    return (
        uniform(groups, share) if rule == "uniform" else erk(groups, session.opened(recipe.workload).cost.shapes, share)
    )


def cut_preview(session: PreviewSession, recipe: Recipe, axis: Axis) -> CutPreview:
    """What the recipe's amount does to every layer and to the sizes: searches in what is sorted, and bin counts."""
    opened = session.opened(recipe.workload)
    decision = session.decision(recipe)
    where, size = decision.counts, decision.sizes
    own = decision.amount.own_pools(group.name for group in decision.groups)
    cuts = {share.cut for share in where.shares if share.name not in own}
    groups, left_out = session.sorted_out(recipe.workload, recipe.criterion, recipe.granularity)
    bins = session.bins(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed, axis)
    cuts_by_name = {share.name: share.cut for share in where.shares}
    rows = Rows(recipe, axis, groups, left_out, bins, decision.keep, decision.masks, cuts_by_name)
    costs_before = opened.view.costs
    return CutPreview(
        layers=tuple(rows.row(layer) for layer in opened.view.layers if layer.shape),
        units=where.units,
        asked=where.asked,
        pruned=where.pruned,
        cut=cuts.pop() if len(cuts) == 1 else None,
        parameters=size.parameters,
        nonzero=nonzero_after(opened.model, decision.masks),
        zero_before=costs_before.parameters - costs_before.nonzero,
        bytes=size.bytes,
        macs=size.macs,
        values=decision.values,
        zeroed=decision.zeroed,
    )


def accuracy_preview(session: PreviewSession, recipe: Recipe, seconds: float) -> AccuracyPreview:
    """Evaluate the cut on more of the validation split for about so many seconds, continuing where the last call
    ended; then, or in turns with what takes long, find the gzip size of its file.

    Not before: of a slider that moves on, nobody waits for it.
    """
    trial = session.trial(recipe)
    evaluated = trial.comparison
    if trial.gzip_bytes is None and (evaluated.done or (evaluated.seconds > LONG_S and trial.packs_next)):
        trial.gzip_bytes, trial.packs_next = session.packed(recipe, seconds), False
        return AccuracyPreview(evaluated.look(), trial.gzip_bytes)
    trial.packs_next = True
    return AccuracyPreview(evaluated.advance(trial.model, seconds), trial.gzip_bytes)


def estimated(session: PreviewSession, recipe: Recipe, seconds: float) -> Estimate:
    """The same where nobody asks for the size of a file."""
    trial = session.trial(recipe)
    return trial.comparison.advance(trial.model, seconds)


def repair_preview(session: PreviewSession, recipe: Recipe, seconds: float) -> RepairPreview | Repairing:
    """Go on with the cut's repair, and once that is done evaluate it on more of the validation split."""
    trial = session.repaired(recipe, seconds)
    if isinstance(trial, Repairing):
        return trial
    done = trial.mended
    return RepairPreview(trial.comparison.advance(trial.model, seconds), done.helped, done.seconds, dict(done.left))


def pooled_heatmap(
    session: PreviewSession, recipe: Recipe, layer: str, window: tuple[int, int, int, int] | None
) -> Heatmap:
    """Importance of the layer's weights in a window (top, bottom, left, right), pooled to at most 128 x 128 cells."""
    opened = session.opened(recipe.workload)
    values, of_units = _importance(session, recipe, layer)
    rows, columns = values.shape
    top, bottom, left, right = window or (0, rows, 0, columns)
    if not (0 <= top < bottom <= rows and 0 <= left < right <= columns):
        raise PruningError(f"{layer}: the window {window} does not lie in {rows} x {columns}; reset the zoom")
    mask = session.decision(recipe).masks.get(_param(opened, layer))
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
        out_by_in=is_a(owning_layer(opened.model, _param(opened, layer)), OUT_BY_IN),
    )


def unit_views(session: PreviewSession, recipe: Recipe, layers: Sequence[str]) -> list[UnitsView]:
    """Score and fate of every unit of the layers' groups, each group once."""
    groups, scores = session.scores(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)
    keep = session.decision(recipe).keep
    shown: dict[str, UnitsView] = {}
    for layer in layers:
        group = group_of(groups, layer)
        if group is None:
            raise RecipeError(f"{layer} has no {recipe.granularity.unit} that may be pruned; choose another layer")
        stays = keep.get(group.name, torch.ones(group.units, dtype=torch.bool))
        values = scores[group.name].reshape(group.layout).numpy()
        names = tuple(block.path for block in group.blocks)
        shown[group.name] = UnitsView(group.name, values, (~stays).reshape(group.layout).numpy(), names)
    return list(shown.values())


def _importance(session: PreviewSession, recipe: Recipe, layer: str) -> tuple[Tensor, bool]:
    """Scores [out, in·kernel] of the layer's weights, and whether they are its units' spread over their values."""
    opened = session.opened(recipe.workload)
    param = _param(opened, layer)
    weight = opened.model.get_parameter(param).detach()
    layer_scored = scores_weight(recipe.criterion, owning_layer(opened.model, param), param.rpartition(".")[2])
    weights = layer_scored and recipe.criterion.fits == ANY
    for granularity in [Weights()] * weights + [recipe.granularity]:
        groups, scores = session.scores(recipe.workload, recipe.criterion, granularity, recipe.seed)
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
