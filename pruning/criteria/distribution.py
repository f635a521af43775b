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
class Distribution:
    """How many standard deviations a weight lies from the mean of its layer: ordinary weights are pruned first.

    (Han et al. 2015, arXiv 1506.02626, set thresholds as multiples of σ; so does Distiller's sensitivity pruner.)
    Scores [units], the mean over a unit's weights, so that a threshold counts in σ. μ and σ are those of the layer's
    live weights: zeros have been pruned, score 0 and count in neither. So in rounds σ grows as ordinary weights are
    pruned, and a threshold takes more than in one cut. Where all live weights are equal every score is 0.
    """

    formula: ClassVar[str] = "|w − μ| / σ of the layer"
    source: ClassVar[str] = "Han 2015, Distiller"
    cost: ClassVar[str] = "no pass over data"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        return {
            group.name: group.means({name: _deviations(model.get_parameter(name)) for name in group.params})
            for group in groups
        }


def _deviations(parameter: Tensor) -> Tensor:
    """|w − μ| / σ of the live weights, float32 of the parameter's shape; 0 for zeros, and where σ is 0."""
    import torch

    weight = parameter.detach().float()
    live = weight[weight != 0]
    # asked of the values and not of σ: rounding leaves a σ above 0 for equal weights
    if bool((live == live[:1]).all()):
        return torch.zeros_like(weight)
    std, mean = torch.std_mean(live, correction=0)
    return torch.where(weight != 0, (weight - mean).abs() / std, 0.0)
