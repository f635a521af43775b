from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.model.layer_types import WITH_CHANNELS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import Slice, UnitGroup

PAIRS = 2**22
"""Distances held at a time: 16 MB."""


@dataclass(frozen=True)
class GeometricMedian:
    """Filters that the layer's other filters can stand in for are pruned first: Σ of the distances to the others.

    (He et al. 2019, "Filter pruning via geometric median", arXiv 1811.00250.) Each producing layer's filters are taken
    as vectors [units, rest] and compared by Euclidean distance; coupled layers are added up. Scores [units]. A unit
    whose filters are all zero has been pruned already: it scores 0 and is nobody's neighbour. No pass over data; units²
    · rest multiplications.
    """

    formula: ClassVar[str] = "Σⱼ ‖wᵢ − wⱼ‖₂"
    source: ClassVar[str] = "He 2019"
    cost: ClassVar[str] = "no pass over data"
    fits: ClassVar[tuple[str, ...]] = ("channels",)
    layers: ClassVar[tuple[str, ...]] = WITH_CHANNELS

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        import torch

        from pruning.model.units import Slice

        scores: dict[str, Tensor] = {}
        for group in groups:
            producers = [_filters(model, piece) for piece in group.ranked if isinstance(piece, Slice)]
            alive = torch.stack([filters.any(dim=1) for filters in producers]).any(dim=0)
            total = torch.zeros(group.units, device=alive.device)
            for filters in producers:
                total[alive] += _distances(filters[alive])
            scores[group.name] = total
        return scores


def _filters(model: nn.Module, piece: Slice) -> Tensor:
    """What the piece owns of its weight, float32 [units, values of a unit]."""
    rows = model.get_parameter(piece.param).detach().float().movedim(piece.dim, 0).flatten(1)
    return rows[piece.index.to(rows.device)].flatten(1)


def _distances(filters: Tensor) -> Tensor:
    """Σ of each filter's distances to all others."""
    import torch

    # not by way of a matrix product: its rounding gives equal filters a distance
    sums = [
        torch.cdist(some, filters, compute_mode="donot_use_mm_for_euclid_dist").sum(dim=1)
        for some in filters.split(max(1, PAIRS // max(1, len(filters))))
    ]
    return torch.cat(sums)
