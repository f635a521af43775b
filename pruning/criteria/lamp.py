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
class Lamp:
    """Magnitude made comparable between layers: a unit's squared norm over that of all units of its layer not smaller.

    (Layer-adaptive magnitude pruning, Lee et al. 2021, arXiv 2010.07611.) Scores [units], in [0, 1]; the largest unit
    of each layer scores 1, so that no layer empties. Within a layer the order is that of magnitude with p = 2; of equal
    units the later one scores higher, but for zeros, which all score 0.
    """

    formula: ClassVar[str] = "w² / Σ v² over |v| ≥ |w| of the layer"
    source: ClassVar[str] = "Lee 2021"
    cost: ClassVar[str] = "no pass over data"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        scores: dict[str, Tensor] = {}
        for group in groups:
            squares = {name: model.get_parameter(name).detach().float().square() for name in group.params}
            scores[group.name] = shares_of_rest(group.sums(squares))
        return scores


def shares_of_rest(sizes: Tensor) -> Tensor:
    """Each of the sizes [n] over the sum of itself and those that follow it in ascending order: float32 [n]."""
    import torch

    # on the CPU: a sum of millions needs float64, which not every accelerator has
    ascending, order = sizes.cpu().double().sort(stable=True)
    rest = ascending.flip(0).cumsum(0).flip(0)
    shares = torch.where(ascending > 0, ascending / rest, 0.0)
    return torch.empty_like(shares).scatter_(0, order, shares).float()
