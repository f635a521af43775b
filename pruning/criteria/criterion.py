"""What every criterion is, and the one call that the rest of the library makes."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from pruning.calibration import Calibration
from pruning.errors import WorkloadError
from pruning.units import UnitGroup


class Criterion(Protocol):
    """Scores units: float32, higher = keep. The model comes back bitwise as it was.

    `formula`, `source` and `cost` are shown beside the choice; `fits` names the granularities whose units it can score.
    """

    formula: ClassVar[str]
    source: ClassVar[str]
    cost: ClassVar[str]
    fits: ClassVar[tuple[str, ...]]

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        """Group name -> scores [units], on any device."""
        ...


def unit_scores(
    criterion: Criterion, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration
) -> dict[str, Tensor]:
    """Group name -> float32 scores [units] on the CPU. WorkloadError names the layer whose scores are not finite."""
    training = model.training
    model.eval()
    try:
        scores = criterion.score(model, groups, calibration)
    finally:
        model.train(training)
    for name, values in scores.items():
        if not bool(torch.isfinite(values).all()):
            raise WorkloadError(
                f"{name}: {type(criterion).__name__.lower()} gave scores that are NaN or infinite; "
                "choose another criterion, or check the model's weights and data"
            )
    return {name: values.detach().float().cpu() for name, values in scores.items()}
