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
    output must equal the input. Of blocks inside one another the smallest are taken. Zeros remain in the tensors.
    """

    unit: ClassVar[str] = "blocks of layers"
    removable: ClassVar[bool] = False
    rows: ClassVar[bool] = False

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.granularities.skipping import inside, reason_of, why_not_skipped
        from pruning.model.layer_table import prunable_weights
        from pruning.model.units import UnitGroup, Whole

        weights = {param: name for name, param, _ in prunable_weights(model)}
        why_not = why_not_skipped(model, example, list(weights))
        skipped = [name for name, reason in why_not.items() if not reason]
        blocks = [name for name in skipped if not any(inside(other, name) for other in skipped)]
        home = {param: [name for name in why_not if inside(param, name)] for param in weights}
        if len(blocks) < 2:
            why_not |= {name: f"only {name} can be skipped, and it has no other to compete with" for name in skipped}
            return [], {name: reason_of(home[param], why_not) for param, name in weights.items()}
        owner = {param: blocks.index(block) for param in weights for block in home[param] if block in blocks}
        members = tuple(weights[param] for param in owner)
        group = UnitGroup(
            members[0],
            members,
            (len(blocks),),
            tuple(Whole(param, unit) for param, unit in owner.items()),
            tuple(
                Whole(f"{block}.{name}", unit)
                for unit, block in enumerate(blocks)
                for name, _ in model.get_submodule(block).named_parameters()
                if f"{block}.{name}" not in owner
            ),
        )
        return [group], {name: reason_of(home[param], why_not) for param, name in weights.items() if param not in owner}
