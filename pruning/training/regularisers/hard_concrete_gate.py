"""The hard concrete gate, which is drawn while the network is trained (Louizos et al. 2018, arXiv 1712.01312)."""

import math

import torch
from torch import Tensor

from pruning.training.regularisers.gates import Gate

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1
"""The temperature, and the interval that the concrete distribution is stretched to."""


class HardConcreteGate(Gate):
    """What is learnt is log α of a concrete distribution that is stretched beyond 0 and 1, and cut off there."""

    first = math.log(0.9 / 0.1)
    """The network is trained already: nearly all gates are open."""

    def drawn(self, learnt: Tensor) -> Tensor:
        return stretched(learnt, _uniform(learnt))

    def paid(self, learnt: Tensor) -> Tensor:
        """P(z ≠ 0), eq. 12 of the paper."""
        return torch.sigmoid(learnt - BETA * math.log(-GAMMA / ZETA))

    def settled(self, learnt: Tensor) -> Tensor:
        """Eq. 13."""
        return (torch.sigmoid(learnt) * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)


def stretched(log_alpha: Tensor, uniform: Tensor) -> Tensor:
    """Gates [units] in [0, 1] for draws from (0, 1) of the same shape, eq. 10 and 11."""
    concrete = torch.sigmoid((uniform.log() - (-uniform).log1p() + log_alpha) / BETA)
    return (concrete * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)


def _uniform(like: Tensor) -> Tensor:
    """Draws from (0, 1), without its ends."""
    tiny = torch.finfo(torch.float32).tiny
    return torch.rand_like(like).clamp(min=tiny, max=1 - torch.finfo(torch.float32).eps)
