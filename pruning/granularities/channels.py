from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.model.labels.dependencies import Alike
    from pruning.model.labels.tracing import Axis
    from pruning.model.units import Piece, UnitGroup


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
        from pruning.granularities.coupling import coupled_groups, made_by, makes_no_units
        from pruning.model.labels.dependencies import dependencies_of
        from pruning.model.layer_table import owning_layer, prunable_weights
        from pruning.model.layer_types import has_channels, is_a
        from pruning.model.trial import tried

        without = {
            weight.name: type(weight.module).__name__
            for weight in prunable_weights(model)
            if is_a(weight.module, ("Embedding", "RNNBase", "MultiheadAttention"))
        }
        params = {weight.param for weight in prunable_weights(model) if weight.name in without}
        found = dependencies_of(model, example)

        def ranked_by(alike: Alike) -> list[Axis]:
            """The rows of Linear layers and convolutions; where there are none, those of others that have channels."""
            made = made_by(model, found, alike)
            usual = [axis for axis in made if has_channels(owning_layer(model, axis.param))]
            return usual or [axis for axis in made if axis.param not in params]

        groups, reasons = coupled_groups(model, found, ranked_by)
        removable, whole = tried(model, example, groups)
        members = {member for group in removable for member in group.members}
        made = {(axis.param, axis.dim) for axis in found.written}
        rows = {weight.param: weight.name for weight in prunable_weights(model)}
        for group in groups:
            with_it = [rows[p.param] for p in group.pieces if p.param in rows and (p.param, _dim(p)) in made]
            for row in with_it:
                reasons[row] = whole.get(group.name, f"its units are pruned with those of {group.name}")
        for param, row in rows.items():
            if row in without and not reasons.get(row, "").startswith("its units are pruned with"):
                reasons[row] = f"{without[row]} has no channels that can be cut: choose another granularity"
            reasons.setdefault(row, makes_no_units(model, found, param))
        return removable, {row: reasons[row] for row in rows.values() if row not in members}


def _dim(piece: Piece) -> int:
    return getattr(piece, "dim", 0)
