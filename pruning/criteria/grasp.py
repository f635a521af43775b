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
class Grasp:
    """Weights whose absence would let gradients flow more strongly be pruned first: w·(H g), g the gradient, H the
    Hessian.

    (Gradient signal preservation, Wang et al. 2020, arXiv 2002.07376.) Scores [units]; units add up. The paper's score
    is S = −w·(H g) and it removes the weights with the highest S: here higher is kept, so the sign is turned. g and H
    are those of the mean loss over all samples and of all weights that can be pruned, without the paper's temperature.
    Made for networks before training: in a trained one g is nearly 0, and so is every score.
    """

    formula: ClassVar[str] = "Σ w·(H g)"
    source: ClassVar[str] = "Wang 2020"
    cost: ClassVar[str] = "two forward and three backward passes over 1024 training samples"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        samples = min(CALIBRATION_SAMPLES, train_samples)
        return Passes(2 * samples, 3 * samples)

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        from pruning.criteria.gradients import all_weights, mean_gradients, mean_hessian_product

        slopes = mean_gradients(model, all_weights(model, groups), calibration)
        products = mean_hessian_product(model, slopes, calibration)
        flows = {name: model.get_parameter(name).detach() * product for name, product in products.items()}
        return {group.name: group.sums(flows) for group in groups}
