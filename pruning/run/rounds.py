"""The rounds of a run: cut, measure, tune, and again. How far they have come is a value that can be written down."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pruning.criteria import unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import PruningError
from pruning.evaluation.accuracy import Evaluator
from pruning.events import Event, Masked, Measured, Stage, TuningStep, Warned
from pruning.model.costs import CostModel
from pruning.model.devices import Randomness
from pruning.model.units import Keep, Masks, UnitGroup, apply_masks, masks_of
from pruning.pipeline.one_shot import RankedUnits, rank_units
from pruning.recipe.recipe import Recipe
from pruning.selection.ranking import Position
from pruning.training.fine_tuning import Training
from pruning.training.schedules import Round
from pruning.workload import Batch, Split, Workload

Stop = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class RunContext:
    """What stays the same throughout a run. The model is cut and tuned in place."""

    workload: Workload
    recipe: Recipe
    device: torch.device
    model: nn.Module
    groups: list[UnitGroup]
    cost: CostModel

    @property
    def example(self) -> Tensor:
        return self.workload.example.to(self.device)

    def stoppable(self, stop: Stop) -> "RunContext":
        """The same, but once `stop` is true, taking a batch raises an exception that `carry_out_rounds` catches."""
        train, validation = (_StoppableSplit(split, stop) for split in (self.workload.train, self.workload.validation))
        return replace(self, workload=replace(self.workload, train=train, validation=validation))

    def ranked(self, keep: Keep, divisors: Mapping[str, float] | None = None) -> RankedUnits:
        """The units sorted by the scores that they have now, those pruned first."""
        calibration = Calibration(self.workload, self.device, self.recipe.seed)
        scores = unit_scores(self.recipe.criterion, self.model, self.groups, calibration)
        pruned = {name: ~stays for name, stays in keep.items()}
        return rank_units(self.recipe, self.groups, scores, self.cost, pruned, divisors)

    def validated(self, number: int, step: int, keep: Keep) -> Measured:
        score = Evaluator(self.workload.validation, self.workload.task, self.device).score(self.model)
        return Measured(number, step, "validation", score, pruned_share(keep))

    def tensors(self) -> dict[str, Tensor]:
        """All parameters and buffers of the model by name, also those that a state dict leaves out: not copies."""
        return {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Give the model these values. In place: the optimiser and the memory layout stay as they are."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])


@dataclass(frozen=True, eq=False)
class Plan:
    """What is settled before the first round: the rounds, the stages so far, and what scores are divided by."""

    rounds: tuple[Round, ...]
    stages: Mapping[str, Stage]
    divisors: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class RoundStart:
    """The network before a round that may be taken back."""

    keep: Keep
    reported: Masked
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class RoundCut:
    """What a round cuts: its number from 0, and the optimiser steps that were taken before it."""

    number: int
    done: int
    keep: Keep
    reported: Masked
    before: RoundStart | None


@dataclass(frozen=True, eq=False)
class RunState:
    """How far a run has come, after a validation: all that the rest of it depends on.

    `score` is the latest on the validation split, `step` counts optimiser steps. The tensors are the ones that the run
    goes on changing: write them down at once.
    """

    plan: Plan
    cut: RoundCut
    step: int
    score: float
    tensors: Mapping[str, Tensor]
    training: Mapping[str, Any]
    randomness: Randomness


Save = Callable[[RunState], Iterable[Event]]
"""Writes down how far the run has come; gives what there is to say of that."""


@dataclass(frozen=True, eq=False)
class CurrentRound:
    """A round that is under way. `score` is the latest on the validation split, None if the cut is still to be made."""

    cut: RoundCut
    masks: Masks
    training: Training
    score: float | None = None


class _StopAsked(Exception):
    """Somebody asked for the run to end: what there is by then is its result."""


@dataclass(frozen=True, eq=False)
class _StoppableSplit:
    """A split that asks at every batch whether to go on: the one thing that scoring, tuning and evaluating all do."""

    split: Split
    stop: Stop

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Batch:
        if self.stop():
            raise _StopAsked
        return self.split.batch(index, device, generator)


def keep_everything(context: RunContext) -> Keep:
    """The decision by which nothing is pruned."""
    return {group.name: torch.ones(group.units, dtype=torch.bool) for group in context.groups}


def first_round(context: RunContext, plan: Plan, ranked: RankedUnits) -> CurrentRound:
    """The first round, of the dense network."""
    nothing = ranked.decide(context.recipe.amount, 0.0)
    dense = RoundCut(-1, 0, nothing.keep, _masked(0, 0.0, nothing.counts), None)
    return _cut(context, plan, dense, ranked, _training(context, plan, 0))


def resumed_round(context: RunContext, progress: RunState) -> CurrentRound:
    """The round that was under way, its model and training as they were. PruningError if the network is another."""
    shapes, written = ({n: t.shape for n, t in each.items()} for each in (context.tensors(), progress.tensors))
    if shapes != written:
        raise PruningError(
            f"the run was interrupted and cannot go on: the network of {context.workload.name} has other layers now "
            "than when it began; start the run anew"
        )
    context.restore(progress.tensors)
    training = _training(context, progress.plan, progress.cut.number)
    training.load(progress.training)
    masks = masks_of(context.groups, progress.cut.keep, context.model)
    progress.randomness.restore(context.device)  # last: building a network may draw
    return CurrentRound(progress.cut, masks, training, progress.score)


def carry_out_rounds(
    context: RunContext, plan: Plan, run: CurrentRound, stop: Stop, save: Save
) -> Generator[Event, None, Keep]:
    """Tune the round that is under way, cut and tune those after it; returns what was kept.

    `save` is asked after each measurement, once its event has been consumed. The rounds end where they are when `stop`
    is true, which a `stoppable` context notices within a batch.
    """
    keep, drop = run.cut.keep, context.recipe.schedule.max_drop
    try:
        while True:
            score = yield from _round(context, plan, run, save)
            lost = plan.stages["dense"].validation - score
            if run.cut.before is not None and drop is not None and lost > drop and not stop():
                keep = run.cut.before.keep
                yield from _take_back(context, run.cut, run.cut.before, lost, drop)
                break
            if run.cut.number + 1 == len(plan.rounds) or stop():
                break
            run = _next_cut(context, plan, run)
            keep = run.cut.keep
    except _StopAsked:
        pass
    return keep


def _training(context: RunContext, plan: Plan, number: int) -> Training:
    """The training that the round belongs to, at its beginning."""
    recipe, parts = context.recipe, plan.rounds if context.recipe.schedule.continuous else plan.rounds[:1]
    seed = recipe.seed if recipe.schedule.continuous else recipe.seed + number
    steps = sum(each.steps for each in parts)
    return Training(context.model, context.workload, recipe.tuning, steps, context.device, seed)


def _next_cut(context: RunContext, plan: Plan, run: CurrentRound) -> CurrentRound:
    """Score what is left, and decide on the next cut."""
    ranked = context.ranked(run.cut.keep, plan.divisors)
    continuous = context.recipe.schedule.continuous
    training = run.training if continuous else _training(context, plan, run.cut.number + 1)
    return _cut(context, plan, run.cut, ranked, training)


def _cut(context: RunContext, plan: Plan, last: RoundCut, ranked: RankedUnits, training: Training) -> CurrentRound:
    """The round after `last`."""
    number = last.number + 1
    progress = plan.rounds[number].progress
    done = last.done + (plan.rounds[last.number].steps if number else 0)
    before = None
    if context.recipe.schedule.max_drop is not None:
        copies = {name: tensor.detach().clone() for name, tensor in context.tensors().items()}
        before = RoundStart(last.keep, last.reported, copies)
    decision = ranked.decide(context.recipe.amount, progress)
    reported = _masked(number, progress, decision.counts)
    return CurrentRound(RoundCut(number, done, decision.keep, reported, before), decision.masks, training)


def _round(context: RunContext, plan: Plan, run: CurrentRound, save: Save) -> Generator[Event, None, float]:
    """Cut and measure, unless that was done, and take the steps that are left of the round; returns the last score."""
    cut, training, score = run.cut, run.training, run.score
    if score is None:
        yield from _report_masked(cut.reported)
        apply_masks(context.model, run.masks)
        score = yield from _measured(context, plan, run, cut.done, save)
    begun = cut.done if context.recipe.schedule.continuous else 0  # steps of the training before the round
    left = begun + plan.rounds[cut.number].steps - training.done
    with closing(training.steps(left, run.masks)) as steps:  # closed, it puts the model back into evaluation mode
        for step in steps:
            after = cut.done + step.step + 1 - begun
            _require_finite_loss(step.loss, context.recipe)
            yield TuningStep(cut.number, step.epoch, after, step.loss)
            if (step.step + 1) % training.per_epoch == 0:
                score = yield from _measured(context, plan, run, after, save)
    return score


def _measured(
    context: RunContext, plan: Plan, run: CurrentRound, step: int, save: Save
) -> Generator[Event, None, float]:
    measured = context.validated(run.cut.number, step, run.cut.keep)
    yield measured
    randomness = Randomness.now(context.device)
    yield from save(RunState(plan, run.cut, step, measured.score, context.tensors(), run.training.state(), randomness))
    return measured.score


def _take_back(
    context: RunContext, cut: RoundCut, before: RoundStart, lost: float, drop: float
) -> Generator[Event, None, None]:
    """Make the network what it was before the last round, and say so: the last events then describe the result."""
    context.restore(before.tensors)
    back = f"of round {cut.number}" if cut.number else "before any cut"
    yield Warned(
        f"round {cut.number + 1}: validation accuracy dropped by {100 * lost:.2f} points, more than {100 * drop:g}: "
        f"the result is the network {back}"
    )
    yield from _report_masked(before.reported)
    yield context.validated(before.reported.round, cut.done, before.keep)


def _masked(number: int, progress: float, where: Position) -> Masked:
    kept = {row.name: row.kept for row in where.shares}
    return Masked(number, progress, where.asked, where.pruned, where.units, kept)


def _report_masked(reported: Masked) -> Generator[Event, None, None]:
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
