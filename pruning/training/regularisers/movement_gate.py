"""The gate of movement pruning: a score above a threshold or not, learnt straight through (Sanh et al. 2020)."""

import torch
from torch import Tensor

from pruning.training.regularisers.gates import Gate


class MovementGate(Gate):
    """What is learnt is a score S: the gate is 1 where σ(S) lies above the threshold, else 0.

    A step has no slope, so S is given that of the gate itself (Bengio et al. 2013, arXiv 1308.3432, "straight-through
    estimator"): the sum of w · ∂L/∂(gate · w) over what the gate multiplies, at a closed gate too.

    Args:
        threshold: In (0, 0.5), so that all gates are open at first.
    """

    first = 0.0

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def drawn(self, learnt: Tensor) -> Tensor:
        # the difference is 0, and its slope is 1
        return self.settled(learnt) + (learnt - learnt.detach())

    def paid(self, learnt: Tensor) -> Tensor:
        return torch.sigmoid(learnt)

    def settled(self, learnt: Tensor) -> Tensor:
        return (torch.sigmoid(learnt) > self.threshold).float()

    def sizes(self, learnt: Tensor) -> Tensor:
        # by the gates alone nobody would see scores sink before they close
        return torch.sigmoid(learnt) * self.settled(learnt)
