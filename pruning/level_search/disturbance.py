"""How far a cut network's outputs are moved, so that what single groups move adds up.

Accuracy does not add up over layers and is noisy: of 10 000 samples, 20 decide about 0.2 points. Squares of what moves
do add up while they are small, for the errors of different layers hardly know one another. What counts of them is what
can change a decision: the margin between the dense network's two best classes, on the samples where it is smallest.

Of several groups together the drop is expected: where a cut network decides for another class than the dense one, what
is lost is how much likelier the dense network's class is, as the dense network says. Labels would say the same with
several times the noise (Rao 1945 and Blackwell 1947), for most samples that change sides had an even chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.evaluation.accuracy import Evaluator
from pruning.model.devices import full_precision
from pruning.model.patching import evaluating
from pruning.workload import Batch, Split, metric_of

NEAR, SHARE = 2000, 0.2
"""Samples nearest to the dense network's boundary between two classes, at most so many, and so many of the split."""
FEWEST = 200
CHANGED = 0.1
"""A first guess: of the samples near the boundary so many are lost where margins move by as much as they are wide."""


@dataclass(frozen=True, eq=False)
class Disturbance:
    """What the dense network gives on some samples, without their labels.

    Attributes:
        evaluator: Where the samples lie.
        index: Which they are, int64 [n].
        wanted: Margins float64 [n], or outputs [n, ...] where there are no classes.
        classes: The dense network's best and second class of each sample, int64 [n, 2]; None where there are none.
        scale: What a mean square is divided by: that of the margins, or the outputs' variance.
        costs: How much of the score a disturbance of 1 costs, as a first guess.
        likely: The dense network's probabilities of all samples, float32 [total, classes]; None where there are no
            classes.
        score: The dense network's, on all samples.
    """

    evaluator: Evaluator
    index: Tensor
    wanted: Tensor
    classes: Tensor | None
    scale: float
    costs: float
    likely: Tensor | None
    score: float

    @torch.no_grad()
    def of(self, model: nn.Module) -> float:
        """The mean square of what a network gives otherwise than the dense one."""
        found = _outputs(model, self.evaluator, self.index)
        if self.classes is not None:
            found = _margins(found, self.classes)
        return float((found - self.wanted).square().mean()) / self.scale

    def expected_drop(self, model: nn.Module) -> float:
        """By how much the score on all samples is expected to be worse; measured where there are no classes."""
        if self.likely is None:
            return metric_of(self.evaluator.task).drop(self.evaluator.score(model) - self.score)
        decided = _outputs(model, self.evaluator, torch.arange(len(self.evaluator))).argmax(dim=1)
        lost = self.likely.max(dim=1).values - self.likely.gather(1, decided[:, None])[:, 0]
        return float(lost.double().mean())


@dataclass(frozen=True, eq=False)
class MoreSamples:
    """A split, and behind its samples those of another one at `chosen`, int64 [n]."""

    split: Split
    other: Split
    chosen: Tensor

    def __len__(self) -> int:
        return len(self.split) + len(self.chosen)

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Batch:
        here = index < len(self.split)
        places = torch.cat([torch.nonzero(here)[:, 0], torch.nonzero(~here)[:, 0]]).argsort()
        others = self.chosen[index[~here] - len(self.split)]
        asked = [(self.split, index[here]), (self.other, others)]
        found = [split.batch(some, device, generator) for split, some in asked if len(some)]
        inputs, targets = (torch.cat(parts) for parts in zip(*found, strict=True))
        return inputs[places.to(device)], targets[places.to(device)]


def disturbance_of(
    dense: nn.Module, evaluator: Evaluator, unlabelled: Split | None = None, more: int = 0
) -> Disturbance:
    """What is looked at: margins of a classifier where they are small; of another network its outputs.

    A classifier is looked at on so many more samples of `unlabelled`, by lot: labels are not asked for, and with the
    validation split alone the levels fit that split. Over three seeds lenet_300_100 with 5 % of its weights scored
    84.50 % on the test split with 20 000 training samples beside 10 000 for validation, and 84.28 % without.
    """
    metric, classes = metric_of(evaluator.task), len(evaluator.task.classes)
    few = _outputs(dense, evaluator, torch.arange(min(2, len(evaluator))))
    classified = classes > 1 and few.shape[1:] == (classes,) and metric.percent
    if classified and unlabelled is not None and more:
        chosen = torch.randperm(len(unlabelled), generator=torch.Generator().manual_seed(0))[:more]
        wider = MoreSamples(evaluator.split, unlabelled, chosen)
        evaluator = Evaluator(wider, evaluator.task, evaluator.device)
    total = len(evaluator)
    outputs = _outputs(dense, evaluator, torch.arange(total))
    count = min(NEAR, max(FEWEST, round(SHARE * total)), total)
    if classified:
        best = outputs.topk(2, dim=1).indices
        margins = _margins(outputs, best)
        near = margins.argsort()[:count]
        scale = float(margins[near].square().mean().clamp(min=1e-30))
        return Disturbance(
            evaluator,
            near,
            margins[near],
            best[near],
            scale,
            CHANGED * count / total,
            outputs.softmax(dim=1).float(),
            0.0,
        )
    lots = torch.randperm(total, generator=torch.Generator().manual_seed(0))[:count]
    scale = float(outputs.var().clamp(min=1e-30)) if outputs.numel() > 1 else 1.0
    score = evaluator.score(dense)
    return Disturbance(evaluator, lots, outputs[lots], None, scale, metric.tolerance(score) / CHANGED, None, score)


def _margins(outputs: Tensor, classes: Tensor) -> Tensor:
    both = outputs.gather(1, classes)
    return both[:, 0] - both[:, 1]


@torch.no_grad()
def _outputs(model: nn.Module, evaluator: Evaluator, index: Tensor) -> Tensor:
    """Of the samples, float64 on the CPU."""
    found: list[Tensor] = []
    batches: Sequence[Tensor] = evaluator.batches(index)
    with evaluating(model), full_precision():
        for part in batches:
            found.append(model(evaluator.batch(part)[0]).cpu().double())
    return torch.cat(found)
