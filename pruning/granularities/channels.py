from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from pruning.layers import prunable_layers
from pruning.surgery import coupled_slices, why_whole
from pruning.units import UnitGroup


@dataclass(frozen=True)
class Channels:
    """Output channels of convolutions and neurons of Linear layers, with everything that falls with them.

    Bias, norm and the columns of the next layers fall too; channels that a residual addition couples are one group. The
    output layer's units are protected: they are the classes.
    """

    removable: ClassVar[bool] = True

    def groups(self, model: nn.Module, example: Tensor) -> list[UnitGroup]:
        return self.sorted_out(model, example)[0]

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        shapes = {name: tuple(module.get_parameter("weight").shape) for name, module in prunable_layers(model)}
        rows: list[UnitGroup] = []
        reasons: dict[str, str] = {}
        taken: set[str] = set()
        for name, coupled in coupled_slices(model, example).items():
            if name not in shapes or name in taken:
                continue
            if coupled.why_not:
                reasons[name] = coupled.why_not
                continue
            producers = tuple(
                dict.fromkeys(s.param for s in coupled.slices if s.dim == 0 and _layer(s.param) in shapes)
            )
            members = tuple(map(_layer, producers))
            taken |= set(members)
            rows.append(UnitGroup(name, members, producers, shapes[name], shapes[name][0], coupled.slices))
        hidden = shapes.keys() - taken - reasons.keys()
        reasons |= dict.fromkeys(hidden, "its place in the network cannot be traced: its units always stay")
        whole = why_whole(model, example, rows)
        reasons |= {member: whole[row.name] for row in rows if row.name in whole for member in row.members}
        return [row for row in rows if row.name not in whole], reasons


def _layer(param: str) -> str:
    return param.removesuffix(".weight")
