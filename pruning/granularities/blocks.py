from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pruning.model.layer_types import WITH_MATRICES, is_a
from pruning.options.constraints import Between, check

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Blocks:
    """Rectangles of every weight as a matrix [out, in x kernel], as block-sparse kernels want them. Zeros remain.

    (Narang et al. 2017, arXiv 1711.02782.) Layout (blocks down, blocks across). At the lower and right edge a block may
    be smaller, and what adds up its weights then scores it lower. A layer that is not torch's has its weight cut as it
    is stored, rows being dimension 0; one of more than two dimensions stays whole: which make a matrix is not known.
    """

    rows_per_block: Annotated[int, Between(1, 64)] = 4
    """Height of a block: how many outputs it spans."""
    columns_per_block: Annotated[int, Between(1, 64)] = 4
    """Width of a block: how many inputs it spans; in a convolution how many weights of its kernels."""
    bare_parameters: bool = False
    """Also parameters that are no layer's own but hang beside layers: class tokens, position embeddings, own gates."""

    unit: ClassVar[str] = "blocks of weights"
    removable: ClassVar[bool] = False
    rows: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check(self, "granularity")

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.model.layer_table import prunable_weights
        from pruning.model.units import Tiles, UnitGroup

        groups: list[UnitGroup] = []
        reasons: dict[str, str] = {}
        for name, param, module in prunable_weights(model, self.bare_parameters):
            shape = model.get_parameter(param).shape
            if sum(length > 1 for length in shape) > 2 and not is_a(module, WITH_MATRICES):
                reasons[name] = (
                    f"which dimensions of {type(module).__name__} make a matrix is not known: choose weights"
                )
                continue
            tiles = Tiles(param, self.rows_per_block, self.columns_per_block)
            groups.append(UnitGroup(name, (name,), tiles.grid(shape), (tiles,)))
        return groups, reasons
