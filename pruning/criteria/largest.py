from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.criteria.criterion import ANY

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Largest:
    """Large weights are pruned first: −|w| for a weight, summed for a unit. The contrary of magnitude, to compare with
    it.

    (Known as maximum-value pruning.) Scores [units]. How fast accuracy drops shows how much large weights carry.
    """

    formula: ClassVar[str] = "−Σ |w|"
    source: ClassVar[str] = "the contrary of Han 2015"
    cost: ClassVar[str] = "no pass over data"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        return {
            group.name: -group.sums({name: model.get_parameter(name).detach().float().abs() for name in group.params})
            for group in groups
        }
