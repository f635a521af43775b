from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.criteria.passes import CALIBRATION_SAMPLES
from pruning.model.layer_types import WITH_CHANNELS
from pruning.model.passes import Passes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Wanda:
    """Size of the weight times how strong the input is that it reads: |w|·‖x‖₂, over the calibration samples.

    (Sun et al. 2023, arXiv 2306.11695.) Weights [out, in]; of a convolution [out, in / groups, ...], whose input
    channel has one norm over samples and positions. Scores [units]; units add up what they own. In the paper weights
    compete within their output row. One forward pass.
    """

    formula: ClassVar[str] = "|w| · ‖x‖₂"
    source: ClassVar[str] = "Sun 2023"
    cost: ClassVar[str] = "one forward pass over 1024 training samples"
    fits: ClassVar[tuple[str, ...]] = ("weights", "kernels", "blocks", "channels")
    layers: ClassVar[tuple[str, ...]] = WITH_CHANNELS

    def passes(self, groups: Sequence[UnitGroup], train_samples: int) -> Passes:
        samples = min(CALIBRATION_SAMPLES, train_samples)
        return Passes(samples)

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        from pruning.criteria.calibration import input_sums

        params = sorted({param for group in groups for param in group.params})
        squares = input_sums(model, params, calibration, _squares)
        values: dict[str, Tensor] = {}
        for param in params:
            weight = model.get_parameter(param).detach()
            norms = squares[param].sqrt().float().to(weight.device)
            values[param] = weight.float().abs() * _read_by(weight, norms)
        return {group.name: group.sums(values) for group in groups}


def _squares(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Σ x² of each input feature [in]."""
    from pruning.criteria.calibration import features_last, precise

    return precise(features_last(layer, inputs)).square().sum(dim=0)


def _read_by(weight: Tensor, norms: Tensor) -> Tensor:
    """The norm that each weight reads [out, in / groups, 1...]; rows of a grouped convolution read their channels."""
    groups = len(norms) // weight.shape[1]
    rows = norms.reshape(groups, -1).repeat_interleave(len(weight) // groups, dim=0)
    return rows.reshape(*rows.shape, *[1] * (weight.dim() - 2))
