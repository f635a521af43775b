from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pruning.criteria.criterion import ANY

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Magnitude:
    """Small weights are pruned first: |w| for a weight, the L1 or L2 norm of its weights for a unit.

    (Han et al. 2015, arXiv 1506.02626; for filters Li et al. 2017, arXiv 1608.08710.) Scores [units].
    """

    p: Literal[1, 2] = 1
    """1: sum of |w|; 2: square root of the sum of w². For single weights both give the same order."""

    formula: ClassVar[str] = "(Σ |w|ᵖ)^(1/p)"
    source: ClassVar[str] = "Han 2015, Li 2017"
    cost: ClassVar[str] = "no pass over data"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        scores: dict[str, Tensor] = {}
        for group in groups:
            sizes = {name: model.get_parameter(name).detach().float().abs() for name in group.params}
            if self.p == 1:
                scores[group.name] = group.sums(sizes)
            else:
                scores[group.name] = group.sums({name: size.square() for name, size in sizes.items()}).sqrt()
        return scores
