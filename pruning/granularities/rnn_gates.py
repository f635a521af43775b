from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.units import UnitGroup


@dataclass(frozen=True)
class RNNGates:
    """Single gates of hidden units: a row of both weight matrices with its biases. Layout (gates, hidden).

    (Lobacheva et al. 2020, "Structured sparsification of gated recurrent neural networks".) An RNN has one gate, a GRU
    three (r, z, n), an LSTM four (i, f, g, o). A gate without weights no longer looks at input or state: sigmoid(0)
    makes i, f, o, r and z the constant 0.5, tanh(0) makes g and n the constant 0. Zeros remain in the tensors.
    """

    unit: ClassVar[str] = "gates"
    removable: ClassVar[bool] = False
    rows: ClassVar[bool] = True

    def sorted_out(self, model: nn.Module, example: Tensor) -> tuple[list[UnitGroup], dict[str, str]]:
        import torch

        from pruning.granularities.recurrent import recurrent_rows
        from pruning.model.units import Slice, UnitGroup

        rows, free, reasons = recurrent_rows(model)
        groups: list[UnitGroup] = []
        for direction in free:
            members = tuple(rows[param] for param in direction.weights)
            layout = (direction.gates, direction.module.hidden_size)
            index = torch.arange(layout[0] * layout[1])[:, None]
            ranked = tuple(Slice(param, 0, index) for param in direction.weights)
            follows = tuple(Slice(param, 0, index) for param in direction.biases)
            groups.append(UnitGroup(members[0], members, layout, ranked, follows))
        named = {member for group in groups for member in group.members} | reasons.keys()
        projections = [name for name in rows.values() if name not in named]
        return groups, reasons | dict.fromkeys(projections, "a projection has no gates: choose weights")
