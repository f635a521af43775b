"""What happens between rounds: a training loop that keeps fallen values at zero and data on the device."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR

from pruning.devices import drawn_by, mixed_precision
from pruning.errors import RecipeError
from pruning.units import Masks
from pruning.workload import Split, Workload, shuffled


@dataclass(frozen=True)
class Tuning:
    """How the network is healed after each round. The learning rate follows one cycle over the epochs of a round.

    (Smith and Topin 2018, arXiv 1708.07120.)
    """

    epochs: int = 2
    """Passes over the training images after each round; 0 leaves the network as cut."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """adamw, or sgd with momentum 0.9 (Nesterov)."""
    learning_rate: float = 0.003
    """The top of the cycle."""
    batch_size: int = 128
    """Images in one step."""
    images_per_epoch: int | None = None
    """A random part of the training images for each epoch, for a quick answer; null uses all."""

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise RecipeError(f"tuning.epochs is {self.epochs}; it is at least 0")
        if not 0 < self.learning_rate < 10:
            raise RecipeError(f"tuning.learning_rate is {self.learning_rate}; it lies above 0 and below 10")
        if self.batch_size < 2:
            raise RecipeError(f"tuning.batch_size is {self.batch_size}; it is at least 2")
        if self.images_per_epoch is not None and self.images_per_epoch < self.batch_size:
            raise RecipeError(
                f"tuning.images_per_epoch is {self.images_per_epoch}; it is at least the batch size, {self.batch_size}"
            )


@dataclass(frozen=True)
class Step:
    """One optimiser step: epoch from 0, step from 0 of `steps` in the whole of the tuning, and the batch's loss."""

    epoch: int
    step: int
    steps: int
    loss: float


def steps_per_epoch(tuning: Tuning, split: Split) -> int:
    """Optimiser steps in one epoch; a last batch of one sample is left out."""
    full, rest = divmod(min(tuning.images_per_epoch or len(split), len(split)), tuning.batch_size)
    return max(full + (rest > 1), 1)


def tune(
    model: nn.Module, workload: Workload, tuning: Tuning, masks: Masks, device: torch.device, seed: int, every: int = 20
) -> Iterator[Step]:
    """Train the model in place and yield every `every`th step and the last of each epoch.

    Masks are applied again after every optimiser step. Reading a loss waits for the device, hence `every`.
    """
    per_epoch = steps_per_epoch(tuning, workload.train)
    total = per_epoch * tuning.epochs
    if not total:
        return
    optimiser = _optimiser(tuning, model)
    # a way up of no steps at all, which a fifth of five steps is, makes torch divide by zero
    rise = max(0.2, 1.5 / max(total, 2))
    cycle = OneCycleLR(optimiser, max_lr=tuning.learning_rate, total_steps=max(total, 2), pct_start=rise)
    generator = torch.Generator().manual_seed(seed)
    remask = masker(model, masks, device)
    model.train()
    step = 0
    for epoch in range(tuning.epochs):
        batches = shuffled(workload.train, tuning.batch_size, device, generator)
        for in_epoch, batch in zip(range(per_epoch), batches, strict=False):
            optimiser.zero_grad(set_to_none=True)
            with mixed_precision(device), drawn_by(seed * 2**24 + step, device):
                loss = workload.task.loss(model, batch)
            loss.backward()
            optimiser.step()
            remask()
            cycle.step()
            if step % every == 0 or in_epoch == per_epoch - 1:
                yield Step(epoch, step, total, float(loss.detach()))
            step += 1
    model.eval()


def masker(model: nn.Module, masks: Masks, device: torch.device) -> Callable[[], None]:
    """A function that puts every fallen value back to zero; masks are moved and inverted once."""
    fallen = [(model.get_parameter(name), ~stays.to(device)) for name, stays in masks.items()]

    @torch.no_grad()
    def remask() -> None:
        for parameter, gone in fallen:
            parameter.masked_fill_(gone, 0.0)

    return remask


def _optimiser(tuning: Tuning, model: nn.Module) -> Optimizer:
    learnable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if tuning.optimiser == "sgd":
        return SGD(learnable, lr=tuning.learning_rate, momentum=0.9, nesterov=True)
    return AdamW(learnable, lr=tuning.learning_rate, weight_decay=1e-4)
