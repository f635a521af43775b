"""Evaluating one cut on growing parts of the validation split, under a slider."""

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pruning.evaluation.accuracy import Evaluator
from pruning.evaluation.estimate import Estimate
from pruning.evaluation.regression_estimator import DenseReference
from pruning.evaluation.sequential_bounds import looks

CHUNK_S = 0.05
SMALLEST, LARGEST = 20, 5000


@dataclass(eq=False)
class ProgressiveEvaluation:
    """Evaluates a pruned model on growing parts of a split, with what is `known` of the dense model there.

    The same samples for both, in one fixed random order. A chunk takes about 50 ms, whatever the network: a newer
    question never waits longer.
    """

    known: DenseReference
    evaluator: Evaluator
    seen: list[Tensor] = field(default_factory=list[Tensor])
    seconds: float = 0.0
    """That have been spent on them."""
    _chunk: int = 100

    @property
    def most_bytes(self) -> int:
        """Of memory: the cut's scores. What is known of the dense model belongs to whoever opened it."""
        return 4 * len(self.known.scores)

    @property
    def samples(self) -> int:
        return sum(map(len, self.seen))

    @property
    def done(self) -> bool:
        return self.samples >= len(self.known.order)

    def advance(self, model: nn.Module, seconds: float) -> Estimate:
        """Evaluate more samples until the time is over or all are seen, at least a chunk and the first look; then
        look.
        """
        end, order = time.monotonic() + seconds, self.known.order
        first = looks(len(order))[0]
        while (done := self.samples) < len(order):
            start = time.monotonic()
            scores, _ = self.evaluator.evaluate_some(model, order[done : done + self._chunk])
            self.seen.append(scores)
            took = time.monotonic() - start
            self.seconds += took
            faster = CHUNK_S / max(took, 1e-4)
            self._chunk = int(min(max(len(scores) * faster, SMALLEST), LARGEST, 4 * self._chunk))
            if self.samples >= first and time.monotonic() >= end:
                break
        return self.look()

    def look(self) -> Estimate:
        """The estimate at the latest look that the evaluated samples reach: only there does its interval hold."""
        reached = max(look for look in looks(len(self.known.order)) if look <= self.samples)
        return self.known.estimate(torch.cat(self.seen)[:reached])
