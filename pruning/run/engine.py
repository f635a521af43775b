"""Carry out a recipe: a generator of events that ends with the pruned model. Nothing here draws, prints or stores."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from pruning.errors import RecipeError
from pruning.evaluation.accuracy import guessing
from pruning.evaluation.stages import measure_stage
from pruning.events import Event, Stage, StageMeasured, StageName, Started, SurgeryChecked, Warned
from pruning.model.contract import require_loss
from pruning.model.costs import cost_model
from pruning.model.devices import default_device, device_name, full_precision
from pruning.model.drawing import draw_anew, require_drawing
from pruning.model.module_sizes import ModuleSizes, sizes_between
from pruning.model.preparation import open_model
from pruning.model.surgery import largest_difference, magnitude, remove_units, zeroed_note
from pruning.model.tensors import copies_of
from pruning.model.trial import compute_the_same
from pruning.model.units import Keep
from pruning.pipeline.eligibility import chosen_groups
from pruning.pipeline.one_shot import Decision, RankedUnits
from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair
from pruning.run.context import RunContext, Stop, keep_everything, pruned_share
from pruning.run.rounds import carry_out_rounds, first_round, resumed_round
from pruning.run.state import Plan, RepairedCut, RunState, Save
from pruning.selection.amounts import Automatic
from pruning.training.distillation.teachers import teacher_of
from pruning.training.fine_tuning import steps_per_epoch
from pruning.training.objective import require_objective
from pruning.training.regularisers.histogram import mean_sizes
from pruning.training.schedules import Round
from pruning.workload import Workload, metric_of


@dataclass(frozen=True, eq=False)
class PruneResult:
    """What a run leaves: the model (smaller, where units were removed), what was kept, and its measured stages.

    `sizes` are what the dense model has to be told, besides tensors, to become this one.
    """

    model: nn.Module
    keep: Keep
    stages: Mapping[str, Stage]
    stopped: bool
    sizes: ModuleSizes


def prune(
    workload: Workload,
    recipe: Recipe,
    device: torch.device | None = None,
    stop: Stop = lambda: False,
    progress: RunState | None = None,
    save: Save = lambda _: (),
) -> Generator[Event, None, PruneResult]:
    """Prune in rounds, tune after each, measure; yields events and returns the result. Closing it cancels it.

    `stop` is asked at every batch: once true, what there is by then is measured and returned as the result. `save` is
    given how far the run has come, after each validation; with such a `progress` a run goes on from there, and on a CPU
    ends with the same bits. PruningError says what does not fit; torch.OutOfMemoryError is the caller's to handle. An
    automatic amount has been found before: see `with_found_amount`.
    """
    device = device or default_device()
    model, teacher = opened(workload, recipe, device)
    groups = chosen_groups(workload, recipe, model)
    context = RunContext(
        workload, recipe, device, model, groups, cost_model(model, workload.example.to(device)), teacher
    )
    stoppable = context.stoppable(stop)
    if progress is None:
        plan, ranked, repaired = yield from _planned(context)
        plan, ranked = _started(context, plan, ranked)
        known = None if recipe.start.anew else repaired  # what was repaired is a cut of the network as it was given
        run = None if stop() else first_round(stoppable, plan, ranked, known)
    else:
        plan, run = progress.plan, resumed_round(stoppable, progress)
    keep = (yield from carry_out_rounds(stoppable, plan, run, stop, save)) if run else keep_everything(context)
    stopped = stop()
    if recipe.granularity.removable:
        model = yield from _removed("tuned", context, model, keep)
    sizes = sizes_between(context.model, model)
    tuned = measure_stage(model, workload, device, sizes)
    yield StageMeasured("tuned", tuned)
    return PruneResult(model, keep, {**plan.stages, "tuned": tuned}, stopped, sizes)


def opened(workload: Workload, recipe: Recipe, device: torch.device) -> tuple[nn.Module, nn.Module | None]:
    """The network, and who teaches it, None where nobody does. PruningError says what does not fit, before any work."""
    model = open_model(workload, device)
    _require_drop(workload, recipe)
    if recipe.start.anew or recipe.rewind.anew:
        require_drawing(model)
    if recipe.tuning.epochs or recipe.regulariser.epochs or recipe.start.epochs:
        require_objective(workload, recipe.tuning)
        require_loss(workload, model, device)
    _require_early(workload, recipe)
    return model, teacher_of(workload, recipe.distillation, recipe.tuning, model, device)


def _require_drop(workload: Workload, recipe: Recipe) -> None:
    """RecipeError if a drop is allowed that is larger than the metric's whole range."""
    metric, amount = metric_of(workload.task), recipe.amount
    searched = amount.max_drop if isinstance(amount, Automatic) else None
    for where, drop in (("schedule", recipe.schedule.max_drop), ("amount", searched)):
        if drop is not None and drop > metric.span:
            raise RecipeError(f"{where}.max_drop is {drop}; it lies between 0 and {metric.span:g}", where)


def _planned(context: RunContext) -> Generator[Event, None, tuple[Plan, RankedUnits, RepairedCut | None]]:
    """Score the dense network's units and measure the first stages: dense, and the whole amount taken at once.

    With a repair also that repaired, which is returned too: where the first round takes the whole amount, it is its
    cut.
    """
    recipe, workload = context.recipe, context.workload
    ranked = context.ranked({})
    target = ranked.decide(recipe.amount)
    penalty = recipe.regulariser.penalty(context.model, context.groups)
    per_epoch = steps_per_epoch(recipe.tuning, workload.train)
    scratch, sparse = per_epoch * recipe.start.epochs, per_epoch * recipe.regulariser.epochs
    before = [Round(0.0, scratch, before="from scratch")] if scratch else []
    before += [Round(0.0, sparse, before="sparse")] if sparse else []
    cuts = recipe.schedule.rounds_of(per_epoch * recipe.tuning.epochs, target.counts.asked / target.counts.units)
    rounds = (*before, *cuts)
    total = sum(each.steps for each in rounds)
    metric, classes = metric_of(workload.task), workload.task.classes
    yield Started(workload.name, device_name(context.device), len(rounds), total, classes, metric)
    dense = measure_stage(context.model, workload, context.device)
    yield StageMeasured("dense", dense)
    if sentence := guessing(dense.score, dense.samples, len(classes), metric):
        yield Warned(sentence)
    stages: dict[str, Stage] = {"dense": dense}
    cut = target.masked_copy(context.model)
    stages["pruned"] = yield from _measure_cut("pruned", context, cut, target)
    repaired: RepairedCut | None = None
    if not isinstance(recipe.repair, NoRepair):
        done = context.repaired(cut, context.model, target.masks, 0, stages["pruned"].validation)
        yield done
        repaired = RepairedCut(target.keep, copies_of(cut), done)
        stages["repaired"] = yield from _measure_cut("repaired", context, cut, target)
    means = mean_sizes(penalty.sizes(context.model)) if penalty else {}
    return Plan(rounds, stages, ranked.ranking.divisors, means), ranked, repaired


def _started(context: RunContext, plan: Plan, ranked: RankedUnits) -> tuple[Plan, RankedUnits]:
    """The network with the weights that the run begins with, and its units ranked."""
    recipe = context.recipe
    if not recipe.start.anew:
        return plan, ranked
    draw_anew(context.model, recipe.seed, context.device)
    ranked = context.ranked({})
    early = copies_of(context.model) if recipe.rewind.step is not None else {}
    return replace(plan, divisors=ranked.ranking.divisors, early=early), ranked


def _require_early(workload: Workload, recipe: Recipe) -> None:
    """RecipeError if weights should go back to a step that training from scratch does not reach."""
    scratch = steps_per_epoch(recipe.tuning, workload.train) * recipe.start.epochs
    if recipe.rewind.step is not None and recipe.rewind.step > scratch:
        raise RecipeError(
            f"rewind.step is {recipe.rewind.step}, but training from scratch takes {scratch} optimiser steps: "
            "raise start.epochs or lower rewind.step",
            "rewind",
        )


def _measure_cut(
    stage: StageName, context: RunContext, cut: nn.Module, target: Decision
) -> Generator[Event, None, Stage]:
    """The stage of the whole amount taken at once, before any tuning: what the preview showed, or that repaired."""
    if target.removable:
        cut = yield from _removed(stage, context, cut, target.keep)
    measured = measure_stage(cut, context.workload, context.device, sizes_between(context.model, cut))
    yield StageMeasured(stage, measured)
    return measured


def _because_of_norms(stage: StageName, apart: str) -> str:
    return (
        f"{stage}: outputs with units masked and with units removed differ by up to {apart}, for norms and means are "
        "taken over the units that are left; the scores shown are those of the smaller network"
    )


def _because_of_more(stage: StageName, apart: str) -> str:
    return (
        f"{stage}: outputs with units masked and with units removed differ by up to {apart}, for more differs than "
        "norms; the scores shown are those of the smaller network"
    )


ROUNDING = 1e-4
"""Of the largest output: what rounding alone may make of two networks that compute the same in float32."""


@torch.no_grad()
def _removed(stage: StageName, context: RunContext, model: nn.Module, keep: Keep) -> Generator[Event, None, nn.Module]:
    """The masked model without its pruned units, after comparing the outputs of the two."""
    smaller = remove_units(model, context.example, context.groups, keep)
    validation = context.workload.validation
    inputs, _ = validation.batch(torch.arange(min(256, len(validation))), context.device)
    with full_precision():
        expected = model(inputs)
        difference = largest_difference(expected, smaller(inputs))
    before, after = (sum(p.numel() for p in m.parameters()) for m in (model, smaller))
    zeroed = zeroed_note(context.groups, keep)
    yield SurgeryChecked(stage, difference, pruned_share(keep), 1 - after / before, zeroed)
    if zeroed and stage == "pruned":  # once, before any training
        yield Warned(zeroed)
    if not difference <= ROUNDING * magnitude(expected):
        apart = f"{difference:.3g}"
        by_norms = compute_the_same(model, smaller, inputs[:2])
        yield Warned(_because_of_norms(stage, apart) if by_norms else _because_of_more(stage, apart))
    return smaller
