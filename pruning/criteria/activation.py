from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pruning.criteria.passes import CALIBRATION_SAMPLES
from pruning.model.layer_types import WITH_CHANNELS
from pruning.model.passes import Passes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Activation:
    """How large, or how lively, what the next layers receive from the unit is, after norm, activation and pooling.

    (Polyak and Wolf 2015, "Channel-level acceleration of deep face representations"; Molchanov 2017, arXiv 1611.06440,
    section 2.2.) Scores [units]; means go over samples and positions. A unit that several layers read is scored by the
    mean over them. One forward pass.
    """

    statistic: Literal["mean", "norm", "variance"] = "mean"
    """mean: the mean size |a|; norm: the root of the mean of a²; variance: how much a varies, so that a unit that
    always gives the same value is pruned first however large the value is."""

    formula: ClassVar[str] = "mean |a|, √(mean a²) or var a"
    source: ClassVar[str] = "Polyak 2015, Molchanov 2017"
    cost: ClassVar[str] = "one forward pass over 1024 training samples"
    fits: ClassVar[tuple[str, ...]] = ("channels",)
    layers: ClassVar[tuple[str, ...]] = WITH_CHANNELS

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        samples = min(CALIBRATION_SAMPLES, train_samples)
        return Passes(samples)

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        import torch

        from pruning.criteria.activations import mean_readings

        if self.statistic == "mean":
            means = mean_readings(model, groups, calibration, [torch.abs])
            return {name: values[:, 0].mean(dim=0).float() for name, values in means.items()}
        moments = mean_readings(model, groups, calibration, [torch.square, lambda values: values])
        if self.statistic == "norm":
            return {name: values[:, 0].sqrt().mean(dim=0).float() for name, values in moments.items()}
        # the clamp: rounding can bring the variance of a constant below zero
        return {
            name: (values[:, 0] - values[:, 1].square()).clamp(min=0).mean(dim=0).float()
            for name, values in moments.items()
        }
