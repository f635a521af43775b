from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.granularities.fixed import only_zeroed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class EmbeddingRows:
    """Rows of an embedding: a word (or a position) that is forgotten, its vector becomes zero. Layout (words,).

    The rows are taken out, and a table in the file says which words have one, so that no word needs a new number. The
    row at padding_idx is zero from the start. Where the weight is used for more than lookups its rows are only set to
    zero: where an output layer shares it, the word's logit is pruned to its bias.
    """

    unit: ClassVar[str] = "embedding rows"
    removable: ClassVar[bool] = True
    rows: ClassVar[bool] = False

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.granularities.embeddings import embedding_groups
        from pruning.granularities.lookups import more_than_lookups

        groups, reasons = embedding_groups(model, dim=0)
        if not groups:
            return [], reasons
        why_not = more_than_lookups(model, example, [group.params[0] for group in groups])
        why_not |= {group.params[0]: why_not[group.params[0]] or _why_not(model, example, group) for group in groups}
        rows = [only_zeroed(group, why) if (why := why_not[group.params[0]]) else group for group in groups]
        return rows, reasons


def _why_not(model: nn.Module, example: Tensor, group: UnitGroup) -> str:
    """Why the rows cannot be taken out. Tried are every second word and the others: some of either are looked up."""
    import torch

    from pruning.model.trial import why_not_removed

    every_second = torch.arange(group.units) % 2 == 0
    halves = [{group.name: every_second}, {group.name: ~every_second}]
    return why_not_removed(model, example, [group], halves) if group.units > 1 else ""
