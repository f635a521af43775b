"""What is known of all samples before a cut is judged, and the estimate that follows from judging some of them.

A cut is judged on a growing part of a split. Which samples it gets wrong depends on things that are known of every
sample beforehand: whether the dense network got it right and by how much, and which class it belongs to. The estimate
takes the judged samples' regression on these to all samples (a model-assisted estimator, Särndal, Swensson and Wretman
1992, chapter 6): what the predictors explain costs no samples. It stays right where they explain nothing.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.boundary import repeated_z
from pruning.devices import full_precision
from pruning.measure import Estimate, batches
from pruning.workload import Split, Task

MOST_CLASSES = 50
SAMPLES_PER_PREDICTOR = 20


@dataclass(frozen=True, eq=False)
class Known:
    """The dense network's score of every sample, float32 [n], and predictors of any cut's, float64 [n, p].

    The first two predictors are 1 and the dense score. `order` int64 [n] is the one random order in which samples are
    judged; `chance` is the score of whoever always answers with the commonest class, 0 where there are no classes.
    """

    scores: Tensor
    predictors: Tensor
    chance: float = 0.0
    order: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    _designs: dict[int, "_Design"] = field(init=False, default_factory=dict["int", "_Design"])

    def __post_init__(self) -> None:
        if not len(self.order):
            order = torch.randperm(len(self.scores), generator=torch.Generator().manual_seed(0))
            object.__setattr__(self, "order", order)

    @property
    def score(self) -> float:
        return float(self.scores.double().mean())

    def estimate(self, seen: Tensor) -> Estimate:
        """The score on all samples from those of the first few in `order`, float [samples], with its 95 % interval.

        The interval holds at all looks of `boundary.looks` together. Once all samples are seen it is of width 0 and the
        score is the full evaluation's to the last digit.
        """
        samples, total = len(seen), len(self.scores)
        if samples == total:
            whole = torch.empty(total, dtype=torch.float64).index_put_((self.order,), seen.double())
            return Estimate(float(whole.mean()), 0.0, float(whole.mean()) - self.score, total, total)
        score, variance = self._design(samples).fitted(seen.double())
        half = repeated_z(total) * math.sqrt(variance / samples * (1 - samples / total))
        score = min(max(score, 0.0), 1.0)
        return Estimate(score, half, score - self.score, samples, total)

    def _design(self, samples: int) -> "_Design":
        if samples not in self._designs:
            width = self.predictors.shape[1] if samples >= SAMPLES_PER_PREDICTOR * self.predictors.shape[1] else 2
            known = self.predictors[:, :width]
            self._designs[samples] = _Design(known[self.order[:samples]], known.mean(dim=0), repeated_z(len(known)))
        return self._designs[samples]


class _Design:
    """The regression on the first few samples: `rows` [samples, p] of the predictors, `means` [p] over all samples."""

    def __init__(self, rows: Tensor, means: Tensor, z: float) -> None:
        samples, width = rows.shape
        self._rows, self._means, self._z = rows, means, z
        # a little is added so that predictors which say the same do not spoil it
        square = rows.T @ rows + 1e-6 * samples * torch.eye(width, dtype=torch.float64)
        self._solve = torch.linalg.solve(square, rows.T)
        leverage = (rows * self._solve.T).sum(dim=1)
        self._swell = 1 / (1 - leverage).clamp(min=0.1)

    def fitted(self, seen: Tensor) -> tuple[float, float]:
        """The estimate of the mean over all samples and the variance of a sample's residual.

        Residuals count as they would be had the sample not been fitted to. As Agresti and Coull (1998) do for a
        proportion, z² samples are added of which half are residuals of 1: few samples without any surprise are not
        taken for certainty.
        """
        slopes = self._solve @ seen
        residuals = seen - self._rows @ slopes
        score = float(self._means @ slopes + residuals.mean())
        surprise = (residuals * self._swell).square().sum() + self._z**2 / 2
        return score, float(surprise) / (len(seen) + self._z**2)


@torch.no_grad()
def known_of(model: nn.Module, split: Split, task: Task, device: torch.device) -> Known:
    """Judge the dense network on a whole split and keep what predicts how cuts of it will do."""
    training = model.training
    model.eval()
    scores: list[Tensor] = []
    outputs: list[Tensor] = []
    targets: list[Tensor] = []
    with full_precision():
        for part in batches(torch.arange(len(split)), device):
            inputs, target = split.batch(part, device)
            output = model(inputs)
            scores.append(task.judge(output, target).float().cpu())
            outputs.append(output.cpu())
            targets.append(target.cpu())
    model.train(training)
    judged = torch.cat(scores)
    known = [torch.ones(len(judged), 1, dtype=torch.float64), judged.double()[:, None]]
    if not _are_classes(outputs[0], targets[0], len(task.classes)):
        return Known(judged, torch.cat(known, dim=1))
    target = torch.cat(targets)
    known += _class_predictors(torch.cat(outputs).double(), target, len(task.classes))
    return Known(judged, torch.cat(known, dim=1), float(torch.bincount(target).max()) / len(target))


def _are_classes(output: Tensor, target: Tensor, classes: int) -> bool:
    """Whether outputs are logits [b, classes] and targets say which class is right."""
    return classes > 1 and output.shape[1:] == (classes,) and target.dim() == 1 and not target.is_floating_point()


def _class_predictors(logits: Tensor, target: Tensor, classes: int) -> list[Tensor]:
    """By how much each sample was right, as its probability and its rank in the split; and its class."""
    right = logits.softmax(dim=1).gather(1, target[:, None])
    others = logits.scatter(1, target[:, None], -torch.inf).amax(dim=1)
    margin = logits.gather(1, target[:, None])[:, 0] - others
    rank = margin.argsort(stable=True).argsort().double()[:, None] / len(margin)
    known = [right, rank, rank**2]
    if classes <= MOST_CLASSES:
        known.append(F.one_hot(target, classes)[:, 1:].double())
    return known
