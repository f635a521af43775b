from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.options.constraints import Share
from pruning.training.regularisers.regulariser import Epochs, Strength, check_acts

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup
    from pruning.training.regularisers.penalty import Penalty


@dataclass(frozen=True)
class L2:
    """Every weight pays for its square: all shrink in proportion to their size, none becomes zero.

    (Hoerl and Kennard 1970, "Ridge regression"; for pruning Han et al. 2015, arXiv 1506.02626.) Over all values of the
    weights that rank the recipe's units; biases and norms pay nothing.
    """

    strength: Strength = 1e-4
    """λ: what the loss rises by for each 1 of w²/2."""
    warm_up: Share = 0.0
    """The share of a training's steps over which λ rises from 0."""
    epochs: Epochs = 2
    """Passes over the training images before the first cut, on the dense network."""
    after_cuts: bool = False
    """Whether it also acts in the tuning after each cut, on the weights that are left."""

    formula: ClassVar[str] = "L + λ/2 Σ w²"
    source: ClassVar[str] = "Hoerl 1970, Han 2015"
    cost: ClassVar[str] = "one pass over the weights a step"

    def __post_init__(self) -> None:
        check_acts(self)

    def penalty(self, model: nn.Module, groups: Sequence[UnitGroup]) -> Penalty:
        import torch

        from pruning.training.regularisers.penalty import WeightPenalty, all_norms, weights_of

        def value(model: nn.Module) -> Tensor:
            return torch.stack([weight.float().square().sum() for weight in weights_of(model, groups)]).sum() / 2

        return WeightPenalty(self.strength, self.warm_up, value, lambda model: all_norms(model, groups))
