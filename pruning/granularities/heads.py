from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.model.layer_types import is_a

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Heads:
    """Heads of attention: their rows of query, key and value and their columns of the output projection.

    (Michel et al. 2019, arXiv 1905.10650.) One group for each attention layer, layout (heads,). Knows
    nn.MultiheadAttention, and modules that hold the number of their heads and Linear layers by common names, separate
    or fused (queries, then keys, then values); whether their heads lie so is tried out on the example. Only set to
    zero: nn.MultiheadAttention cannot be built with fewer heads at the same width.
    """

    unit: ClassVar[str] = "attention heads"
    removable: ClassVar[bool] = False
    rows: ClassVar[bool] = False

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.granularities.attention import attention_of, belong_together
        from pruning.model.layer_table import prunable_weights
        from pruning.model.parameter_sharing import why_kept_whole

        rows = {param: name for name, param, _ in prunable_weights(model)}
        groups: list[UnitGroup] = []
        reasons: dict[str, str] = {}
        for name, module in model.named_modules():
            found, involved = attention_of(name, module)
            if not involved:
                continue
            if isinstance(found, str):
                why_not = found
            elif not (why_not := why_kept_whole(model, module, involved, [piece.param for piece in found.biases])):
                group = found.group(rows)
                if is_a(module, ("MultiheadAttention",)) or belong_together(model, example, name, found):
                    groups.append(group)
                    continue
                why_not = f"the heads of {name} do not lie in its weights one after the other: choose weights"
            reasons |= {rows[param]: why_not for param in involved if param in rows}
        taken = {member for group in groups for member in group.members} | reasons.keys()
        other = {
            name: f"{type(module).__name__} has no attention heads that are known: choose another granularity"
            for name, _, module in prunable_weights(model)
            if name not in taken
        }
        order = list(rows.values())
        return sorted(groups, key=lambda group: order.index(group.name)), reasons | other
