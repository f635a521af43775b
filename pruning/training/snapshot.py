"""The weights of a network at one step of a training, kept to go back to."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruning.model.tensors import copies_of
from pruning.training.loss_terms import LossTerm, Moment


class Snapshot(LossTerm):
    """Copies of all values of the model after `step` optimiser steps of its training. It adds nothing to the loss."""

    def __init__(self, model: nn.Module, step: int) -> None:
        self.step, self.taken = step, 0
        self.tensors: Mapping[str, Tensor] = copies_of(model)

    def added(self, moment: Moment) -> Tensor:
        return torch.zeros((), device=moment.loss.device)

    def after_step(self, model: nn.Module) -> None:
        self.taken += 1
        if self.taken == self.step:
            self.tensors = copies_of(model)

    def state(self) -> Mapping[str, Any]:
        return {"taken": self.taken, "tensors": self.tensors}

    def load(self, state: Mapping[str, Any]) -> None:
        device = next(iter(self.tensors.values())).device
        self.taken = state["taken"]
        self.tensors = {name: tensor.to(device) for name, tensor in state["tensors"].items()}
