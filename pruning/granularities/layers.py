from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Layers:
    """Whole blocks that the network can skip: without its weights such a block passes its input on, as a residual does.

    (Huang et al. 2016, arXiv 1603.09382; Fan et al. 2020, arXiv 1909.11556.) One group for the model, layout (blocks,).
    Which blocks these are is tried out: all parameters zero, on the example and on random values in the same range, the
    output must equal the input. Of blocks inside one another the smallest are taken. A block is taken out with all its
    tensors; blocks that the network's code asks for more than their output are a group that is only set to zero.
    """

    unit: ClassVar[str] = "blocks of layers"
    removable: ClassVar[bool] = True
    rows: ClassVar[bool] = False

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.granularities.skipping import groups_of_blocks, inside, reason_of, why_not_skipped
        from pruning.model.layer_table import prunable_weights

        weights = {param: name for name, param, _ in prunable_weights(model)}
        why_not = why_not_skipped(model, example, list(weights))
        home = {param: [name for name in why_not if inside(param, name)] for param in weights}
        skipped = [name for name, reason in why_not.items() if not reason]
        blocks = [name for name in skipped if not any(inside(other, name) for other in skipped)]
        groups: list[UnitGroup] = []
        reasons: dict[str, str] = {}
        if len(blocks) < 2:
            why_not |= {name: f"only {name} can be skipped, and it has no other to compete with" for name in skipped}
        else:
            groups, reasons = groups_of_blocks(model, example, weights, blocks)
        taken = {member for group in groups for member in group.members}
        others = {name: reason_of(home[param], why_not) for param, name in weights.items() if name not in taken}
        return groups, others | reasons
