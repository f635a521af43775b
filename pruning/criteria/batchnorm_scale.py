from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.errors import WorkloadError
from pruning.model.layer_types import NORMS, WITH_CHANNELS, is_a

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import Slice, UnitGroup


@dataclass(frozen=True)
class BatchnormScale:
    """Size of the factor by which the norm behind the unit scales it: |γ|.

    (Liu et al. 2017, "Network slimming", arXiv 1708.06519, where an L1 penalty on γ pushes many of them towards 0
    before.) Scores [units]. Any norm with a learnt scale counts; where coupled layers have several, they are added up.
    A layer without one is left whole. No pass over data.
    """

    formula: ClassVar[str] = "|γ|"
    source: ClassVar[str] = "Liu 2017"
    cost: ClassVar[str] = "no pass over data"
    fits: ClassVar[tuple[str, ...]] = ("channels",)
    layers: ClassVar[tuple[str, ...]] = WITH_CHANNELS

    def why_not(self, model: nn.Module, group: UnitGroup) -> str:
        if _scales(model, group):
            return ""
        return "no norm with a learnt scale follows its units, which is what batchnorm_scale reads: choose magnitude"

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        import torch

        scores: dict[str, Tensor] = {}
        for group in groups:
            if reason := self.why_not(model, group):
                raise WorkloadError(f"{group.name}: {reason}, or keep this layer whole")
            parts: list[Tensor] = []
            for piece in _scales(model, group):
                sizes = model.get_parameter(piece.param).detach().float().abs()
                parts.append(sizes[piece.index.to(sizes.device)].sum(dim=1))
            scores[group.name] = torch.stack(parts).sum(dim=0)
        return scores


def _scales(model: nn.Module, group: UnitGroup) -> list[Slice]:
    """The pieces of the norms' scales that are pruned with the units."""
    from pruning.model.units import Slice

    found: list[Slice] = []
    for piece in group.follows:
        layer, _, name = piece.param.rpartition(".")
        if isinstance(piece, Slice) and name == "weight" and is_a(model.get_submodule(layer), NORMS):
            found.append(piece)
    return found
