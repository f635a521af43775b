"""What the scores of a task are that does not say so: they rise with its losses, as errors do, or fall with them."""

import copy
import warnings
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from pruning.errors import WorkloadError
from pruning.metric import ACCURACY, Metric
from pruning.model.patching import evaluating
from pruning.workload import Batch, Classification, HasMetric, Task, Workload, metric_of, sample_scores

TRIED = 8
"""Samples whose losses are looked at."""
DISTINCT = 5
"""Scores that all differ: so many are in the order of their losses by chance once in 120 times."""
RANGE = 256
"""Samples whose scores are looked at."""

METRICS = {"higher": Metric("score"), "lower": Metric("error", better="lower")}


@torch.no_grad()
def order_of(task: Task, model: nn.Module, batch: Batch, scores: Tensor) -> Literal["higher", "lower"] | None:
    """Which scores are the better ones, if every pair of samples says the same; `scores` are those of the batch [b]."""
    if len(scores.unique()) < DISTINCT:
        return None
    inputs, targets = batch
    try:
        # each sample twice: a network that squeezes takes two, and not one
        pairs = [torch.tensor([place, place], device=targets.device) for place in range(len(targets))]
        losses = torch.tensor([float(task.loss(model, (inputs[pair], targets[pair]))) for pair in pairs])
    except torch.OutOfMemoryError:
        raise
    except Exception:  # a loss may be one of train mode alone; before anything is tuned it is tried there
        return None
    scores = scores.cpu()
    if len(losses.unique()) < DISTINCT:
        return None
    higher, worse = scores[:, None] > scores, losses[:, None] > losses
    apart = (scores[:, None] != scores) & (losses[:, None] != losses)
    if not bool((apart & (higher != worse)).any()):
        return "lower"
    return "higher" if not bool((apart & (higher == worse)).any()) else None


def with_metric(workload: Workload) -> Workload:
    """The workload with a task that says what its scores are, in their own unit, where they plainly are no accuracies.

    Warns of it. A task that says so itself, and one of which nothing can be told, is as it was: who opens the workload
    is told what is missing.
    """
    if isinstance(workload.task, HasMetric | Classification):
        return workload
    split = workload.validation
    try:
        model = workload.build()
        # no bounds: whatever is one number a sample
        told = _told(workload.task, METRICS["higher"])
        with torch.no_grad(), evaluating(model):
            inputs, targets = split.batch(torch.arange(min(RANGE, len(split))), torch.device("cpu"))
            scores = sample_scores(told, model(inputs), targets)
            batch = inputs[:TRIED], targets[:TRIED]
            better = order_of(workload.task, model, batch, scores[:TRIED])
    except Exception:  # whatever is wrong with a stranger's model, data or task is said when it is opened
        return workload
    if better is None or (better == "higher" and _are_shares(scores)):
        return workload
    metric = METRICS[better]
    rise = "fall" if better == "higher" else "rise"
    warnings.warn(
        f"{workload.name}: the task does not say what its scores are; they {rise} where its loss() rises, so {better} "
        f"is taken for better, in a unit of their own; say it yourself: metric = pruning.Metric("
        f"'{metric.name}', better='{better}')",
        stacklevel=3,
    )
    return replace(workload, task=_told(workload.task, metric))


def _are_shares(scores: Tensor) -> bool:
    low, high = ACCURACY.ends
    return bool(((scores >= low) & (scores <= high)).all())


def _told(task: Task, metric: Metric) -> Task:
    """The same task that also says what its scores are. WorkloadError if it takes no further attribute."""
    told = copy.copy(task)
    try:
        object.__setattr__(told, "metric", metric)
    except AttributeError:
        raise WorkloadError("the task has slots and takes no metric") from None
    assert metric_of(told) is metric
    return told
