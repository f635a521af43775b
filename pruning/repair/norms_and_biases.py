from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pruning.model.passes import Passes
from pruning.options.constraints import Between, check

if TYPE_CHECKING:
    from torch import Tensor

    from pruning.repair.repair import Cut


@dataclass(frozen=True)
class NormsAndBiases:
    """Only norms and biases learn to give what the dense network gave; all other weights stay.

    (Zimmer et al. 2023, "PERP", arXiv 2312.15230.) Adam on the network's output with a learning rate that falls along
    half a cosine; no labels.
    """

    samples: Annotated[int, Between(8, 65536)] = 2048
    """Training inputs looked at, without their labels; fewer where they would not fit into a gigabyte."""
    steps: Annotated[int, Between(1, 10000)] = 150
    """Optimiser steps."""
    learning_rate: Annotated[float, Between(1e-6, 1.0)] = 0.01
    """The first learning rate of Adam."""

    formula: ClassVar[str] = "min ‖f(X) − Y‖² over γ, β and b"
    source: ClassVar[str] = "Zimmer 2023 (PERP)"
    cost: ClassVar[str] = "some hundred steps of training"

    def __post_init__(self) -> None:
        check(self, "repair")

    def passes(self, train_samples: int) -> Passes:
        from pruning.repair.imitation import passes_of

        return passes_of(self.steps, min(self.samples, train_samples))

    def mend(self, cut: Cut, inputs: Tensor, seed: int) -> Mapping[str, str]:
        from pruning.repair.imitation import imitate, outputs_of

        chosen = [(name, parameter) for name, parameter in cut.model.named_parameters() if parameter.dim() == 1]
        if not chosen:
            return {"": "it has neither norms nor biases: nothing learns"}
        wanted = outputs_of(cut.dense, inputs)
        imitate(cut.model, inputs, wanted, chosen, cut.masks, self.steps, self.learning_rate, seed)
        return {}
