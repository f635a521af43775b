from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.model.layer_types import CONVOLUTIONS, TRANSPOSED, is_a

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Kernels:
    """Whole kernels of convolutions: the k x k weights between one input and one output channel. Zeros remain.

    (Mao et al. 2017, arXiv 1705.08922.) Layout (out, in); in a grouped convolution `in` counts the inputs of one group.
    A transposed convolution stores its kernels as (in, out), and so they lie.
    """

    unit: ClassVar[str] = "kernels"
    removable: ClassVar[bool] = False
    rows: ClassVar[bool] = True

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.model.layer_table import prunable_weights
        from pruning.model.units import Tiles, UnitGroup

        groups: list[UnitGroup] = []
        reasons: dict[str, str] = {}
        for name, param, module in prunable_weights(model):
            shape = model.get_parameter(param).shape
            if is_a(module, (*CONVOLUTIONS, *TRANSPOSED)) and param.rpartition(".")[2] == "weight":
                tiles = Tiles(param, 1, math.prod(shape[2:]))
                groups.append(UnitGroup(name, (name,), (shape[0], shape[1]), (tiles,)))
            else:
                reasons[name] = f"{type(module).__name__} has no kernels: choose another granularity"
        return groups, reasons
