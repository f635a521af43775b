"""What takes the steps of a training: the optimiser, and the curve of its learning rate."""

import math
from collections.abc import Callable

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from pruning.training.tuning import Tuning

FALLS: dict[str, Callable[[float], float]] = {
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
    "linear": lambda done: 1.0 - done,
    "constant": lambda done: 1.0,
}
"""Curve -> the learning rate as a share of its top, by the share of the steps after the warm-up that is done."""


def optimiser_of(tuning: Tuning, model: nn.Module) -> Optimizer:
    """The optimiser of the model's parameters that may learn."""
    learnable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    # one kernel for the whole step: on a CPU AdamW takes 0.45 to 0.65 of the time, SGD 0.65 to 0.85
    fused = all(parameter.is_floating_point() for parameter in learnable)
    momentum = 0.9 if tuning.momentum is None else tuning.momentum
    rate, decay = tuning.learning_rate, tuning.weight_decay
    if tuning.optimiser == "sgd":
        return SGD(learnable, lr=rate, momentum=momentum, nesterov=momentum > 0, weight_decay=decay or 0.0, fused=fused)
    decay = 1e-4 if decay is None else decay
    return AdamW(learnable, lr=rate, betas=(momentum, 0.999), weight_decay=decay, fused=fused)


def learning_rate_of(tuning: Tuning, optimiser: Optimizer, total: int) -> LRScheduler:
    """The curve of the learning rate over `total` optimiser steps, to be stepped after each of them."""
    if tuning.curve == "one_cycle":
        # a way up of no steps at all, which a fifth of five steps is, makes torch divide by zero
        rise = max(tuning.warm_up, 1.5 / max(total, 2))
        return OneCycleLR(
            optimiser,
            max_lr=tuning.learning_rate,
            total_steps=max(total, 2),
            pct_start=rise,
            cycle_momentum=tuning.momentum is None,
        )
    return LambdaLR(optimiser, lambda step: share_of_top(tuning, step, total))


def share_of_top(tuning: Tuning, step: int, total: int) -> float:
    """The learning rate at a step, from 0 of `total`, as a share of its top: a straight rise, then one of `FALLS`.

    Examples:
        >>> [round(share_of_top(Tuning(curve="linear", warm_up=0.5), step, 6), 2) for step in range(6)]
        [0.25, 0.5, 0.75, 1.0, 0.67, 0.33]
    """
    rise = round(tuning.warm_up * total)
    if step < rise:
        return (step + 1) / (rise + 1)
    return FALLS[tuning.curve](min((step - rise) / max(total - rise, 1), 1.0))
