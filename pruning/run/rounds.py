"""The rounds of a run: prune, measure, fine-tune, and again. `RunState` says how far a run is: checkpoints hold it."""

import copy
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from pruning.criteria import unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import PruningError
from pruning.evaluation.accuracy import Evaluator
from pruning.events import Event, Masked, Measured, Repaired, Stage, TuningStep, Warned
from pruning.model.costs import CostModel
from pruning.model.devices import Randomness
from pruning.model.drawing import draw_anew
from pruning.model.tensors import copies_of, put_into, tensors_of
from pruning.model.units import Keep, Masks, UnitGroup, apply_masks, masks_of
from pruning.pipeline.exchange import exchanged_weights
from pruning.pipeline.one_shot import Decision, RankedUnits, rank_units
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair
from pruning.repair.mended import mended
from pruning.repair.repair import Cut
from pruning.reporting.formatting import score_text, worse_than_allowed
from pruning.training.fine_tuning import Training
from pruning.training.loss_terms import LossTerm
from pruning.training.regularisers.histogram import unit_sizes
from pruning.training.regularisers.penalty import Penalty
from pruning.training.schedules import Round
from pruning.training.snapshot import Snapshot
from pruning.workload import Batch, Split, Workload, metric_of

Stop = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class RunContext:
    """What stays the same throughout a run, but for the values of the model: it is pruned and fine-tuned in place.

    `teacher` is what it learns from while it is tuned, None where nobody teaches.
    """

    workload: Workload
    recipe: Recipe
    device: torch.device
    model: nn.Module
    groups: list[UnitGroup]
    cost: CostModel
    teacher: nn.Module | None = None

    @property
    def example(self) -> Tensor:
        return self.workload.example.to(self.device)

    def stoppable(self, stop: Stop) -> "RunContext":
        """The same, but once `stop` is true its splits raise at the next batch; `carry_out_rounds` catches that."""
        train, validation = (_StoppableSplit(split, stop) for split in (self.workload.train, self.workload.validation))
        return replace(self, workload=replace(self.workload, train=train, validation=validation))

    def ranked(self, keep: Keep, divisors: Mapping[str, float] | None = None) -> RankedUnits:
        """Score the model as it is now and sort its units, the pruned ones first. `divisors`: of the first round."""
        calibration = Calibration(self.workload, self.device, self.recipe.seed)
        scores = unit_scores(self.recipe.criterion, self.model, self.groups, calibration)
        pruned = {name: ~stays for name, stays in keep.items()}
        return rank_units(self.recipe, self.groups, scores, self.cost, pruned, divisors)

    def validated(self, number: int, step: int, keep: Keep) -> Measured:
        """The score on all validation samples, in round `number` after `step` optimiser steps."""
        score = Evaluator(self.workload.validation, self.workload.task, self.device).score(self.model)
        return Measured(number, step, "validation", score, pruned_share(keep))

    def repaired(self, model: nn.Module, before: nn.Module, masks: Masks, number: int, score: float) -> Repaired:
        """Put the cut model right in place, in round `number`; `before` is the network before the cut.

        `score` is what the cut model scores on the validation split.
        """
        repair, seed = self.recipe.repair, self.recipe.seed
        done = mended(repair, Cut(model, before, masks), self.workload, self.device, seed)
        left = dict(done.left)
        return Repaired(number, kind_of(repair), score, done.before, done.after, done.helped, done.seconds, left)


@dataclass(frozen=True, eq=False)
class Plan:
    """What is known before the first round, and the same in all rounds.

    `stages` are those measured by then: dense and pruned. `divisors` (group -> number) are what the scores of a group
    are divided by before groups are compared, known before the first cut. `mean_sizes` (group -> number) are of the
    dense network's units, as far as a regulariser pushes them to zero. `early` are the values that weights go back to
    after each cut, by the name of the tensor; empty where they do not.
    """

    rounds: tuple[Round, ...]
    stages: Mapping[str, Stage]
    divisors: Mapping[str, float]
    mean_sizes: Mapping[str, float]
    early: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])


@dataclass(frozen=True, eq=False)
class RoundStart:
    """The network before a round, where the schedule may take the round back. `tensors` are copies."""

    keep: Keep
    reported: Masked
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class RoundCut:
    """What a round prunes: `keep` says which units stay, `reported` is the event that says so.

    `number` counts from 0; `done` are the optimiser steps of earlier rounds; `before` is None if the schedule never
    takes a round back.
    """

    number: int
    done: int
    keep: Keep
    reported: Masked
    before: RoundStart | None


@dataclass(frozen=True, eq=False)
class RunState:
    """How far a run is after a validation: all that the rest of it depends on.

    `score` is the latest on the validation split, `step` counts optimiser steps. `tensors` are the model's own and no
    copies: the run changes them as soon as it goes on, so whoever keeps them has to write or copy them at once.
    """

    plan: Plan
    cut: RoundCut
    step: int
    score: float
    tensors: Mapping[str, Tensor]
    training: Mapping[str, Any]
    randomness: Randomness


Save = Callable[[RunState], Iterable[Event]]
"""Keeps the state, for instance in a checkpoint; returns events to report, such as a warning that it failed."""


@dataclass(frozen=True, eq=False)
class CurrentRound:
    """The round that a run is in. `score` is the latest validation score, None if the round is not pruned yet.

    `grown` is True where weights have come back that were pruned before this round.
    """

    cut: RoundCut
    masks: Masks
    training: Training
    score: float | None = None
    grown: Masks = field(default_factory=dict[str, Tensor])


class _StopAsked(Exception):
    """Raised once `stop` is true: the run ends, and the network as it is by then is its result."""


@dataclass(frozen=True, eq=False)
class _StoppableSplit:
    """A split that asks `stop` at every batch: scoring, tuning and evaluating all take batches."""

    split: Split
    stop: Stop

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Batch:
        if self.stop():
            raise _StopAsked
        return self.split.batch(index, device, generator)


def keep_everything(context: RunContext) -> Keep:
    """Group name -> bool [units], all True."""
    return {group.name: torch.ones(group.units, dtype=torch.bool) for group in context.groups}


def first_round(context: RunContext, plan: Plan, ranked: RankedUnits) -> CurrentRound:
    """The first round. Before it nothing is pruned, as after a round of the number -1."""
    nothing = ranked.decide(context.recipe.amount, 0.0)
    dense = RoundCut(-1, 0, nothing.keep, _masked_event(0, 0.0, nothing), None)
    return _round_after(dense, context, plan, ranked, _training_of(context, plan, 0))


def resumed_round(context: RunContext, progress: RunState) -> CurrentRound:
    """The round that was interrupted, its model and training as they were. PruningError if the network has changed."""
    shapes, written = ({n: t.shape for n, t in each.items()} for each in (tensors_of(context.model), progress.tensors))
    if shapes != written:
        raise PruningError(
            f"the run was interrupted and cannot go on: the network of {context.workload.name} has other layers now "
            "than when it began; start the run anew"
        )
    put_into(context.model, progress.tensors)
    training = _training_of(context, progress.plan, progress.cut.number)
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
    except _StopAsked:
        current.training.kept.settle()
    current.training.finish()
    return keep


def _training_of(context: RunContext, plan: Plan, number: int) -> Training:
    """The training that the round belongs to, at its first step: one of its own, or that of all rounds."""
    recipe, together = context.recipe, _trained_together(context, plan, number)
    rounds = [each for each in plan.rounds if not each.before] if together else [plan.rounds[number]]
    seed = recipe.seed if together else recipe.seed + number
    steps = sum(each.steps for each in rounds)
    terms = _loss_terms(context, plan.rounds[number])
    tuning = recipe.tuning
    if plan.rounds[number].before:
        tuning = replace(tuning, patience=None)  # units shrink at the price of the score: the best one is the first
    return Training(context.model, context.workload, tuning, steps, context.device, seed, terms)


def _trained_together(context: RunContext, plan: Plan, number: int) -> bool:
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


def _next_round(context: RunContext, plan: Plan, current: CurrentRound) -> tuple[Plan, CurrentRound]:
    """Score the units that are left, and decide which of them the next round prunes."""
    last, number = plan.rounds[current.cut.number], current.cut.number + 1
    if plan.rounds[number].exchange:
        return plan, _exchanged(context, plan, current)
    # before the first cut nothing was lost: layers are compared as the training has left them
    ranked = context.ranked(current.cut.keep, None if last.before else plan.divisors)
    early = next((term.tensors for term in current.training.terms if isinstance(term, Snapshot)), plan.early)
    plan = replace(plan, divisors=ranked.ranking.divisors, early=early)
    goes_on = _trained_together(context, plan, number) and not last.before
    training = current.training if goes_on else _training_of(context, plan, number)
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
    reported = _masked_event(number, progress, decision)
    return CurrentRound(RoundCut(number, done, decision.keep, reported, before), decision.masks, training)


def _finish(context: RunContext, plan: Plan, current: CurrentRound, save: Save) -> Generator[Event, None, float]:
    """Carry out the round, or of a resumed round what is left of it; returns its last validation score."""
    cut, training, score = current.cut, current.training, current.score
    if score is None:
        yield from _report_masked(cut.reported)
        if plan.rounds[cut.number].exchange:
            apply_masks(context.model, current.masks)
            training.forget(current.grown)
        else:
            yield from _cut_and_repaired(context, cut, current.masks)
            if not plan.rounds[cut.number].before:
                _rewind(context, plan, cut, current.masks)
        score = yield from _validate(context, plan, current, cut.done, save)
    begun = _begun(context, plan, cut)
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


def _begun(context: RunContext, plan: Plan, cut: RoundCut) -> int:
    """Optimiser steps that the round's training took in earlier rounds."""
    if not _trained_together(context, plan, cut.number):
        return 0
    return cut.done - sum(each.steps for each in plan.rounds if each.before)


def _rewind(context: RunContext, plan: Plan, cut: RoundCut, masks: Masks) -> None:
    """Give the weights that the cut leaves the values that they go on with."""
    rewind = context.recipe.rewind
    if rewind.step is None and not rewind.anew:
        return
    if rewind.anew:
        draw_anew(context.model, context.recipe.seed + 1 + cut.number, context.device)
    else:
        put_into(context.model, plan.early)
    apply_masks(context.model, masks)


def _cut_and_repaired(context: RunContext, cut: RoundCut, masks: Masks) -> Generator[Event, None, None]:
    """Set the pruned values to zero; with a repair, measure that and put the network right."""
    repair = context.recipe.repair
    if isinstance(repair, NoRepair) or not masks:
        apply_masks(context.model, masks)
        return
    before = copy.deepcopy(context.model)
    apply_masks(context.model, masks)
    score = context.validated(cut.number, cut.done, cut.keep).score
    repaired = context.repaired(context.model, before, masks, cut.number, score)
    yield repaired
    yield from _said_of(repaired)


def _said_of(repaired: Repaired) -> Generator[Event, None, None]:
    """A word where the repair did not help, and once where it left layers as they are."""
    if not repaired.helped:
        yield Warned(
            f"round {repaired.round + 1}: the repair {repaired.repair} brought the network no nearer to the one "
            "before the cut, on inputs that it had not seen: the network is as the cut left it"
        )
    elif repaired.left and not repaired.round:
        name, why = next(iter(repaired.left.items()))
        others = f", and {len(repaired.left) - 1} others too" if len(repaired.left) > 1 else ""
        what, reason = name or "the network", why.partition(":")[0]
        yield Warned(f"the repair {repaired.repair} leaves {what} as it is, for {reason}{others}")


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
    yield from _report_masked(before.reported)
    yield context.validated(before.reported.round, cut.done, before.keep)


def _masked_event(number: int, progress: float, decision: Decision) -> Masked:
    counts = decision.counts
    kept = {share.name: share.kept for share in counts.shares}
    return Masked(number, progress, counts.asked, counts.pruned, counts.units, kept, decision.values)


def _report_masked(reported: Masked) -> Generator[Event, None, None]:
    """The event, and a warning where fewer units are pruned than were asked for."""
    yield reported
    if reported.pruned < reported.asked:
        yield Warned(
            f"round {reported.round + 1}: {reported.asked} units were asked to be pruned and {reported.pruned} were, "
            "because every layer keeps at least one"
        )


def pruned_share(keep: Keep) -> float:
    """Units pruned of all units, in [0, 1]."""
    units = sum(len(stays) for stays in keep.values())
    return sum(int((~stays).sum()) for stays in keep.values()) / units


def _require_finite_loss(loss: float, recipe: Recipe) -> None:
    if loss != loss or loss in (float("inf"), float("-inf")):
        raise PruningError(
            f"the loss became {loss} while tuning; lower tuning.learning_rate (it is {recipe.tuning.learning_rate}), "
            "or look for NaN in the training data"
        )
