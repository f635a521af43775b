from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class EmbeddingDimensions:
    """Columns of an embedding: one dimension of all its vectors becomes zero. Layout (dimensions,).

    Where an output layer shares the embedding's weight it no longer reads that dimension. Zeros remain in the tensor:
    what reads the vectors keeps its width.
    """

    unit: ClassVar[str] = "embedding dimensions"
    removable: ClassVar[bool] = False
    rows: ClassVar[bool] = False

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.granularities.embeddings import embedding_groups

        return embedding_groups(model, dim=1)
