"""What a criterion will ask of the network, known before it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pruning.model.units import UnitGroup

CALIBRATION_SAMPLES = 1024
"""Training samples that criteria look at which do not say another number."""


@dataclass(frozen=True)
class Passes:
    """Samples that go forward and backward through the network; a batch of one sample counts one."""

    forward: int = 0
    backward: int = 0

    @property
    def as_forward(self) -> int:
        """About how many forward passes take as long: a pass backward takes two."""
        return self.forward + 2 * self.backward

    def times(self, n: int) -> Passes:
        return Passes(n * self.forward, n * self.backward)


@runtime_checkable
class LooksAtData(Protocol):
    """A criterion that sends samples through the network."""

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        """What scoring these groups takes, where the training split has so many samples."""
        ...
