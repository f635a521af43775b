"""The rounds of a run: prune, measure, fine-tune, and again."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

from pruning.criteria.calibration import Calibration
from pruning.errors import PruningError
from pruning.events import Event, Measured, TuningStep, Warned
from pruning.model.devices import Randomness
from pruning.model.tensors import copies_of, put_into, tensors_of
from pruning.model.units import Keep, apply_masks, masks_of
from pruning.pipeline.exchange import exchanged_weights
from pruning.pipeline.one_shot import RankedUnits
from pruning.recipe.recipe import Recipe
from pruning.reporting.formatting import score_text, worse_than_allowed
from pruning.run.context import RunContext, Stop, StopAsked, pruned_share
from pruning.run.cutting import cut_and_repaired, masked_event, report_masked
from pruning.run.state import CurrentRound, Plan, RepairedCut, RoundCut, RoundStart, RunState, Save
from pruning.run.trainings import rewound, steps_before, trained_together, training_of
from pruning.training.fine_tuning import Training
from pruning.training.regularisers.histogram import unit_sizes
from pruning.training.regularisers.penalty import Penalty
from pruning.training.snapshot import Snapshot
from pruning.workload import metric_of


def first_round(
    context: RunContext, plan: Plan, ranked: RankedUnits, repaired: RepairedCut | None = None
) -> CurrentRound:
    """The first round. Before it nothing is pruned, as after a round of the number -1.

    `repaired` is the whole amount taken from the network as it is by now, if that has been made and repaired.
    """
    nothing = ranked.decide(context.recipe.amount, 0.0)
    dense = RoundCut(-1, 0, nothing.keep, masked_event(0, 0.0, nothing), None)
    first = _round_after(dense, context, plan, ranked, training_of(context, plan, 0))
    same = repaired is not None and repaired.is_that_of(first.cut.keep)
    return replace(first, repaired=repaired) if same else first


def resumed_round(context: RunContext, progress: RunState) -> CurrentRound:
    """The round that was interrupted, its model and training as they were. PruningError if the network has changed."""
    shapes, written = ({n: t.shape for n, t in each.items()} for each in (tensors_of(context.model), progress.tensors))
    if shapes != written:
        raise PruningError(
            f"the run was interrupted and cannot go on: the network of {context.workload.name} has other layers now "
            "than when it began; start the run anew"
        )
    put_into(context.model, progress.tensors)
    training = training_of(context, progress.plan, progress.cut.number)
    training.load(progress.training)
    masks = masks_of(context.groups, progress.cut.keep, context.model)
    progress.randomness.restore(context.device)  # last: building a network may draw
    return CurrentRound(progress.cut, masks, training, progress.score)


def carry_out_rounds(
    context: RunContext, plan: Plan, current: CurrentRound, stop: Stop, save: Save
) -> Generator[Event, None, Keep]:
    """Finish the current round and carry out those after it; returns which units were kept.

    `save` is called after each validation, once the event of that validation has been consumed. When `stop` is true the
    rounds end where they are; with a `stoppable` context within a batch, else at the end of the round.
    """
    keep, drop = current.cut.keep, context.recipe.schedule.max_drop
    try:
        while True:
            score = yield from _finish(context, plan, current, save)
            if current.training.done == current.training.total:
                current.training.finish()
            lost = metric_of(context.workload.task).drop(score - plan.stages["dense"].validation)
            cut = current.cut
            scratch = plan.rounds[cut.number].before == "from scratch"  # before it there is nothing to go back to
            if cut.before is not None and drop is not None and lost > drop and not scratch and not stop():
                keep = cut.before.keep
                yield from _take_back(context, cut, cut.before, lost, drop)
                break
            if cut.number + 1 == len(plan.rounds) or stop():
                break
            plan, current = _next_round(context, plan, current)
            keep = current.cut.keep
    except StopAsked:
        current.training.kept.settle()
    current.training.finish()
    return keep


def _next_round(context: RunContext, plan: Plan, current: CurrentRound) -> tuple[Plan, CurrentRound]:
    """Score the units that are left, and decide which of them the next round prunes."""
    last, number = plan.rounds[current.cut.number], current.cut.number + 1
    if plan.rounds[number].exchange:
        return plan, _exchanged(context, plan, current)
    # before the first cut nothing was lost: layers are compared as the training has left them
    ranked = context.ranked(current.cut.keep, None if last.before else plan.divisors)
    early = next((term.tensors for term in current.training.terms if isinstance(term, Snapshot)), plan.early)
    plan = replace(plan, divisors=ranked.ranking.divisors, early=early)
    goes_on = trained_together(context, plan, number) and not last.before
    training = current.training if goes_on else training_of(context, plan, number)
    return plan, _round_after(current.cut, context, plan, ranked, training)


def _exchanged(context: RunContext, plan: Plan, current: CurrentRound) -> CurrentRound:
    """The next round, in which weights change places with pruned ones; no more are pruned."""
    last, number = current.cut, current.cut.number + 1
    calibration = Calibration(context.workload, context.device, context.recipe.seed + number)
    share = plan.rounds[number].exchange
    keep, new = exchanged_weights(context.model, context.groups, last.keep, calibration, share)
    reported = replace(last.reported, round=number, exchanged=sum(int(each.sum()) for each in new.values()))
    cut = RoundCut(number, last.done + plan.rounds[last.number].steps, keep, reported, None)
    old = masks_of(context.groups, {name: ~each for name, each in new.items()}, context.model)
    grown = {name: ~stays for name, stays in old.items()}
    return CurrentRound(cut, masks_of(context.groups, keep, context.model), current.training, grown=grown)


def _round_after(
    last: RoundCut, context: RunContext, plan: Plan, ranked: RankedUnits, training: Training
) -> CurrentRound:
    """The round after `last`, decided on; the model is not changed yet."""
    number = last.number + 1
    progress = plan.rounds[number].progress
    done = last.done + (plan.rounds[last.number].steps if number else 0)
    before = None
    if context.recipe.schedule.max_drop is not None:
        before = RoundStart(last.keep, last.reported, copies_of(context.model))
    decision = ranked.decide(context.recipe.amount, progress)
    reported = masked_event(number, progress, decision)
    return CurrentRound(RoundCut(number, done, decision.keep, reported, before), decision.masks, training)


def _finish(context: RunContext, plan: Plan, current: CurrentRound, save: Save) -> Generator[Event, None, float]:
    """Carry out the round, or of a resumed round what is left of it; returns its last validation score."""
    cut, training, score = current.cut, current.training, current.score
    if score is None:
        yield from report_masked(cut.reported)
        if plan.rounds[cut.number].exchange:
            apply_masks(context.model, current.masks)
            training.forget(current.grown)
        else:
            yield from cut_and_repaired(context, current)
            if not plan.rounds[cut.number].before:
                rewound(context, plan, cut, current.masks)
        score = yield from _validate(context, plan, current, cut.done, save)
    begun = steps_before(context, plan, cut)
    left = 0 if training.kept.over else begun + plan.rounds[cut.number].steps - training.done
    with closing(training.steps(left, current.masks)) as steps:  # closing it puts the model back into evaluation mode
        for step in steps:
            after = cut.done + step.step + 1 - begun  # steps of the whole run
            _require_finite_loss(step.loss, context.recipe)
            yield TuningStep(cut.number, step.epoch, after, step.loss)
            if (step.step + 1) % training.per_epoch == 0:
                score = yield from _validate(context, plan, current, after, save)
                if training.kept.over:
                    break
    return (yield from _settled(context, current, score))


def _settled(context: RunContext, current: CurrentRound, score: float) -> Generator[Event, None, float]:
    """Leave the model with the weights that its training keeps, and say so where those are not the last ones.

    Returns their validation score; `score` is that of the last ones.
    """
    cut, training = current.cut, current.training
    over, best = training.kept.over, training.kept.settle()
    if best is None or best.step == training.done:
        return score
    metric = metric_of(context.workload.task)
    ended = f", and tuning ended after {training.done}" if over else ""
    yield Warned(
        f"round {cut.number + 1}: validation {metric.name} was best, {score_text(best.score, metric)}, after "
        f"{best.step} of {training.total} optimiser steps: these weights are kept{ended}"
    )
    yield Measured(cut.number, cut.done + training.done, "validation", best.score, pruned_share(cut.keep))
    return best.score


def _validate(
    context: RunContext, plan: Plan, current: CurrentRound, step: int, save: Save
) -> Generator[Event, None, float]:
    """Measure and report the validation score, and let `save` keep the state of the run."""
    cut, training, metric = current.cut, current.training, metric_of(context.workload.task)
    with training.kept.validated():
        penalties = [term.sizes(context.model) for term in training.terms if isinstance(term, Penalty)]
        with training.judged():
            measured = context.validated(cut.number, step, cut.keep)
        training.kept.note(measured.score, training.done, lambda one, other: metric.drop(one - other) < 0)
    for sizes in penalties:
        yield unit_sizes(cut.number, step, sizes, plan.mean_sizes)
    yield measured
    randomness = Randomness.now(context.device)
    yield from save(RunState(plan, cut, step, measured.score, tensors_of(context.model), training.state(), randomness))
    return measured.score


def _take_back(
    context: RunContext, cut: RoundCut, before: RoundStart, lost: float, drop: float
) -> Generator[Event, None, None]:
    """Undo the round. The earlier cut and its score are reported again: the last events describe the run's result."""
    put_into(context.model, before.tensors)
    back = f"of round {cut.number}" if cut.number else "before any cut"
    worse = worse_than_allowed(lost, drop, metric_of(context.workload.task))
    yield Warned(f"round {cut.number + 1}: validation {worse}: the result is the network {back}")
    yield from report_masked(before.reported)
    yield context.validated(before.reported.round, cut.done, before.keep)


def _require_finite_loss(loss: float, recipe: Recipe) -> None:
    if loss != loss or loss in (float("inf"), float("-inf")):
        raise PruningError(
            f"the loss became {loss} while tuning; lower tuning.learning_rate (it is {recipe.tuning.learning_rate}), "
            "or look for NaN in the training data"
        )
