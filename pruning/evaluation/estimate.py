"""An estimated score: a plain value, no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A score on a split after `samples` of `total` samples: `score` ± `half_width`, both in [0, 1].

    `change` is the score minus the dense score. Once all samples are seen it is measured: the half-width is 0.
    """

    score: float
    half_width: float
    change: float
    samples: int
    total: int

    @property
    def measured(self) -> bool:
        return self.samples == self.total
