from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.granularities.recurrent import Direction
    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class RNNUnits:
    """Hidden units of nn.RNN, nn.GRU and nn.LSTM, one group for each layer and direction. Layout (hidden,).

    (Wen et al. 2018, arXiv 1709.05027.) A unit owns its row in every gate of both weight matrices, its biases, and its
    columns in the recurrent matrix and in the next stacked layer. From a zero state it is exactly 0 at every step. Only
    set to zero: torch's modules have one hidden size for all layers and directions.
    """

    unit: ClassVar[str] = "hidden units"
    removable: ClassVar[bool] = False
    rows: ClassVar[bool] = False

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        from pruning.granularities.recurrent import recurrent_rows
        from pruning.model.parameter_sharing import why_kept_whole

        rows, free, reasons = recurrent_rows(model)
        groups: list[UnitGroup] = []
        for direction in free:
            members = tuple(rows[param] for param in direction.weights)
            if direction.module.proj_size:
                reasons |= dict.fromkeys(members, "its states are projected (proj_size) and mix: choose rnn_gates")
            elif why_not := why_kept_whole(model, direction.module, (), direction.readers):
                reasons |= dict.fromkeys(members, why_not)
            else:
                groups.append(_group(members, direction))
        named = {member for group in groups for member in group.members} | reasons.keys()
        projections = [name for name in rows.values() if name not in named]
        return groups, reasons | dict.fromkeys(projections, "a projection mixes the hidden units: choose weights")


def _group(members: tuple[str, ...], direction: Direction) -> UnitGroup:
    import torch

    from pruning.model.units import Slice, UnitGroup

    hidden, gates = direction.module.hidden_size, direction.gates
    in_each_gate = torch.arange(gates * hidden).reshape(gates, hidden).T.contiguous()
    columns = torch.arange(hidden)[:, None]
    return UnitGroup(
        members[0],
        members,
        (hidden,),
        tuple(Slice(param, 0, in_each_gate) for param in direction.weights),
        (
            *(Slice(param, 0, in_each_gate) for param in direction.biases),
            Slice(direction.weights[1], 1, columns),
            *(Slice(param, 1, columns + direction.offset) for param in direction.readers),
        ),
    )
