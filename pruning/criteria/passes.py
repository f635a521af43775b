"""What a criterion will ask of the network, known before it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pruning.model.passes import Passes

if TYPE_CHECKING:
    from pruning.model.units import UnitGroup

CALIBRATION_SAMPLES = 1024
"""Training samples that criteria look at which do not say another number."""


@runtime_checkable
class LooksAtData(Protocol):
    """A criterion that sends samples through the network."""

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        """What scoring these groups takes, where the training split has so many samples."""
        ...
