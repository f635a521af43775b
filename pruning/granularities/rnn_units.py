from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pruning.granularities.fixed import only_zeroed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruning.granularities.recurrent import Direction
    from pruning.model.labels.dependencies import Alike
    from pruning.model.labels.tracing import Axis
    from pruning.model.units import Piece, UnitGroup


@dataclass(frozen=True)
class RNNUnits:
    """Hidden units of nn.RNN, nn.GRU and nn.LSTM, one group for each layer and direction. Layout (hidden,).

    (Wen et al. 2018, arXiv 1709.05027.) A unit owns its row in every gate of both weight matrices, its biases, and its
    columns in the recurrent matrix and in whatever reads its states. From a zero state it is exactly 0 at every step.
    torch's modules have one hidden size for all layers and directions; where these are left with different ones the
    module becomes one of ours. Units that the rest of the network cannot do without are only set to zero.
    """

    unit: ClassVar[str] = "hidden units"
    removable: ClassVar[bool] = True
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
        return _removable(model, example, groups), reasons | dict.fromkeys(
            projections, "a projection mixes the hidden units: choose weights"
        )


def _removable(model: nn.Module, example: Tensor, groups: list[UnitGroup]) -> list[UnitGroup]:
    """The groups with all that reads their units, where these can be removed; the others as they are, with a reason."""
    from pruning.granularities.coupling import coupled_groups
    from pruning.model.labels.dependencies import dependencies_of
    from pruning.model.trial import tried

    if not groups:
        return []
    own = {group.params: group for group in groups}
    found = dependencies_of(model, example)

    def ranked_by(alike: Alike) -> list[Axis]:
        """The gates of one layer and direction, if these units are all that falls together with it."""
        made = [axis for axis in alike.index if axis in found.written and axis.dim == 0]
        return [axis for params in own for axis in made if axis.param in params]

    coupled, reasons = coupled_groups(model, found, ranked_by)
    candidates = [group for group in coupled if group.params in own and group.units == own[group.params].units]
    removable, whole = tried(model, example, candidates)
    fitting = {group.name: group for group in removable}
    followed = {group.name: group for group in candidates}  # it may own more, such as a state that is learnt
    together = "its units fall only together with those of other layers"
    zeroed = [
        only_zeroed(followed.get(group.name, group), whole.get(group.name, reasons.get(group.name, together)))
        for group in groups
        if group.name not in fitting
    ]
    evenly = _removed_evenly(model, example, [group for group in candidates if group.name in whole])
    merged = {member for group in evenly for member in group.members}
    kept = [*removable, *evenly, *(group for group in zeroed if group.name not in merged)]
    return sorted(kept, key=lambda group: [each.name for each in groups].index(group.name))


def _removed_evenly(model: nn.Module, example: Tensor, groups: list[UnitGroup]) -> list[UnitGroup]:
    """Of each recurrent module one group of as many units from each of its layers and directions, where these can be
    removed: a network that reads the last states as one tensor needs them alike.
    """
    from pruning.model.trial import tried
    from pruning.model.units import UnitGroup

    of_module: dict[str, list[UnitGroup]] = {}
    for group in groups:
        of_module.setdefault(group.params[0].rpartition(".")[0], []).append(group)
    merged = [
        UnitGroup(
            first.name,
            tuple(member for group in several for member in group.members),
            first.layout,
            tuple(piece for group in several for piece in group.ranked),
            _joined([piece for group in several for piece in group.follows]),
        )
        for several in of_module.values()
        for first in several[:1]
        if len(several) > 1
    ]
    return tried(model, example, merged)[0] if merged else []


def _joined(pieces: list[Piece]) -> tuple[Piece, ...]:
    """Pieces of one tensor along one dimension are one piece."""
    import torch

    from pruning.model.units import Slice

    found: dict[tuple[str, int], Slice] = {}
    for piece in pieces:
        assert isinstance(piece, Slice)  # what can be removed is a slice
        before = found.get((piece.param, piece.dim))
        index = piece.index if before is None else torch.cat([before.index, piece.index], dim=1)
        found[piece.param, piece.dim] = Slice(piece.param, piece.dim, index)
    return tuple(found.values())


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
