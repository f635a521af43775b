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
class GroupLasso:
    """Every unit pays for the norm of its weights: whole channels, heads or blocks become nearly zero together.

    (Yuan and Lin 2006; for networks Wen et al. 2016, arXiv 1608.03665.) Over the recipe's units, each weighted by the
    root of the number of its values: of single weights it is l1. A norm behind a layer takes back what the layer's
    weights lose; where there is BatchNorm, batchnorm_scale acts on what is left.
    """

    strength: Strength = 1e-4
    """λ: what the loss rises by for each 1 of √n · ‖w‖ of a unit of n values."""
    warm_up: Share = 0.0
    """The share of a training's steps over which λ rises from 0."""
    epochs: Epochs = 2
    """Passes over the training images before the first cut, on the dense network."""
    after_cuts: bool = False
    """Whether it also acts in the tuning after each cut, on the units that are left."""

    formula: ClassVar[str] = "L + λ Σ √n ‖w_unit‖₂"
    source: ClassVar[str] = "Yuan 2006, Wen 2016"
    cost: ClassVar[str] = "one pass over the weights a step"

    def __post_init__(self) -> None:
        check_acts(self)

    def penalty(self, model: nn.Module, groups: Sequence[UnitGroup]) -> Penalty:
        import torch

        from pruning.training.regularisers.penalty import WeightPenalty, all_norms, norms, ranked_values

        roots = {group.name: ranked_values(group, model).sqrt() for group in groups}

        def value(model: nn.Module) -> Tensor:
            return torch.stack([(roots[group.name] * norms(model, group)).sum() for group in groups]).sum()

        return WeightPenalty(self.strength, self.warm_up, value, lambda model: all_norms(model, groups))
