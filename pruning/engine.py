"""Carry out a recipe: a generator of events that ends with the pruned model. Nothing here draws, prints or stores."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.allocation import CostLeft
from pruning.amounts import Amount
from pruning.calibration import Calibration
from pruning.costs import CostModel, cost_model, costs
from pruning.criteria import unit_scores
from pruning.devices import default_device, describe, full_precision
from pruning.eligible import chosen_groups
from pruning.errors import PruningError
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
from pruning.measure import class_scores, judge_all, latency_ms
from pruning.opening import open_model
from pruning.recipe import Recipe
from pruning.schedules import Round
from pruning.select import Position, Ranking, position, rank, select
from pruning.surgery import masked_copy, remove_units
from pruning.tuning import Training, steps_per_epoch
from pruning.units import Keep, Masks, UnitGroup, apply_masks, masks_of
from pruning.workload import Workload


@dataclass(frozen=True, eq=False)
class Pruned:
    """What a run leaves: the model (smaller, where units were removed), what was kept, and its measured stages."""

    model: nn.Module
    keep: Keep
    stages: Mapping[str, Stage]
    stopped: bool


Stop = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class _Bench:
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

    def ranked(self, keep: Keep, first: Ranking | None = None) -> tuple[Ranking, Amount]:
        """The units sorted by the scores that they have now, those fallen first, and the amount as it is for them."""
        recipe = self.recipe
        calibration = Calibration(self.workload, self.device, recipe.seed)
        scores = unit_scores(recipe.criterion, self.model, self.groups, calibration)
        fallen = {name: ~stays for name, stays in keep.items()}
        divisors = first.divisors if first else None
        ranking = rank(self.groups, scores, recipe.scope, recipe.amount, fallen, divisors)
        return ranking, recipe.amount.settled(CostLeft(ranking, self.cost))

    def validated(self, number: int, step: int, keep: Keep) -> Measured:
        scores, _ = judge_all(self.model, self.workload.validation, self.workload.task, self.device)
        return Measured(number, step, "validation", float(scores.double().mean()), _fallen_share(keep))


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
    bench = _Bench(workload, recipe, device, model, groups, cost_model(model, workload.example.to(device)))
    ranking, amount = bench.ranked({})
    whole = position(ranking, amount)
    steps = steps_per_epoch(recipe.tuning, workload.train) * recipe.tuning.epochs
    rounds = recipe.schedule.rounds_of(steps, whole.asked / whole.units)
    total = sum(each.steps for each in rounds)
    yield Started(workload.name, describe(device), len(rounds), total, workload.task.classes)

    stages: dict[str, Stage] = {"dense": measure_stage(model, workload, device)}
    yield StageMeasured("dense", stages["dense"])
    stages["pruned"] = yield from _measure_cut(bench, select(ranking, amount))
    yield StageMeasured("pruned", stages["pruned"])

    keep = yield from _in_rounds(bench, ranking, amount, rounds, stages["dense"].validation, stop)
    model.eval()
    stopped = stop()
    if recipe.granularity.removable:
        model = yield from _removed("tuned", bench, model, keep)
    stages["tuned"] = measure_stage(model, workload, device)
    yield StageMeasured("tuned", stages["tuned"])
    return Pruned(model, keep, stages, stopped)


def _in_rounds(
    bench: _Bench, ranking: Ranking, amount: Amount, rounds: Sequence[Round], dense: float, stop: Stop
) -> Generator[Event, None, Keep]:
    """Cut and tune the bench's model round by round; returns what was kept. `dense` is the dense validation score."""
    recipe, model = bench.recipe, bench.model
    steps = sum(each.steps for each in rounds) if recipe.schedule.continuous else rounds[0].steps
    training = Training(model, bench.workload, recipe.tuning, steps, bench.device, recipe.seed)
    keep: Keep = {group.name: torch.ones(group.units, dtype=torch.bool) for group in bench.groups}
    drop, done = recipe.schedule.max_drop, 0
    last = position(ranking, amount, 0.0)
    for number, each in enumerate(rounds):
        if stop():
            break
        good = _Good(number, done, keep, last, _tensors(model)) if drop is not None else None
        if number:
            ranking, amount = bench.ranked(keep, ranking)
        if number and not recipe.schedule.continuous:
            training = Training(model, bench.workload, recipe.tuning, steps, bench.device, recipe.seed + number)
        keep = select(ranking, amount, each.progress)
        last = position(ranking, amount, each.progress)
        yield from _cut_events(number, each.progress, last)
        masks = masks_of(bench.groups, keep, model)
        apply_masks(model, masks)
        cut = bench.validated(number, done, keep)
        yield cut
        score = yield from _tuned(bench, training, each.steps, masks, number, done, keep, stop)
        done += each.steps
        fall = dense - (cut.score if score is None else score)
        if good is not None and drop is not None and fall > drop and not stop():
            keep = good.keep
            yield from _gone_back(bench, good, fall, drop, rounds[number - 1].progress if number else 0.0)
            break
    return keep


@dataclass(frozen=True, eq=False)
class _Good:
    """The network before a round that may be taken back: rounds and steps done, what is kept, and its tensors."""

    rounds: int
    steps: int
    keep: Keep
    position: Position
    tensors: list[Tensor]


def _tensors(model: nn.Module) -> list[Tensor]:
    """Copies of all parameters and buffers, also of those that a state dict leaves out."""
    return [tensor.detach().clone() for tensor in (*model.parameters(), *model.buffers())]


@torch.no_grad()
def _gone_back(bench: _Bench, good: _Good, fall: float, drop: float, progress: float) -> Generator[Event, None, None]:
    """Make the network what it was before the last round, and say so; the last events then tell of what is returned."""
    for tensor, before in zip((*bench.model.parameters(), *bench.model.buffers()), good.tensors, strict=True):
        tensor.copy_(before)
    back = f"of round {good.rounds}" if good.rounds else "before any cut"
    yield Warned(
        f"round {good.rounds + 1}: validation accuracy fell by {100 * fall:.2f} points, more than {100 * drop:g}: "
        f"the result is the network {back}"
    )
    number = max(good.rounds - 1, 0)
    yield from _cut_events(number, progress, good.position)
    yield bench.validated(number, good.steps, good.keep)


def _tuned(
    bench: _Bench, training: Training, steps: int, masks: Masks, number: int, done: int, keep: Keep, stop: Stop
) -> Generator[Event, None, float | None]:
    """Take the steps of a round, `done` having been taken before; returns the last validation score, if any."""
    score = None
    start = training.done
    running = training.steps(steps, masks)
    for step in running:
        after = done + step.step + 1 - start
        _require_finite_loss(step.loss, bench.recipe)
        yield TuningStep(number, step.epoch, after, step.loss)
        if (step.step + 1) % training.per_epoch == 0:
            measured = bench.validated(number, after, keep)
            score = measured.score
            yield measured
        if stop():
            running.close()
            break
    return score


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
        latency_ms=latency_ms(model, workload.example.to(device)),
    )


def _measure_cut(bench: _Bench, keep: Keep) -> Generator[Event, None, Stage]:
    """The stage of the whole amount taken at once, before any tuning: what the preview showed."""
    cut = masked_copy(bench.model, bench.groups, keep)
    if bench.recipe.granularity.removable:
        cut = yield from _removed("pruned", bench, cut, keep)
    return measure_stage(cut, bench.workload, bench.device)


@torch.no_grad()
def _removed(stage: StageName, bench: _Bench, model: nn.Module, keep: Keep) -> Generator[Event, None, nn.Module]:
    """The masked model without its fallen units, after comparing the outputs of the two."""
    smaller = remove_units(model, bench.example, bench.groups, keep)
    validation = bench.workload.validation
    inputs, _ = validation.batch(torch.arange(min(256, len(validation))), bench.device)
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


def _fallen_share(keep: Keep) -> float:
    units = sum(len(stays) for stays in keep.values())
    return sum(int((~stays).sum()) for stays in keep.values()) / units


def _require_finite_loss(loss: float, recipe: Recipe) -> None:
    if loss != loss or loss in (float("inf"), float("-inf")):
        raise PruningError(
            f"the loss became {loss} while tuning; lower tuning.learning_rate (it is {recipe.tuning.learning_rate}), "
            "or look for NaN in the training data"
        )
