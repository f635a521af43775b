from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.criteria.passes import CALIBRATION_SAMPLES
from pruning.model.layer_types import WITH_CHANNELS
from pruning.model.passes import Passes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Apoz:
    """Units that are mostly silent are pruned first: the share of values other than 0 among what the next layers
    receive.

    This is 1 − APoZ, the average percentage of zeros (Hu et al. 2016, arXiv 1607.03250). Scores [units] in [0, 1], over
    samples and positions; a unit that several layers read is scored by the mean over them. It tells units apart only
    behind a ReLU or the like, and max pooling in between hides zeros. One forward pass.
    """

    formula: ClassVar[str] = "1 − APoZ = mean (a ≠ 0)"
    source: ClassVar[str] = "Hu 2016"
    cost: ClassVar[str] = "one forward pass over 1024 training samples"
    fits: ClassVar[tuple[str, ...]] = ("channels",)
    layers: ClassVar[tuple[str, ...]] = WITH_CHANNELS

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        samples = min(CALIBRATION_SAMPLES, train_samples)
        return Passes(samples)

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        from pruning.criteria.activations import mean_readings

        shares = mean_readings(model, groups, calibration, [lambda values: (values != 0).to(values.dtype)])
        return {name: values[:, 0].mean(dim=0).float() for name, values in shares.items()}
