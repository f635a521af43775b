"""What is known of all samples before a cut is evaluated, and the estimate that follows from evaluating some of them.

A cut is evaluated on a growing part of a split. Which samples it gets wrong depends on things that are known of every
sample beforehand: whether the dense network got it right and by how much, and which class it belongs to. The estimate
takes the evaluated samples' regression on these to all samples (a model-assisted estimator, Särndal, Swensson and
Wretman 1992, chapter 6): what the predictors explain costs no samples. It stays right where they explain nothing.

A surprise among the samples to come is as large as the metric's range. A score without bounds has none, and for it no
interval holds for whatever distribution (Bahadur and Savage 1956): there the range of the scores that have been seen
takes its place, and the interval is asymptotic.
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.evaluation.accuracy import Evaluator
from pruning.evaluation.estimate import Estimate
from pruning.evaluation.sequential_bounds import AtAllLooks, Interval
from pruning.metric import ACCURACY, Metric
from pruning.model.devices import full_precision
from pruning.model.patching import evaluating
from pruning.workload import Task, metric_of, sample_scores

MOST_CLASSES = 50
SAMPLES_PER_PREDICTOR = 20
DESIGNS = 16  # regressions that are kept: those of a slider's looks


def evaluation_order(total: int) -> Tensor:
    """The one random order, int64 [total], in which a split's samples are evaluated."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True, eq=False)
class DenseReference:
    """The dense network's score of every sample, float32 [n], and predictors of any cut's, float64 [n, p].

    The first two predictors are 1 and the dense score, on a scale of its own. `order` int64 [n] is the one random order
    in which samples are evaluated; `chance` is the score of whoever always answers with the commonest class, 0 where
    there are no classes, None where the metric is no share of right answers. `evaluated` of the samples, the first in
    `order`, are known so far: all but in a map's first moments.
    """

    scores: Tensor
    predictors: Tensor
    chance: float | None = 0.0
    order: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    evaluated: int = 0
    metric: Metric = ACCURACY
    _designs: dict[tuple[int, float], "_Design"] = field(init=False, default_factory=dict[tuple[int, float], "_Design"])

    def __post_init__(self) -> None:
        if not len(self.order):
            object.__setattr__(self, "order", evaluation_order(len(self.scores)))
        if not self.evaluated:
            object.__setattr__(self, "evaluated", len(self.scores))

    @property
    def score(self) -> float:
        # in the split's order where all are known: a sum in another order may differ in the last digit
        return float(self._known_scores.double().mean())

    def estimate(self, seen: Tensor) -> Estimate:
        """The score on all samples from those of the first few in `order`, float [samples], with its 95 % interval.

        The interval holds at all looks of `boundary.looks` together. Once all samples are seen it is of width 0 and the
        score is that of `seen` to the last digit: of a full evaluation, where that is what has been seen.
        """
        return self.estimates(seen[None], AtAllLooks(len(self.scores)))[0]

    def estimates(self, seen: Tensor, interval: Interval) -> list[Estimate]:
        """Those of several cuts, float [cuts, samples], as wide as the interval's boundary makes them."""
        samples, total, dense = seen.shape[1], len(self.scores), self.score
        if samples == total:
            whole = torch.empty(len(seen), total, dtype=torch.float64)
            whole[:, self.order] = seen.double()
            means = [float(scores.mean()) for scores in whole]
            return [Estimate(mean, 0.0, mean - dense, total, total) for mean in means]
        # the ridge pulls towards 0, and a large number that all scores have in common shall not be pulled
        middle = self.metric.ends[0] if self.metric.bounded else dense
        surprises = self._largest_surprises(seen.double())
        scores, variances = self._design(samples, interval.z).fitted(seen.double() - middle, surprises)
        # the evaluated are a sample of the known ones, and those are a sample of all
        variances = variances / samples * (1 - samples / self.evaluated)
        if self.evaluated < total:
            variances += seen.double().var(dim=1) / self.evaluated * (1 - self.evaluated / total)
        scores = (scores + middle).clamp(*self.metric.ends)
        return [
            Estimate(score, interval.half_width(variance), score - dense, samples, total)
            for score, variance in zip(scores.tolist(), variances.tolist(), strict=True)
        ]

    @property
    def _known_scores(self) -> Tensor:
        return self.scores if self.evaluated == len(self.scores) else self.scores[self.order[: self.evaluated]]

    def _largest_surprises(self, seen: Tensor) -> Tensor:
        """By how much a sample of each cut [cuts, samples] may surprise: by the metric's range, float64 [cuts].

        Without bounds by the range of all scores that are known, the dense network's and the cut's own; where these are
        all the same, by the score itself.
        """
        if self.metric.bounded:
            return seen.new_full((len(seen),), self.metric.span)
        lowest, highest = (edge.double() for edge in self._known_scores.aminmax())
        range_ = torch.maximum(seen.amax(dim=1), highest) - torch.minimum(seen.amin(dim=1), lowest)
        return range_.where(range_ > 0, abs(self.score) or 1.0)

    def _design(self, samples: int, z: float) -> "_Design":
        if (samples, z) not in self._designs:
            width = self.predictors.shape[1] if samples >= SAMPLES_PER_PREDICTOR * self.predictors.shape[1] else 2
            known = self._in_order[:, :width]
            while len(self._designs) >= DESIGNS:
                self._designs.pop(next(iter(self._designs)))
            self._designs[samples, z] = _Design(known[:samples], known.mean(dim=0), z)
        return self._designs[samples, z]

    @cached_property
    def _in_order(self) -> Tensor:
        return self.predictors[self.order[: self.evaluated]]


class _Design:
    """The regression on the first few samples: `rows` [samples, p] of the predictors, `means` [p] over all samples."""

    def __init__(self, rows: Tensor, means: Tensor, z: float) -> None:
        samples, width = rows.shape
        self._rows, self._means, self._z = rows, means, z
        # a little is added so that predictors which say the same do not spoil it
        square = rows.T @ rows + 1e-6 * samples * torch.eye(width, dtype=torch.float64)
        self._inverse = torch.linalg.inv(square)
        leverage = (rows @ self._inverse * rows).sum(dim=1)
        self._swell = 1 / (1 - leverage).clamp(min=0.1)

    def fitted(self, seen: Tensor, surprises: Tensor) -> tuple[Tensor, Tensor]:
        """Of cuts [cuts, samples]: estimates of the mean over all samples [cuts], variances of a sample's residual.

        Residuals count as they would be had the sample not been fitted to. As Agresti and Coull (1998) do for a
        proportion, z² samples are added of which half are residuals as large as `surprises` [cuts]: few samples without
        any surprise are not taken for certainty.
        """
        slopes = seen @ self._rows @ self._inverse
        residuals = torch.addmm(seen, slopes, self._rows.T, alpha=-1)
        scores = slopes @ self._means + residuals.mean(dim=1)
        squares = residuals.mul_(self._swell).square().sum(dim=1) + self._z**2 / 2 * surprises.square()
        return scores, squares / (seen.shape[1] + self._z**2)


class DenseReferenceBuilder:
    """Gathers what the dense network says of a split, batch by batch; `known` is what follows from it so far."""

    def __init__(self, task: Task, total: int) -> None:
        self.evaluated = 0
        self._task, self._metric, self._total = task, metric_of(task), total
        self._index: list[Tensor] = []
        self._scores: list[Tensor] = []
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []

    def add(self, index: Tensor, output: Tensor, target: Tensor) -> None:
        """The outputs for the samples at `index`: the next in the evaluating order, or else all samples in the end."""
        self._index.append(index)
        self._scores.append(sample_scores(self._task, output, target).float().cpu())
        self._outputs.append(output.cpu())
        self._targets.append(target.cpu())
        self.evaluated += len(index)

    def known(self) -> DenseReference:
        index, evaluated, target = torch.cat(self._index), torch.cat(self._scores), torch.cat(self._targets)
        on_scale = _on_scale(evaluated.double(), self._metric)
        known = [torch.ones(len(evaluated), 1, dtype=torch.float64), on_scale[:, None]]
        chance, classes = 0.0, len(self._task.classes)
        if _are_classes(self._outputs[0], target, classes):
            known += _class_predictors(torch.cat(self._outputs).double(), target, classes)
            chance = float(torch.bincount(target).max()) / len(target)
        predictors = torch.cat(known, dim=1)
        return DenseReference(
            evaluated.new_zeros(self._total).index_put_((index,), evaluated),
            predictors.new_zeros(self._total, predictors.shape[1]).index_put_((index,), predictors),
            chance if self._metric.percent and self._metric.better == "higher" else None,
            evaluated=len(evaluated),
            metric=self._metric,
        )


@torch.no_grad()
def dense_reference(model: nn.Module, evaluator: Evaluator) -> DenseReference:
    """Evaluate the dense network on a whole split and keep what predicts how cuts of it will do."""
    dense = DenseReferenceBuilder(evaluator.task, len(evaluator))
    with evaluating(model), full_precision():
        for part in evaluator.batches(torch.arange(len(evaluator))):
            inputs, target = evaluator.batch(part)
            dense.add(part, model(inputs), target)
    return dense.known()


def _on_scale(scores: Tensor, metric: Metric) -> Tensor:
    """Scores [n] on a scale of which the regression's ridge is a small part: those from 0 to 1 as they are.

    Others from where their range begins, in parts of it; without bounds from their mean, in parts of what they differ.
    """
    if metric.bounded:
        return (scores - metric.ends[0]) / metric.span
    spread = float(scores.max() - scores.min())
    return (scores - scores.mean()) / (spread or 1.0)


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
