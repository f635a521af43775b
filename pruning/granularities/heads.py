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
class Heads:
    """Heads of attention: their rows of query, key and value and their columns of the output projection.

    (Michel et al. 2019, arXiv 1905.10650.) One group for each attention layer, layout (heads,). Heads are found by what
    the network computes, whatever its modules are called: queries meet keys within a head only. Heads that share a key
    fall together. Where the network's code has the number of its heads written in they are only set to zero.
    """

    unit: ClassVar[str] = "attention heads"
    removable: ClassVar[bool] = True
    rows: ClassVar[bool] = False

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.granularities.coupling import coupled_groups
        from pruning.model.labels.dependencies import dependencies_of
        from pruning.model.layer_table import prunable_weights
        from pruning.model.layer_types import is_a
        from pruning.model.trial import tried

        found = dependencies_of(model, example)
        weights = {weight.param: weight for weight in prunable_weights(model)}

        def ranked_by(alike: Alike) -> list[Axis]:
            """All weights of the attention, rows and columns."""
            if not any(int(root) in found.heads for root in alike.roots):
                return []
            used = found.written | found.read
            return [
                axis
                for axis in alike.index
                if axis in used and axis.param in weights and not is_a(weights[axis.param].module, ("Embedding",))
            ]

        groups, reasons = coupled_groups(model, found, ranked_by)
        removable, whole = tried(model, example, groups)
        by_name = {group.name: group for group in removable}
        groups = [by_name.get(group.name) or only_zeroed(group, whole[group.name]) for group in groups]
        taken = {member for group in groups for member in group.members} | reasons.keys()
        other = {
            weight.name: f"{type(weight.module).__name__} makes no heads of attention: choose another granularity"
            for weight in weights.values()
            if weight.name not in taken
        }
        return groups, reasons | other
