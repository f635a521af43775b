from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pruning.model.passes import Passes
from pruning.options.constraints import Between, check

if TYPE_CHECKING:
    from torch import Tensor

    from pruning.repair.repair import Cut

FEWEST, MOST = 80, 400
WORK = 800_000_000
"""Multiply-accumulates of a sample times steps: some seconds on two cores."""


def steps_of(macs: int) -> int:
    """As many steps as a network of so many multiply-accumulates a sample takes in some seconds, 80 to 400."""
    return min(max(WORK // max(macs, 1), FEWEST), MOST)


@dataclass(frozen=True)
class Block:
    """Least squares; then the layers of each block together, and at last the whole network, learn what the dense one
    gave.

    (Li et al. 2021, "BRECQ", arXiv 2102.05426; Guo et al. 2024, arXiv 2406.00030.) A block is an outermost module that
    holds several layers and takes and gives one tensor: it imitates the dense network's block, on what the mended
    blocks before it give. Adam with a learning rate that falls along half a cosine; no labels.
    """

    samples: Annotated[int, Between(8, 65536)] = 2048
    """Training inputs looked at, without their labels; fewer where they would not fit into a gigabyte."""
    steps: Annotated[int, Between(1, 10000)] | None = None
    """Optimiser steps of the whole network; each block takes a fifth of them. Left empty, or null in JSON: 80 to 400,
    the more the smaller the network.
    """
    learning_rate: Annotated[float, Between(1e-6, 1.0)] = 0.001
    """The first learning rate of Adam."""

    formula: ClassVar[str] = "min ‖block(X) − Y‖², block after block, then the network"
    source: ClassVar[str] = "Li 2021 (BRECQ), Guo 2024"
    cost: ClassVar[str] = "that of least squares, and some hundred steps of training"

    def __post_init__(self) -> None:
        check(self, "repair")

    def passes(self, train_samples: int) -> Passes:
        from pruning.repair.imitation import passes_of
        from pruning.repair.least_squares import LeastSquares

        steps = self.steps or MOST
        learning = passes_of(steps + steps // 5, min(self.samples, train_samples))
        few = min(LeastSquares().samples, train_samples)
        return Passes(learning.forward + 2 * few, learning.backward)

    def mend(self, cut: Cut, inputs: Tensor, seed: int) -> Mapping[str, str]:
        from pruning.model.macs import macs_of
        from pruning.repair.imitation import imitate, imitate_blocks, outputs_of
        from pruning.repair.least_squares import LeastSquares

        few = LeastSquares().samples
        steps = self.steps or steps_of(macs_of(cut.dense, inputs[:1]).total)
        left = dict(LeastSquares().mend(cut, inputs[:few], seed))
        left |= imitate_blocks(cut, inputs[:few], max(1, steps // 5), self.learning_rate, seed)
        wanted = outputs_of(cut.dense, inputs)
        everything = list(cut.model.named_parameters())
        imitate(cut.model, inputs, wanted, everything, cut.masks, steps, self.learning_rate, seed)
        return left
