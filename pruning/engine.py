"""Carry out a recipe: a generator of events that ends with the pruned model. Nothing here draws, prints or stores."""

import copy
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.calibration import Calibration
from pruning.costs import costs
from pruning.criteria import unit_scores
from pruning.devices import default_device, describe, full_precision
from pruning.errors import PruningError, RecipeError
from pruning.events import (
    Event,
    Masked,
    Measured,
    Stage,
    StageMeasured,
    StageName,
    Started,
    SurgeryChecked,
    TuningStep,
    Warned,
)
from pruning.layers import Layer, layer_table
from pruning.measure import class_scores, judge_all
from pruning.opening import open_model
from pruning.recipe import Recipe, kind_of
from pruning.select import Position, Ranking, position, rank, select
from pruning.surgery import remove_units
from pruning.tuning import steps_per_epoch, tune
from pruning.units import Keep, UnitGroup, apply_masks, group_of, masks_of
from pruning.workload import Workload


@dataclass(frozen=True, eq=False)
class Pruned:
    """What a run leaves: the model (smaller, where units were removed), what was kept, and its measured stages."""

    model: nn.Module
    keep: Keep
    stages: Mapping[str, Stage]
    stopped: bool


Stop = Callable[[], bool]


def prune(
    workload: Workload, recipe: Recipe, device: torch.device | None = None, stop: Stop = lambda: False
) -> Generator[Event, None, Pruned]:
    """Prune in rounds, tune after each, measure; yields events and returns the result. Closing it cancels it.

    `stop` is asked between optimiser steps: once true, what there is by then is measured and returned as the result.
    PruningError says what does not fit; torch.OutOfMemoryError is the caller's to handle.
    """
    device = device or default_device()
    model = open_model(workload, device)
    groups = chosen_groups(workload, recipe, model)
    progress = recipe.schedule.progress()
    per_round = steps_per_epoch(recipe.tuning, workload.train) * recipe.tuning.epochs
    yield Started(workload.name, describe(device), len(progress), per_round * len(progress), workload.task.classes)

    stages: dict[str, Stage] = {"dense": measure_stage(model, workload, device)}
    yield StageMeasured("dense", stages["dense"])
    ranking = ranked(model, groups, recipe, workload, device)
    stages["pruned"] = yield from _measure_cut(
        "pruned", model, groups, select(ranking, recipe.amount), recipe, workload, device
    )
    yield StageMeasured("pruned", stages["pruned"])

    keep: dict[str, Tensor] = {group.name: torch.ones(group.units, dtype=torch.bool) for group in groups}
    for number, share in enumerate(progress):
        if stop():
            break
        if number:
            ranking = ranked(model, groups, recipe, workload, device, keep)
        keep = select(ranking, recipe.amount, share)
        yield from _cut_events(number, share, position(ranking, recipe.amount, share))
        masks = masks_of(groups, keep, model)
        apply_masks(model, masks)
        sparsity = _fallen_share(keep)
        yield _validation(model, workload, device, number, number * per_round, sparsity)
        steps = tune(model, workload, recipe.tuning, masks, device, recipe.seed + number)
        for step in steps:
            done = number * per_round + step.step + 1
            _require_finite_loss(step.loss, recipe)
            yield TuningStep(number, step.epoch, done, step.loss)
            if (step.step + 1) % (step.steps // recipe.tuning.epochs) == 0:
                yield _validation(model, workload, device, number, done, sparsity)
            if stop():
                steps.close()
                break
    model.eval()
    stopped = stop()
    if recipe.granularity.removable:
        model = yield from _removed("tuned", model, groups, keep, workload, device)
    stages["tuned"] = measure_stage(model, workload, device)
    yield StageMeasured("tuned", stages["tuned"])
    return Pruned(model, keep, stages, stopped)


def chosen_groups(workload: Workload, recipe: Recipe, model: nn.Module) -> list[UnitGroup]:
    """The unit groups that a recipe lets fall, on the model's device. RecipeError names a layer that is not there."""
    example = workload.example.to(next((parameter.device for parameter in model.parameters()), torch.device("cpu")))
    return allowed(recipe, recipe.granularity.groups(model, example), layer_table(model, example))


def allowed(recipe: Recipe, groups: Sequence[UnitGroup], table: Sequence[Layer]) -> list[UnitGroup]:
    """Those of the granularity's groups that the recipe lets fall. RecipeError as for `chosen_groups`."""
    layers = {layer.name for layer in table}
    if unknown := sorted(set(recipe.keep_whole) - layers):
        raise RecipeError(
            f"keep_whole names {unknown[0]}, which is not a layer; the layers are {', '.join(sorted(layers))}"
        )
    names = [group.name for group in groups]
    if wrong := sorted(recipe.amount.own_pools() - set(names)):
        raise RecipeError(
            f"amount.shares names {wrong[0]}, which has no {kind_of(recipe.granularity)} of its own to prune; "
            f"use {', '.join(names)}"
        )
    whole = {group.name for layer in recipe.keep_whole if (group := group_of(groups, layer)) is not None}
    if both := sorted(whole & recipe.amount.own_pools()):
        raise RecipeError(f"{both[0]} is kept whole and has a share in amount.shares; take it out of one of them")
    left = [group for group in groups if group.name not in whole]
    if recipe.granularity.removable and (empty := sorted(recipe.amount.empties())):
        raise RecipeError(
            f"amount.shares.{empty[0]} is 1.0, but a layer without {kind_of(recipe.granularity)} cannot run; use less"
        )
    if not left:
        raise RecipeError("nothing is left to prune: every layer is kept whole or has no units that may fall")
    return left


def ranked(
    model: nn.Module,
    groups: Sequence[UnitGroup],
    recipe: Recipe,
    workload: Workload,
    device: torch.device,
    keep: Keep | None = None,
) -> Ranking:
    """Score and sort the units. Those that `keep` says have fallen come first, so that none comes back."""
    scores = unit_scores(recipe.criterion, model, groups, Calibration(workload, device, recipe.seed))
    fallen = {name: ~stays for name, stays in (keep or {}).items()}
    return rank(groups, scores, recipe.scope, recipe.amount, fallen)


def measure_stage(model: nn.Module, workload: Workload, device: torch.device) -> Stage:
    """Scores on all of both splits, and all costs."""
    test, targets = judge_all(model, workload.test, workload.task, device)
    validation, _ = judge_all(model, workload.validation, workload.task, device)
    cost = costs(model, workload.example.to(device))
    return Stage(
        score=float(test.double().mean()),
        validation=float(validation.double().mean()),
        samples=len(test),
        parameters=cost.parameters,
        nonzero=cost.nonzero,
        macs=cost.macs,
        bytes=cost.bytes,
        gzip_bytes=cost.gzip_bytes,
        class_scores=class_scores(test, targets, len(workload.task.classes)),
    )


def _measure_cut(
    stage: StageName,
    model: nn.Module,
    groups: Sequence[UnitGroup],
    keep: Keep,
    recipe: Recipe,
    workload: Workload,
    device: torch.device,
) -> Generator[Event, None, Stage]:
    """The stage of the whole amount taken at once, before any tuning: what the preview showed."""
    cut = copy.deepcopy(model)
    apply_masks(cut, masks_of(groups, keep, cut))
    if recipe.granularity.removable:
        cut = yield from _removed(stage, cut, groups, keep, workload, device)
    return measure_stage(cut, workload, device)


@torch.no_grad()
def _removed(
    stage: StageName,
    model: nn.Module,
    groups: Sequence[UnitGroup],
    keep: Keep,
    workload: Workload,
    device: torch.device,
) -> Generator[Event, None, nn.Module]:
    """The masked model without its fallen units, after comparing the outputs of the two."""
    smaller = remove_units(model, workload.example.to(device), groups, keep)
    inputs, _ = workload.validation.batch(torch.arange(min(256, len(workload.validation))), device)
    with full_precision():
        difference = float((model(inputs) - smaller(inputs)).abs().max())
    before, after = (sum(p.numel() for p in m.parameters()) for m in (model, smaller))
    yield SurgeryChecked(stage, difference, _fallen_share(keep), 1 - after / before)
    if not difference <= 1e-3:
        yield Warned(
            f"{stage}: outputs with units masked and with units removed differ by up to {difference:.3g}; "
            "the scores shown are those of the smaller network"
        )
    return smaller


def _cut_events(number: int, share: float, where: Position) -> Generator[Event, None, None]:
    kept = {row.name: row.kept for row in where.shares}
    yield Masked(number, share, where.asked, where.fallen, where.units, kept)
    if where.fallen < where.asked:
        yield Warned(
            f"round {number + 1}: {where.asked} units were asked to fall and {where.fallen} fell, "
            "because every layer keeps at least one"
        )


def _validation(
    model: nn.Module, workload: Workload, device: torch.device, number: int, step: int, sparsity: float
) -> Measured:
    scores, _ = judge_all(model, workload.validation, workload.task, device)
    return Measured(number, step, "validation", float(scores.double().mean()), sparsity)


def _fallen_share(keep: Keep) -> float:
    units = sum(len(stays) for stays in keep.values())
    return sum(int((~stays).sum()) for stays in keep.values()) / units


def _require_finite_loss(loss: float, recipe: Recipe) -> None:
    if loss != loss or loss in (float("inf"), float("-inf")):
        raise PruningError(
            f"the loss became {loss} while tuning; lower tuning.learning_rate (it is {recipe.tuning.learning_rate}), "
            "or look for NaN in the training data"
        )
