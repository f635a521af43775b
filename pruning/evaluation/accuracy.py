"""Accuracy, sample by sample: whole splits for the stages of a run, growing samples with intervals under a slider."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pruning.model.devices import full_precision, one_thread
from pruning.model.patching import evaluating
from pruning.workload import Split, Task

WARM_UP, TIMED = 5, 25  # forward passes of one sample
BATCH, BATCH_ON_ACCELERATOR = 100, 1000


@torch.no_grad()
def evaluate_all(model: nn.Module, split: Split, task: Task, device: torch.device) -> tuple[Tensor, Tensor]:
    """Per-sample scores float32 [n] and targets [n] of a whole split, in the split's order, on the CPU."""
    return evaluate_some(model, split, task, device, torch.arange(len(split)))


@torch.no_grad()
def evaluate_some(
    model: nn.Module, split: Split, task: Task, device: torch.device, index: Tensor
) -> tuple[Tensor, Tensor]:
    """Per-sample scores float32 [len(index)] and targets of the samples at `index`, on the CPU."""
    scores: list[Tensor] = []
    targets: list[Tensor] = []
    with evaluating(model), full_precision():
        for part in batches(index, device):
            inputs, target = split.batch(part, device)
            scores.append(task.judge(model(inputs), target))
            targets.append(target)
    return torch.cat(scores).float().cpu(), torch.cat(targets).cpu()


def batches(index: Tensor, device: torch.device) -> Sequence[Tensor]:
    """The samples in the batches in which whole splits are evaluated: always the same, for a score that repeats
    exactly.

    On a CPU small ones: their activations stay in its cache. A residual network took 105 µs a sample in batches of 50,
    100 µs in batches of 100, 208 µs in batches of 500.
    """
    return index.split(BATCH if device.type == "cpu" else BATCH_ON_ACCELERATOR)


@torch.no_grad()
def latency_ms(model: nn.Module, example: Tensor) -> float:
    """Milliseconds of the fastest of 25 forward passes of one sample [1, *input], in eval mode, on one core of a CPU.

    The fastest, and one core: whatever else the machine does makes some passes slower, by a factor of hundreds where
    threads wait for one another, and a slow pass says nothing of the network.
    """
    times: list[float] = []
    with evaluating(model), full_precision(), one_thread():
        for _ in range(WARM_UP + TIMED):
            start = time.perf_counter()
            model(example)
            if example.device.type != "cpu":
                torch.accelerator.synchronize(example.device)
            times.append(1000 * (time.perf_counter() - start))
    return min(times[WARM_UP:])


def class_scores(scores: Tensor, targets: Tensor, classes: int) -> tuple[float, ...]:
    """Mean score of the samples of each class: a class without samples scores 0, without classes there are none."""
    if not classes:
        return ()
    count = torch.bincount(targets, minlength=classes).double()
    total = torch.bincount(targets, weights=scores.double(), minlength=classes)
    return tuple((total / count.clamp(min=1)).tolist())
