"""A network at one point of a run: scores on both splits and all costs."""

import torch
from torch import nn

from pruning.evaluation.accuracy import Evaluator, class_samples, class_scores, latency_ms, mean_score
from pruning.events import Stage
from pruning.model.costs import costs
from pruning.model.module_sizes import NO_SIZES, ModuleSizes
from pruning.workload import Workload


def measure_stage(model: nn.Module, workload: Workload, device: torch.device, sizes: ModuleSizes = NO_SIZES) -> Stage:
    """Scores on all of both splits, and all costs. `sizes` are what the model's file says besides its tensors."""
    test, targets = Evaluator(workload.test, workload.task, device).evaluate_all(model)
    validation = Evaluator(workload.validation, workload.task, device).score(model)
    cost = costs(model, workload.example.to(device), sizes)
    return Stage(
        score=mean_score(test),
        validation=validation,
        samples=len(test),
        parameters=cost.parameters,
        nonzero=cost.nonzero,
        macs=cost.macs,
        bytes=cost.bytes,
        gzip_bytes=cost.gzip_bytes,
        class_scores=class_scores(test, targets, len(workload.task.classes)),
        latency_ms=latency_ms(model, workload.example.to(device)),
        class_samples=class_samples(targets, len(workload.task.classes)),
    )
