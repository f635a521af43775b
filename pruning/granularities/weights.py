from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from pruning.layers import prunable_layers
from pruning.units import UnitGroup


@dataclass(frozen=True)
class Weights:
    """Every weight of a Linear or convolution is its own unit; biases and norms stay. Zeros remain in the tensors."""

    removable: ClassVar[bool] = False

    def groups(self, model: nn.Module, example: Tensor) -> list[UnitGroup]:
        rows: list[UnitGroup] = []
        for name, module in prunable_layers(model):
            weight = module.get_parameter("weight")
            rows.append(UnitGroup(name, (name,), (f"{name}.weight",), tuple(weight.shape), weight.numel()))
        return rows

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        return self.groups(model, example), {}
