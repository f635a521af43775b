"""Cuts of several groups together: made, repaired, and measured."""

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from pruning.criteria import unit_scores
from pruning.criteria.calibration import Calibration
from pruning.evaluation.accuracy import Evaluator
from pruning.level_search.disturbance import Disturbance, disturbance_of
from pruning.model.costs import cost_model
from pruning.model.preparation import open_model
from pruning.model.surgery import remove_units
from pruning.model.units import UnitGroup
from pruning.pipeline.eligibility import chosen_groups
from pruning.pipeline.one_shot import Decision, RankedUnits, rank_units
from pruning.recipe.recipe import Recipe
from pruning.repair import Block, LeastSquares, NoRepair, Repair
from pruning.repair.mended import Mender
from pruning.repair.ongoing_mend import OngoingMend
from pruning.selection.allocation import CostLeft
from pruning.selection.amounts import Measure, PerLayer
from pruning.selection.scopes import WithinLayer
from pruning.workload import Workload

MORE_SAMPLES, MORE_S = 20_000, 0.3
"""Training samples that cuts are compared on too, without labels: at most so many, and so many seconds of them."""
DRAFT_SAMPLES = 256
"""Inputs that a repair looks at while the search compares cuts, where there is no time for more."""


@dataclass(eq=False)
class JointCuts:
    """A network with its groups' units ranked once: whatever is pruned of each, a cut is then a search.

    `made` counts the cuts that were made.
    """

    workload: Workload
    recipe: Recipe
    device: torch.device
    dense: nn.Module
    ranked: RankedUnits
    validation: Evaluator
    disturbance: Disturbance
    score: float
    made: int = field(init=False, default=0)
    _menders: dict[Repair, Mender] = field(init=False, default_factory=dict[Repair, Mender])

    @property
    def groups(self) -> tuple[UnitGroup, ...]:
        return self.ranked.ranking.groups

    @property
    def units(self) -> dict[str, int]:
        """Group -> how many units it has."""
        return {group.name: group.units for group in self.groups}

    def shares(self, pruned: Mapping[str, int]) -> dict[str, float]:
        """Group -> the share of its units that is pruned, with as few digits as say which number it is."""
        return {name: _share(count, self.units[name]) for name, count in pruned.items()}

    def decision(self, pruned: Mapping[str, int]) -> Decision:
        """Which units fall when so many of each group do."""
        return self.ranked.decide(PerLayer(self.shares(pruned)))

    def left(self, of: Measure, pruned: Mapping[str, int]) -> float:
        """The share of the dense network's cost that is left, exact."""
        return CostLeft(self.ranked.ranking, self.ranked.cost)(of, PerLayer(self.shares(pruned)))

    def smaller(self, pruned: Mapping[str, int]) -> nn.Module:
        """The network without the units, not repaired: for its time."""
        decision = self.decision(pruned)
        return decision.pruned_copy(self.dense, self.workload.example.to(self.device))

    def trial(self, pruned: Mapping[str, int], repair: Repair) -> Generator[None, None, nn.Module]:
        """A cut that is made and repaired: the network that is left, smaller where units can be removed.

        Yields now and then while a repair goes on.
        """
        self.made += 1
        decision = self.decision(pruned)
        if not isinstance(repair, NoRepair) and decision.masks:
            model = yield from OngoingMend(self._mender(repair), decision.masks).to_its_end()
        else:
            model = decision.masked_copy(self.dense)
        if self.ranked.removable:
            model = remove_units(model, self.workload.example.to(self.device), decision.groups, decision.keep)
        return model

    def _mender(self, repair: Repair) -> Mender:
        """What repairs cuts, with the inputs that it looks at; made once."""
        if repair not in self._menders:
            self._menders[repair] = Mender(repair, self.dense, self.workload, self.device, self.recipe.seed)
        return self._menders[repair]


def joint_cuts(
    workload: Workload, recipe: Recipe, device: torch.device, scores: Mapping[str, Tensor] | None = None
) -> JointCuts:
    """Open the network, score its units where they have no `scores` yet, and rank them within each group."""
    dense = open_model(workload, device)
    groups = chosen_groups(workload, recipe, dense)
    if scores is None:
        scores = unit_scores(recipe.criterion, dense, groups, Calibration(workload, device, recipe.seed))
    apart = PerLayer({group.name: 0.0 for group in groups})
    within = replace(recipe, scope=WithinLayer(), amount=apart)
    ranked = rank_units(within, groups, scores, cost_model(dense, workload.example.to(device)))
    validation = Evaluator(workload.validation, workload.task, device)
    begun = time.perf_counter()
    score = validation.score(dense)
    a_second = len(validation) / max(time.perf_counter() - begun, 1e-6)
    more = min(MORE_SAMPLES, len(workload.train), int(MORE_S * a_second))
    moved = disturbance_of(dense, validation, workload.train, more)
    return JointCuts(workload, recipe, device, dense, ranked, validation, moved, score)


def drafts_of(repair: Repair) -> tuple[Repair, Repair]:
    """The repair without what is a training, and the same in haste, for cuts that are compared with one another."""
    if isinstance(repair, Block):
        repair = LeastSquares()
    if isinstance(repair, LeastSquares):
        return repair, replace(repair, samples=min(repair.samples, DRAFT_SAMPLES))
    return repair, repair


def _share(count: int, units: int) -> float:
    found = (round(count / units, digits) for digits in range(3, 16))
    return next((share for share in found if round(share * units) == count), count / units)
