from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.granularities.fixed import only_zeroed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.labels.dependencies import Alike
    from pruning.model.labels.tracing import Axis
    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class EmbeddingDimensions:
    """Columns of an embedding: one dimension of all its vectors, with all that falls with it. Layout (dimensions,).

    In a transformer that is the residual stream: what is added to the vectors loses the dimension too, and so do norms
    and what reads them. Embeddings whose dimensions fall together are one group. Where the network's code has their
    number written in, the embedding's columns alone are set to zero.
    """

    unit: ClassVar[str] = "embedding dimensions"
    removable: ClassVar[bool] = True
    rows: ClassVar[bool] = False

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.granularities.coupling import coupled_groups
        from pruning.granularities.embeddings import embedding_groups
        from pruning.model.labels.dependencies import dependencies_of
        from pruning.model.trial import tried

        alone, reasons = embedding_groups(model, dim=1)
        if not alone:
            return [], reasons
        params = {group.params[0] for group in alone}
        found = dependencies_of(model, example)

        def ranked_by(alike: Alike) -> list[Axis]:
            return [axis for axis in alike.index if axis.param in params and axis.dim == 1 and axis in found.written]

        groups, locked = coupled_groups(model, found, ranked_by)
        removable, whole = tried(model, example, groups)
        taken = {member for group in removable for member in group.members}
        why_not = locked | {
            member: whole[group.name] for group in groups if group.name in whole for member in group.members
        }
        unused = "the network does not use it on the example"
        zeroed = [only_zeroed(group, why_not.get(group.name, unused)) for group in alone if group.name not in taken]
        order = [group.name for group in alone]
        follows = {piece.param: group.name for group in removable for piece in group.follows}
        shared = {group.name: follows[group.params[0]] for group in zeroed if group.params[0] in follows}
        zeroed = [group for group in zeroed if group.name not in shared]
        reasons |= {
            name: f"its dimensions fall with those of {other}, which stands for both" for name, other in shared.items()
        }
        return sorted(removable + zeroed, key=lambda group: order.index(group.name)), reasons
