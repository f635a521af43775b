from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.criteria.criterion import ANY

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from pruning.criteria.calibration import Calibration
    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Random:
    """Units are pruned by lot, the same for the same seed: the floor that any other criterion must beat. Scores
    [units].
    """

    formula: ClassVar[str] = "uniform in [0, 1)"
    source: ClassVar[str] = "baseline"
    cost: ClassVar[str] = "no pass over data"
    fits: ClassVar[tuple[str, ...]] = ANY
    layers: ClassVar[tuple[str, ...]] = ANY

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        import torch

        return {group.name: torch.rand(group.units, generator=_lots(calibration.seed, group.name)) for group in groups}


def _lots(seed: int, name: str) -> torch.Generator:
    """Each group draws from its own generator, so that its lots do not depend on which other groups compete."""
    import torch

    return torch.Generator().manual_seed(zlib.crc32(f"{seed} {name}".encode()))
