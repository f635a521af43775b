"""Accuracy, sample by sample: whole splits for the stages of a run, growing samples with intervals under a slider."""

import math
import time
from dataclasses import dataclass, field
from statistics import NormalDist

import torch
from torch import Tensor, nn

from pruning.devices import full_precision
from pruning.workload import Split, Task

WARM_UP, TIMED = 5, 25  # forward passes of one sample
BATCH = 500  # for all whole splits, so that a score repeats to the digit; samples under a slider come in parts of it


@torch.no_grad()
def judge_all(model: nn.Module, split: Split, task: Task, device: torch.device) -> tuple[Tensor, Tensor]:
    """Per-sample scores float32 [n] and targets [n] of a whole split, in the split's order, on the CPU."""
    return judge_some(model, split, task, device, torch.arange(len(split)))


@torch.no_grad()
def judge_some(
    model: nn.Module, split: Split, task: Task, device: torch.device, index: Tensor
) -> tuple[Tensor, Tensor]:
    """Per-sample scores float32 [len(index)] and targets of the samples at `index`, on the CPU."""
    training = model.training
    model.eval()
    scores: list[Tensor] = []
    targets: list[Tensor] = []
    with full_precision():
        for part in index.split(BATCH):
            inputs, target = split.batch(part, device)
            scores.append(task.judge(model(inputs), target))
            targets.append(target)
    model.train(training)
    return torch.cat(scores).float().cpu(), torch.cat(targets).cpu()


@torch.no_grad()
def latency_ms(model: nn.Module, example: Tensor) -> float:
    """Milliseconds of the fastest of 25 forward passes of one sample [1, *input], in eval mode, on one core of a CPU.

    The fastest, and one core: whatever else the machine does makes some passes slower, by a factor of hundreds where
    threads wait for one another, and a slow pass says nothing of the network.
    """
    training, threads = model.training, torch.get_num_threads()
    model.eval()
    torch.set_num_threads(1)
    times: list[float] = []
    with full_precision():
        for _ in range(WARM_UP + TIMED):
            start = time.perf_counter()
            model(example)
            if example.device.type != "cpu":
                torch.accelerator.synchronize(example.device)
            times.append(1000 * (time.perf_counter() - start))
    torch.set_num_threads(threads)
    model.train(training)
    return min(times[WARM_UP:])


def class_scores(scores: Tensor, targets: Tensor, classes: int) -> tuple[float, ...]:
    """Mean score of the samples of each class: a class without samples scores 0, without classes there are none."""
    if not classes:
        return ()
    count = torch.bincount(targets, minlength=classes).double()
    total = torch.bincount(targets, weights=scores.double(), minlength=classes)
    return tuple((total / count.clamp(min=1)).tolist())


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


@dataclass(eq=False)
class Comparison:
    """Judges a pruned model on growing parts of a split against the dense model's known scores.

    The same samples for both: the interval is of the paired difference, which varies far less than two accuracies.
    `dense` are the dense model's per-sample scores [n]. Samples come in one fixed random order.
    """

    dense: Tensor
    split: Split
    task: Task
    device: torch.device
    order: Tensor = field(init=False)
    differences: list[Tensor] = field(default_factory=list[Tensor])

    def __post_init__(self) -> None:
        self.order = torch.randperm(len(self.dense), generator=torch.Generator().manual_seed(0))

    @property
    def seen(self) -> int:
        return sum(map(len, self.differences))

    def advance(self, model: nn.Module, seconds: float) -> Estimate:
        """Judge more samples until the time is over or all are seen, at least a batch and the first look; then look."""
        end = time.monotonic() + seconds
        total = len(self.order)
        while self.seen < total:
            index = self.order[self.seen : min(self.seen + BATCH, next_look(self.seen, total))]
            scores, _ = judge_some(model, self.split, self.task, self.device, index)
            self.differences.append(scores - self.dense[index])
            if self.seen >= FIRST_LOOK and time.monotonic() >= end:
                break
        return self.look()

    def look(self) -> Estimate:
        """The estimate at the latest look: looks fall where the samples have doubled, as the interval expects."""
        total = len(self.order)
        samples = next_look(0, total)
        while samples < self.seen and next_look(samples, total) <= self.seen:
            samples = next_look(samples, total)
        differences = torch.cat(self.differences)[:samples].double()
        # scaled up before it is added, so that once all samples are seen this is the full evaluation to the last digit
        score = float((self.dense.double().sum() + differences.sum() * total / samples) / total)
        return Estimate(score, look_half_width(differences, total), float(differences.mean()), samples, total)


FIRST_LOOK = 250


def next_look(seen: int, total: int) -> int:
    """The first look after `seen` samples: looks come at 250, 500, 1000, ... and at all.

    None comes when fewer than 250 are left: so few unseen samples are too lumpy for an interval that is nearly closed.
    """
    look = FIRST_LOOK
    while look <= seen:
        look *= 2
    return look if look + FIRST_LOOK <= total else total


def look_half_width(differences: Tensor, total: int, level: float = 0.95) -> float:
    """Half-width of the interval of the mean paired difference over all `total` samples, from the first few of them.

    Holds at all looks together with probability `level`, by Bonferroni over the looks of `next_look`. Normal
    approximation with a finite-population correction (Cochran 1977, section 2.6), which makes it 0 once all are seen.
    As Agresti and Coull (1998) do for a proportion, z²/4 samples are added to each of the four pairs of outcomes:
    then a first look that sees few differences, or none, is not taken for certainty.
    """
    seen = len(differences)
    if seen >= total:
        return 0.0
    looks, at = 0, 0
    while at < total:
        at, looks = next_look(at, total), looks + 1
    z = NormalDist().inv_cdf(1 - (1 - level) / (2 * looks))
    # half of the z² added samples differ, with squares of 1 each and a sum of 0
    counted = seen + z**2
    mean = float(differences.sum()) / counted
    variance = (float(differences.square().sum()) + z**2 / 2) / counted - mean**2
    return z * math.sqrt(variance / seen * (1 - seen / total))
