from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.model.passes import Passes

if TYPE_CHECKING:
    from torch import Tensor

    from pruning.repair.repair import Cut


@dataclass(frozen=True)
class NoRepair:
    """The network stays as the cut leaves it."""

    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""
    cost: ClassVar[str] = "nothing"

    @property
    def samples(self) -> int:
        return 0

    def passes(self, train_samples: int) -> Passes:
        return Passes()

    def mend(self, cut: Cut, inputs: Tensor, seed: int) -> Mapping[str, str]:
        return {}
