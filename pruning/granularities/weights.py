from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Weights:
    """Every weight of a layer's weight matrices is its own unit; biases and norms stay. Zeros remain in the tensors."""

    unit: ClassVar[str] = "single weights"
    removable: ClassVar[bool] = False
    rows: ClassVar[bool] = True

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.model.layer_table import prunable_weights
        from pruning.model.units import Tiles, UnitGroup

        groups = [
            UnitGroup(name, (name,), tuple(model.get_parameter(param).shape), (Tiles(param),))
            for name, param, _ in prunable_weights(model)
        ]
        return groups, {}
