from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.criteria.criterion import ANY
from pruning.errors import RecipeError, WorkloadError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import UnitGroup
    from pruning.workload import Workload


@dataclass(frozen=True)
class Change:
    """How far training has moved the weight: |w − w₀|, summed for a unit. What has hardly moved is pruned first.

    (The movement |w_f − w_i| of Zhou et al. 2019, arXiv 1905.01067.) Scores [units]. The workload gives w₀ among its
    `checkpoints`.
    """

    reference: str = "initial"
    """The name of the earlier state that the weights are compared with; `initial` is before training."""

    formula: ClassVar[str] = "Σ |w − w₀|"
    source: ClassVar[str] = "Zhou 2019"
    cost: ClassVar[str] = "no pass over data"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        from pruning.criteria.gradients import ranked_params

        before = self._before(calibration.workload)
        where = f"{calibration.workload.name}: its checkpoint {self.reference}"
        moves = {name: _move(name, model.get_parameter(name), before, where) for name in ranked_params(groups)}
        return {group.name: group.sums(moves) for group in groups}

    def _before(self, workload: Workload) -> Mapping[str, Tensor]:
        make = workload.checkpoints.get(self.reference)
        if make is None:
            there = f"it has {', '.join(sorted(workload.checkpoints))}" if workload.checkpoints else "it has none"
            raise RecipeError(
                f"criterion.reference is {self.reference}, and {workload.name} has no checkpoint of that name "
                f"({there}): choose another criterion, or give Workload(checkpoints={{{self.reference!r}: maker of a "
                "state dict}})"
            )
        return make()


def _move(name: str, parameter: Tensor, before: Mapping[str, Tensor], where: str) -> Tensor:
    """|w − w₀|, float32 of the parameter's shape."""
    weight = parameter.detach().float()
    if name not in before:
        raise WorkloadError(f"{where} holds no {name}; give a state dict with the model's own keys")
    if before[name].shape != weight.shape:
        shapes = f"{list(before[name].shape)} and not {list(weight.shape)}"
        raise WorkloadError(f"{where} has {name} of shape {shapes}; give a state of the same network")
    return (weight - before[name].detach().to(weight.device).float()).abs()
