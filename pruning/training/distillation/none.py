from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.training.distillation.distillation import DENSE

if TYPE_CHECKING:
    from torch import nn

    from pruning.workload import Workload


@dataclass(frozen=True)
class NoDistillation:
    """The network learns from its task alone."""

    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""
    cost: ClassVar[str] = "nothing"

    @property
    def teacher(self) -> str:
        return DENSE

    def term(self, workload: Workload, model: nn.Module, teacher: nn.Module) -> None:
        return None
