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
class SignedSquare:
    """w·|w|, the square with the sign kept: the largest negative weights are pruned first. A lesson in why the sign
    must go.

    (Found in tutorials.) Scores [units]; units add up, so that weights of both signs cancel.
    """

    formula: ClassVar[str] = "Σ w·|w|"
    source: ClassVar[str] = "tutorials"
    cost: ClassVar[str] = "no pass over data"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        scores: dict[str, Tensor] = {}
        for group in groups:
            weights = {name: model.get_parameter(name).detach().float() for name in group.params}
            scores[group.name] = group.sums({name: weight * weight.abs() for name, weight in weights.items()})
        return scores
