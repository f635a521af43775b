"""What stays the same throughout a run, and how a run is stopped within a batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pruning.criteria import unit_scores
from pruning.criteria.calibration import Calibration
from pruning.evaluation.accuracy import Evaluator
from pruning.events import Measured, Repaired
from pruning.model.costs import CostModel
from pruning.model.units import Keep, Masks, UnitGroup
from pruning.pipeline.one_shot import RankedUnits, rank_units
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from pruning.repair.mended import mended
from pruning.repair.repair import Cut
from pruning.workload import Batch, Split, Workload

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
        return replace(self, workload=stoppable(self.workload, stop))

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


class StopAsked(Exception):
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
            raise StopAsked
        return self.split.batch(index, device, generator)


def stoppable(workload: Workload, stop: Stop) -> Workload:
    """The same, but once `stop` is true its splits for training and validation raise StopAsked at the next batch."""
    train, validation = (_StoppableSplit(split, stop) for split in (workload.train, workload.validation))
    return replace(workload, train=train, validation=validation)


def keep_everything(context: RunContext) -> Keep:
    """Group name -> bool [units], all True."""
    return {group.name: torch.ones(group.units, dtype=torch.bool) for group in context.groups}


def pruned_share(keep: Keep) -> float:
    """Units pruned of all units, in [0, 1]."""
    units = sum(len(stays) for stays in keep.values())
    return sum(int((~stays).sum()) for stays in keep.values()) / units
