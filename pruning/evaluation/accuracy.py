"""Scores, sample by sample, on whole splits and on parts of them; and how fast a network is."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from pruning.evaluation.pooling import QuickPooling
from pruning.metric import ACCURACY, Metric
from pruning.model.devices import full_precision, one_thread
from pruning.model.patching import evaluating
from pruning.model.preparation import open_model
from pruning.workload import Batch, Split, Task, Workload, metric_of, sample_scores

WARM_UP, TIMED = 5, 25  # forward passes of one sample
PAIRS = 35
BATCH, BATCH_ON_ACCELERATOR = 100, 1000


@dataclass(frozen=True, eq=False)
class Evaluator:
    """What models are evaluated on and by: the samples of a split, the score of a task, on a device."""

    split: Split
    task: Task
    device: torch.device

    def __len__(self) -> int:
        """Samples of the split."""
        return len(self.split)

    def batch(self, index: Tensor) -> Batch:
        """Inputs and targets of the samples at `index`, on the device."""
        return self.split.batch(index, self.device)

    def batches(self, index: Tensor) -> Sequence[Tensor]:
        """The samples at `index` in batches of always the same size, for a score that repeats exactly.

        On a CPU small ones: their activations stay in its cache. A residual network took 105 µs a sample in batches of
        50, 100 µs in batches of 100, 208 µs in batches of 500.
        """
        size = BATCH if self.device.type == "cpu" else BATCH_ON_ACCELERATOR
        if len(index) % size == 1 and len(index) > 1:  # a network that squeezes takes two samples, and not one
            return [*index[: -(size + 1)].split(size), index[-(size + 1) :]] if len(index) > size + 1 else [index]
        return index.split(size)

    def evaluate_all(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Per-sample scores float32 [n] and targets [n] of the whole split, in the split's order, on the CPU."""
        return self.evaluate_some(model, torch.arange(len(self.split)))

    @torch.no_grad()
    def evaluate_some(self, model: nn.Module, index: Tensor) -> tuple[Tensor, Tensor]:
        """Per-sample scores float32 [len(index)] and targets of the samples at `index`, on the CPU."""
        scores: list[Tensor] = []
        targets: list[Tensor] = []
        with evaluating(model), full_precision(), QuickPooling():
            for part in self.batches(index):
                inputs, target = self.batch(part)
                scores.append(sample_scores(self.task, model(inputs), target))
                targets.append(target)
        return torch.cat(scores).float().cpu(), torch.cat(targets).cpu()

    def score(self, model: nn.Module) -> float:
        """Mean score of the whole split."""
        return mean_score(self.evaluate_all(model)[0])


def mean_score(scores: Tensor) -> float:
    """Mean of per-sample scores, added up in float64."""
    return float(scores.double().mean())


def small_change(workload: Workload, device: torch.device) -> float:
    """A change of the workload's score that counts as small where nobody says what does; see `Metric.tolerance`.

    The dense network is evaluated where that depends on its score.
    """
    metric = metric_of(workload.task)
    if metric.bounded:
        return metric.tolerance(0.0)
    validation = Evaluator(workload.validation, workload.task, device)
    return metric.tolerance(validation.score(open_model(workload, device)))


def guessing(score: float, samples: int, classes: int, metric: Metric = ACCURACY) -> str:
    """A sentence where a classifier's accuracy is no better than a guess, within two standard errors; else empty.

    Of another metric nobody knows what a guess would score: empty too.
    """
    if metric != ACCURACY or classes < 2 or not samples:
        return ""
    chance = 1 / classes
    if score > chance + 2 * (chance * (1 - chance) / samples) ** 0.5:
        return ""
    return (
        f"the network scores {score:.1%}, no better than guessing among {classes} classes: were its weights loaded? "
        "load_state_dict(strict=False) leaves out what does not fit and says nothing"
    )


@torch.no_grad()
def latency_ms(model: nn.Module, example: Tensor) -> float:
    """Milliseconds of the fastest of 25 forward passes of one sample [1, *input], in eval mode, on one core of a CPU.

    The fastest, and one core: whatever else the machine does makes some passes slower, by a factor of hundreds where
    threads wait for one another, and a slow pass says nothing of the network.
    """
    times: list[float] = []
    with evaluating(model), full_precision(), one_thread():
        for _ in range(WARM_UP + TIMED):
            times.append(passed_ms(model, example))
    return min(times[WARM_UP:])


@torch.no_grad()
def time_left(model: nn.Module, dense: nn.Module, example: Tensor) -> float:
    """How long a pass of a model takes, as a share of what the dense one takes: the median of 35 pairs of passes.

    The two take turns: a machine whose clock drifts, or that is busy for a moment, slows both. Measured one after the
    other, a pruned fashion_resnet had at most 0.80 of the time in a search, and 0.89 a minute later.
    """
    ratios: list[float] = []
    with evaluating(model), evaluating(dense), full_precision(), one_thread():
        for _ in range(WARM_UP + PAIRS):
            ratios.append(passed_ms(model, example) / passed_ms(dense, example))
    return median(ratios[WARM_UP:])


def passed_ms(model: nn.Module, example: Tensor) -> float:
    """Milliseconds of one pass of a model as it is."""
    start = time.perf_counter()
    model(example)
    if example.device.type != "cpu":
        torch.accelerator.synchronize(example.device)
    return 1000 * (time.perf_counter() - start)


def class_scores(scores: Tensor, targets: Tensor, classes: int) -> tuple[float, ...]:
    """Mean score of the samples of each class: a class without samples scores 0, without classes there are none."""
    if not classes:
        return ()
    count = torch.bincount(targets, minlength=classes).double()
    total = torch.bincount(targets, weights=scores.double(), minlength=classes)
    return tuple((total / count.clamp(min=1)).tolist())


def class_samples(targets: Tensor, classes: int) -> tuple[int, ...]:
    """How many samples each class has; without classes there are none."""
    return tuple(torch.bincount(targets, minlength=classes).tolist()) if classes else ()
