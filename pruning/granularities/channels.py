from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.model.layer_types import has_channels

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import Slice, UnitGroup


@dataclass(frozen=True)
class Channels:
    """Output channels of convolutions and neurons of Linear layers, with everything that is pruned with them.

    Bias, norm and the columns of the next layers are pruned too; channels that a residual addition couples are one
    group. The output layer's units are protected: they are the classes.
    """

    unit: ClassVar[str] = "channels"
    removable: ClassVar[bool] = True
    rows: ClassVar[bool] = False

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.granularities.coupling import coupled_slices
        from pruning.model.layer_table import owning_layer, prunable_weights
        from pruning.model.surgery import why_whole

        rows: list[UnitGroup] = []
        reasons: dict[str, str] = {}
        producers: dict[str, str] = {}
        for name, param, _ in prunable_weights(model):
            layer = owning_layer(model, param)
            if has_channels(layer):
                producers[param] = name
            else:
                reasons[name] = f"{type(layer).__name__} has no channels that can be cut: choose another granularity"
        taken: set[str] = set()
        for layer, coupled in coupled_slices(model, example).items():
            name = producers.get(f"{layer}.weight")
            if name is None or name in taken:
                continue
            if coupled.why_not:
                reasons[name] = coupled.why_not
                continue
            ranked = [piece for piece in coupled.slices if piece.dim == 0 and piece.param in producers]
            members = tuple(dict.fromkeys(producers[piece.param] for piece in ranked))
            taken |= set(members)
            rows.append(_group(name, members, ranked, [piece for piece in coupled.slices if piece not in ranked]))
        hidden = set(producers.values()) - taken - reasons.keys()
        reasons |= dict.fromkeys(hidden, "its place in the network cannot be traced: its units always stay")
        whole = why_whole(model, example, rows)
        reasons |= {member: whole[row.name] for row in rows if row.name in whole for member in row.members}
        return [row for row in rows if row.name not in whole], reasons


def _group(name: str, members: tuple[str, ...], ranked: list[Slice], follows: list[Slice]) -> UnitGroup:
    from pruning.model.units import UnitGroup

    return UnitGroup(name, members, (len(ranked[0].index),), tuple(ranked), tuple(follows))
