"""An estimated score: a plain value, no torch."""

import math
from dataclasses import dataclass

from pruning.metric import Metric


@dataclass(frozen=True)
class Estimate:
    """A score on a split after `samples` of `total` samples: `score` ± `half_width`, both in the metric's own unit.

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


def highest_drop(estimate: Estimate, metric: Metric) -> float:
    """How much worse than dense the score may be at the far end of its interval; infinite before the first samples."""
    return estimate.half_width + metric.drop(estimate.change) if estimate.samples else math.inf
