from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Weights:
    """Every weight of a layer's weight matrices is its own unit; biases and norms stay. Zeros remain in the tensors.

    Any layer's own parameter of two dimensions or more is a weight matrix: own linear layers and mixtures of experts
    too. Layout (rows, ...) as it is stored: (out, in, ...) in torch's Linear and convolutions; in transposed
    convolutions, and in layers that are not torch's, rows are dimension 0, whatever the layer makes of it.
    """

    bare_parameters: bool = False
    """Also parameters that are no layer's own but hang beside layers: class tokens, position embeddings, own gates."""

    unit: ClassVar[str] = "single weights"
    removable: ClassVar[bool] = False
    rows: ClassVar[bool] = True

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.model.layer_table import prunable_weights
        from pruning.model.units import Tiles, UnitGroup

        groups = [
            UnitGroup(name, (name,), tuple(model.get_parameter(param).shape), (Tiles(param),))
            for name, param, _ in prunable_weights(model, self.bare_parameters)
        ]
        return groups, {}
