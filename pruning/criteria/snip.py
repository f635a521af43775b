from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.criteria.criterion import ANY
from pruning.criteria.passes import CALIBRATION_SAMPLES
from pruning.model.passes import Passes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Snip:
    """How strongly the loss reacts when the weight is scaled, in either direction: |w·∂L/∂w|, summed for a unit.

    (Lee et al. 2019, arXiv 1810.02340, without its common factor.) Scores [units]; the gradient is that of the
    mean loss over all samples, so that what single batches want may cancel.
    """

    formula: ClassVar[str] = "Σ |w·∂L/∂w|"
    source: ClassVar[str] = "Lee 2019"
    cost: ClassVar[str] = "one forward and one backward pass over 1024 training samples"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        samples = min(CALIBRATION_SAMPLES, train_samples)
        return Passes(samples, samples)

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        from pruning.criteria.gradients import mean_gradients, ranked_params

        slopes = mean_gradients(model, ranked_params(groups), calibration)
        effects = {name: (model.get_parameter(name).detach() * slope).abs() for name, slope in slopes.items()}
        return {group.name: group.sums(effects) for group in groups}
