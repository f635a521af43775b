from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class EmbeddingRows:
    """Rows of an embedding: a word (or a position) that is forgotten, its vector becomes zero. Layout (words,).

    The row at padding_idx is zero from the start. Where an output layer shares the embedding's weight the word's logit
    is pruned to its bias. Zeros remain in the tensor, so that no word needs a new number.
    """

    unit: ClassVar[str] = "embedding rows"
    removable: ClassVar[bool] = False
    rows: ClassVar[bool] = False

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.granularities.embeddings import embedding_groups

        return embedding_groups(model, dim=0)
