"""Which training a round belongs to, what is added to its loss, and what its weights begin with."""

from dataclasses import replace

from pruning.model.drawing import draw_anew
from pruning.model.tensors import put_into
from pruning.model.units import Masks, apply_masks
from pruning.run.context import RunContext
from pruning.run.state import Plan, RoundCut
from pruning.training.fine_tuning import Training
from pruning.training.loss_terms import LossTerm
from pruning.training.schedules import Round
from pruning.training.snapshot import Snapshot


def training_of(context: RunContext, plan: Plan, number: int) -> Training:
    """The training that the round belongs to, at its first step: one of its own, or that of all rounds."""
    recipe, together = context.recipe, trained_together(context, plan, number)
    rounds = [each for each in plan.rounds if not each.before] if together else [plan.rounds[number]]
    seed = recipe.seed if together else recipe.seed + number
    steps = sum(each.steps for each in rounds)
    terms = _loss_terms(context, plan.rounds[number])
    tuning = recipe.tuning
    if plan.rounds[number].before:
        tuning = replace(tuning, patience=None)  # units shrink at the price of the score: the best one is the first
    return Training(context.model, context.workload, tuning, steps, context.device, seed, terms)


def trained_together(context: RunContext, plan: Plan, number: int) -> bool:
    """Whether one training goes through the round and all others that cut."""
    return context.recipe.schedule.continuous and not plan.rounds[number].before


def _loss_terms(context: RunContext, each: Round) -> list[LossTerm]:
    """What is added to the task's loss in the training of a round."""
    distillation, regulariser = context.recipe.distillation, context.recipe.regulariser
    learnt = penalty = None
    if context.teacher is not None:
        learnt = distillation.term(context.workload, context.model, context.teacher)
    if each.before == "sparse" or (not each.before and regulariser.after_cuts):
        penalty = regulariser.penalty(context.model, context.groups)
    step = context.recipe.rewind.step if each.before == "from scratch" else None
    early = None if step is None else Snapshot(context.model, step)
    return [term for term in (penalty, learnt, early) if term is not None]


def steps_before(context: RunContext, plan: Plan, cut: RoundCut) -> int:
    """Optimiser steps that the round's training took in earlier rounds."""
    if not trained_together(context, plan, cut.number):
        return 0
    return cut.done - sum(each.steps for each in plan.rounds if each.before)


def rewound(context: RunContext, plan: Plan, cut: RoundCut, masks: Masks) -> None:
    """Give the weights that the cut leaves the values that they go on with."""
    rewind = context.recipe.rewind
    if rewind.step is None and not rewind.anew:
        return
    if rewind.anew:
        draw_anew(context.model, context.recipe.seed + 1 + cut.number, context.device)
    else:
        put_into(context.model, plan.early)
    apply_masks(context.model, masks)
