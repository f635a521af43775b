"""What is added to the task's loss while a network is tuned: what every such term is, and what it is told."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from pruning.workload import Batch


@dataclass(frozen=True, eq=False)
class Moment:
    """An optimiser step between the forward pass and the backward pass.

    Attributes:
        model: The network in training mode, just after its forward pass.
        batch: What the task's loss has seen: inputs [b, *input] and targets [b].
        loss: The task's loss, a differentiable scalar.
        step: The optimiser step, from 0.
        steps: Optimiser steps of the whole training.
    """

    model: nn.Module
    batch: Batch
    loss: Tensor
    step: int
    steps: int


class LossTerm(Protocol):
    """A part of the loss beside the task's. A class that inherits from this one has to write `added` alone.

    Before the first step a term is asked once without gradients, to see whether it runs in mixed precision: `around`
    and `added` change nothing that lasts.

    Examples:
        >>> class Small(LossTerm):
        ...     def added(self, moment: Moment) -> Tensor:
        ...         return 1e-4 * sum(p.square().sum() for p in moment.model.parameters())
    """

    def around(self, model: nn.Module) -> AbstractContextManager[None]:
        """Surrounds the forward pass of the task's loss and `added`: to watch the network or change it meanwhile."""
        return nullcontext()

    def added(self, moment: Moment) -> Tensor:
        """What is added to the task's loss: a differentiable scalar on its device."""
        ...

    def after_step(self, model: nn.Module) -> None:
        """Called after each optimiser step, before what is pruned is set to zero again."""
        return

    def judged(self, model: nn.Module) -> AbstractContextManager[None]:
        """Surrounds every evaluation on the way: the model computes as it will once the training is over."""
        return nullcontext()

    def finish(self, model: nn.Module) -> None:
        """Called once, when the training is over: leaves in the model what the term has learnt."""
        return

    def state(self) -> Mapping[str, Any]:
        """All that the next steps depend on, as plain values and tensors, not copies; for a term that learns itself."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where a term of the same training stood when it gave this state."""
        return
