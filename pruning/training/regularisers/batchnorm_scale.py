from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.errors import RecipeError
from pruning.options.constraints import Share
from pruning.training.regularisers.regulariser import Epochs, Strength, check_acts

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup
    from pruning.training.regularisers.penalty import Penalty


@dataclass(frozen=True)
class BatchNormScale:
    """Every channel pays for the factor by which BatchNorm scales it: channels that matter little fade out.

    (Network slimming, Liu et al. 2017, arXiv 1708.06519.) Prune with criterion batchnorm_scale and granularity
    channels afterwards. Over the scales of all BatchNorm layers; a network without one is refused.
    """

    strength: Strength = 1e-3
    """λ: what the loss rises by for each 1 of |γ|. The paper takes 1e-5 to 1e-4 over 160 epochs; few want more."""
    warm_up: Share = 0.0
    """The share of a training's steps over which λ rises from 0."""
    epochs: Epochs = 2
    """Passes over the training images before the first cut, on the dense network."""
    after_cuts: bool = False
    """Whether it also acts in the tuning after each cut, on the channels that are left."""

    formula: ClassVar[str] = "L + λ Σ |γ|"
    source: ClassVar[str] = "Liu 2017"
    cost: ClassVar[str] = "nearly nothing"

    def __post_init__(self) -> None:
        check_acts(self)

    def penalty(self, model: nn.Module, groups: Sequence[UnitGroup]) -> Penalty:
        import torch

        from pruning.training.regularisers.penalty import WeightPenalty

        if not _scales(model):
            raise RecipeError(
                "regulariser batchnorm_scale acts on the scales of BatchNorm, and the network has none that learns: "
                "choose regulariser group_lasso, which acts on the weights",
                "regulariser",
            )

        def value(model: nn.Module) -> Tensor:
            return torch.stack([scale.float().abs().sum() for scale in _scales(model).values()]).sum()

        def sizes(model: nn.Module) -> dict[str, Tensor]:
            return {name: scale.float().abs() for name, scale in _scales(model).items()}

        return WeightPenalty(self.strength, self.warm_up, value, sizes)


def _scales(model: nn.Module) -> dict[str, nn.Parameter]:
    """The layer's name -> its γ [channels], of every BatchNorm that has one which is not frozen."""
    from pruning.model.layer_types import BATCHNORMS, is_a

    norms = {name for name, module in model.named_modules() if is_a(module, BATCHNORMS)}
    found: dict[str, nn.Parameter] = {}
    for name, parameter in model.named_parameters():
        layer, _, word = name.rpartition(".")
        if layer in norms and word == "weight" and parameter.requires_grad:
            found[layer] = parameter
    return found
