from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.options.constraints import check
from pruning.training.regularisers.regulariser import Epochs

if TYPE_CHECKING:
    from torch import nn

    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class NoRegulariser:
    """Training minimises the loss of the task alone."""

    epochs: Epochs = 0
    """Passes over the training images before the first cut: the control of what a regulariser does in as many."""

    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""
    cost: ClassVar[str] = "nothing"

    def __post_init__(self) -> None:
        check(self, "regulariser")

    @property
    def after_cuts(self) -> bool:
        return False

    def penalty(self, model: nn.Module, groups: Sequence[UnitGroup]) -> None:
        return None
