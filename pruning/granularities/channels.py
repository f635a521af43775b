from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class Channels:
    """Output channels of convolutions and neurons of Linear layers, with everything that is pruned with them.

    Bias, norm and the columns of the next layers are pruned too; channels that a residual addition couples are one
    group. Of attention whole heads are pruned. The output layer's units are protected: they are the classes.
    """

    unit: ClassVar[str] = "channels"
    removable: ClassVar[bool] = True
    rows: ClassVar[bool] = False

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.granularities.coupling import coupled_groups
        from pruning.model.labels.dependencies import dependencies_of
        from pruning.model.layer_table import prunable_weights
        from pruning.model.layer_types import has_channels, is_a
        from pruning.model.trial import tried

        found = dependencies_of(model, example)
        groups, reasons = coupled_groups(model, found, lambda root: True, has_channels)
        others = {
            weight.name: f"{type(weight.module).__name__} has no channels that can be cut: choose another granularity"
            for weight in prunable_weights(model)
            if is_a(weight.module, ("Embedding", "RNNBase", "MultiheadAttention"))
        }
        groups = [group for group in groups if not others.keys() & set(group.members)]
        removable, whole = tried(model, example, groups)
        reasons |= {member: whole[group.name] for group in groups if group.name in whole for member in group.members}
        members = {member for group in removable for member in group.members}
        hidden = {weight.name: _HIDDEN for weight in prunable_weights(model)}
        reasons = {name: why for name, why in (hidden | reasons | others).items() if name not in members}
        order = list(hidden)
        return sorted(removable, key=lambda group: order.index(group.name)), reasons


_HIDDEN = "the network does not use its weight on the example, so that nobody knows what its units are: they always stay"
