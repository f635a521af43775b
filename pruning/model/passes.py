"""How much a computation asks of a network."""

from __future__ import annotations

from dataclasses import dataclass


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
