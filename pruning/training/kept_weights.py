"""Which weights of a training are validated and kept: an average of them, and the best where these are looked for."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.model.tensors import copies_of, put_into, tensors_of

Better = Callable[[float, float], bool]
"""Whether the first score is better than the second."""


class Average:
    """An exponential moving average of a network's parameters and buffers. It follows faster at first.

    After t steps a share min(decay, t / (t + 10)) of it stays at each step. What is 0 all the time is exactly 0.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps, self.tensors = decay, 0, copies_of(model)

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """Come nearer to the model's values, after an optimiser step."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        for name, tensor in tensors_of(model).items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, 1 - decay)
            else:
                self.tensors[name].copy_(tensor)  # BatchNorm's count of batches


@dataclass(frozen=True, eq=False)
class Best:
    """The best validation of a training so far: its score, after how many steps, and copies of all values."""

    score: float
    step: int
    tensors: Mapping[str, Tensor]


class KeptWeights:
    """What is validated of a model in training, and what it is left with when the training ends.

    Args:
        model: Trained in place.
        decay: Of the average of its weights; 0 takes none.
        patience: Validations without a better score until `over`; None looks for no best weights.
    """

    def __init__(self, model: nn.Module, decay: float, patience: int | None) -> None:
        self.model, self.decay, self.patience = model, decay, patience
        self._average: Average | None = None
        self._best: Best | None = None
        self._worse = 0  # validations since the best

    @property
    def over(self) -> bool:
        """Whether patience is at its end."""
        return self.patience is not None and self._worse >= self.patience

    def begin(self) -> None:
        """The first step comes, or the first one after an interruption."""
        if self.decay and self._average is None:
            self._average = Average(self.model, self.decay)

    def follow(self) -> None:
        """An optimiser step has been taken and what is pruned is 0."""
        if self._average is not None:
            self._average.follow(self.model)

    @contextmanager
    def validated(self) -> Generator[None]:
        """While the block runs, the model has the weights that are validated."""
        if self._average is None:
            yield
            return
        raw = copies_of(self.model)
        put_into(self.model, self._average.tensors)
        try:
            yield
        finally:
            put_into(self.model, raw)

    def note(self, score: float, step: int, better: Better) -> None:
        """The model, with the weights that are validated, has this score."""
        if self.patience is None:
            return
        if self._best is None or better(score, self._best.score):
            self._best, self._worse = Best(score, step, copies_of(self.model)), 0
        else:
            self._worse += 1

    def settle(self) -> Best | None:
        """Leave the model with the weights that are kept; the best ones are returned if they are those."""
        best, average = self._best, self._average
        if best is not None:
            put_into(self.model, best.tensors)
        elif average is not None:
            put_into(self.model, average.tensors)
        self._best = self._average = None
        self._worse = 0
        return best

    def state(self) -> dict[str, Any]:
        """As plain values and tensors, not copies."""
        average, best = self._average, self._best
        return {
            "average": average and {"steps": average.steps, "tensors": average.tensors},
            "best": best and {"score": best.score, "step": best.step, "tensors": dict(best.tensors)},
            "worse": self._worse,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where another gave this state."""
        if average := state["average"]:
            self._average = Average(self.model, self.decay)
            self._average.steps = average["steps"]
            for name, tensor in self._average.tensors.items():
                tensor.copy_(average["tensors"][name])
        if best := state["best"]:
            self._best = Best(best["score"], best["step"], best["tensors"])
        self._worse = state["worse"]
