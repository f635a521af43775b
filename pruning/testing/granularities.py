"""What every granularity owes."""

import copy
import dataclasses
import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from pruning.granularities import Granularity
from pruning.model.layer_table import prunable_weights
from pruning.model.surgery import remove_units
from pruning.model.trial import compute_the_same
from pruning.model.units import Slice, Tiles, UnitGroup, apply_masks, masks_of
from pruning.testing.untouched import untouched
from pruning.workload import Workload

CPU = torch.device("cpu")
SAMPLES = 16  # at most, that the masked network is run on


class _Case:
    """A granularity and a network that has units of its kind."""

    granularity: Granularity
    workload: Workload

    def _inputs(self) -> Tensor:
        train = self.workload.train
        return train.batch(torch.arange(min(SAMPLES, len(train))), CPU)[0]

    def _sorted_out(self, model: nn.Module) -> tuple[list[UnitGroup], dict[str, str]]:
        """The groups, at least one, and the reasons."""
        groups, reasons = self.granularity.sorted_out(model, self.workload.example)
        assert groups, f"{self.workload.name} has no {self.granularity.unit}: test on another network ({reasons})"
        return groups, reasons


class UnitsContract:
    """What a granularity says of itself: a page shows it beside the choice."""

    granularity: Granularity

    def test_it_says_what_its_units_are(self) -> None:
        kind = type(self.granularity)
        assert kind.unit and kind.__doc__, f"{kind.__name__} has no name for its units, or no docstring"
        assert isinstance(kind.removable, bool) and isinstance(kind.rows, bool)
        assert dataclasses.is_dataclass(self.granularity), f"write @dataclass(frozen=True) above {kind.__name__}"
        again = replace(self.granularity)
        assert again == self.granularity and hash(again) == hash(self.granularity) and kind() == kind()


class GroupingContract(_Case):
    """How a granularity sorts the rows of a network into groups of units."""

    def test_groups_are_rows_of_the_model_in_its_order(self) -> None:
        model = self.workload.build()
        groups, _ = self._sorted_out(model)
        rows = {weight.name: weight.param for weight in prunable_weights(model, bare_parameters=True)}
        names = [group.name for group in groups]
        assert names == [name for name in rows if name in names], f"groups {names} of rows {list(rows)}"
        for group in groups:
            assert group.units == math.prod(group.layout) > 0, f"{group.name}: layout {group.layout}"
            assert group.members[0] == group.name and rows[group.name] == group.params[0]
            assert {rows[member] for member in group.members} == set(group.params), f"{group.name}: {group.params}"
            assert not self.granularity.rows or len(group.layout) >= 2, f"{group.name}: its units lie in no rows"

    def test_pieces_lie_inside_their_tensors_and_every_unit_owns_weights(self) -> None:
        model = self.workload.build()
        tensors = model.state_dict()
        for group in self._sorted_out(model)[0]:
            owning = torch.zeros(group.units, dtype=torch.bool)
            for piece in group.pieces:
                shape = tensors[piece.param].shape
                owners = piece.owners(shape).expand(shape)
                assert owners.dtype == torch.int64, f"{group.name}: owners of {piece.param} are {owners.dtype}"
                assert -1 <= int(owners.min()) <= int(owners.max()) < group.units, f"{group.name}: {piece.param}"
                if isinstance(piece, Slice):
                    _check_slice(piece, group, shape)
                if isinstance(piece, Tiles):
                    assert int(owners.max()) + 1 == group.units and int(owners.min()) == 0
                if piece in group.ranked:
                    owning[owners[owners >= 0].unique()] = True
            assert bool(owning.all()), f"{group.name}: units {(~owning).nonzero().flatten().tolist()} own no weight"
            along = [(piece.param, getattr(piece, "dim", 0)) for piece in group.pieces]
            assert len(set(along)) == len(along), f"{group.name}: two pieces of one tensor along one dimension"

    def test_every_prunable_row_is_in_one_group_or_says_why_not(self) -> None:
        model = self.workload.build()
        groups, reasons = self._sorted_out(model)
        check_every_row_is_accounted_for(model, groups, reasons)

    def test_a_frozen_layer_is_in_no_group_and_in_no_reason(self) -> None:
        """What is frozen may lose what others' units own of it, but no unit owns its rows."""
        model = self.workload.build()
        frozen = self._sorted_out(model)[0][-1].params[0]
        model.get_parameter(frozen).requires_grad_(False)
        groups, reasons = self.granularity.sorted_out(model, self.workload.example)
        assert all(frozen not in group.params for group in groups), f"{frozen} is frozen and in a group"
        check_every_row_is_accounted_for(model, groups, reasons)

    def test_grouping_leaves_the_model_and_the_generator_untouched(self) -> None:
        model = self.workload.build().train()
        with untouched(model):
            self.granularity.sorted_out(model, self.workload.example)

    def test_masking_zeroes_what_the_pruned_units_own_and_nothing_else_and_the_network_runs(self) -> None:
        model, inputs = self.workload.build().eval(), self._inputs()
        for group in self._sorted_out(model)[0]:
            unit, keep = group.units // 2, torch.ones(group.units, dtype=torch.bool)
            keep[unit] = False
            masked = copy.deepcopy(model)
            apply_masks(masked, masks_of([group], {group.name: keep}, masked))
            for name, before in model.named_parameters():
                pruned = torch.zeros(before.shape, dtype=torch.bool)
                for piece in group.pieces:
                    if piece.param == name:
                        pruned |= piece.owners(before.shape) == unit
                after = masked.get_parameter(name)
                assert torch.equal(after, torch.where(pruned, 0.0, before)), f"{group.name}: {name}"
            assert list(masked.state_dict()) == list(model.state_dict())
            with torch.no_grad():
                assert bool(masked(inputs).isfinite().all()), f"{group.name}: the masked network gives NaN or infinity"


class GranularityContract(UnitsContract, GroupingContract):
    """What a granularity owes. Say which `granularity` and which `workload`, and pytest finds the rest.

    The network of the workload has units of the kind. Inherit also from `RemovalContract` where they can be removed.
    """


class RemovalContract(_Case):
    """What a granularity owes besides whose units can be removed, on a network that can do without some of them."""

    def test_a_network_without_the_pruned_units_gives_what_the_masked_one_gives(self) -> None:
        assert self.granularity.removable, f"{self.granularity.unit} cannot be removed: leave this contract out"
        model, inputs = self.workload.build().eval(), self._inputs()
        groups = [group for group in self._sorted_out(model)[0] if not group.fixed]
        assert groups, f"{self.workload.name} cannot do without {self.granularity.unit}: test on another network"
        keep = {group.name: torch.arange(group.units) % 3 != 1 for group in groups}
        masked = copy.deepcopy(model)
        apply_masks(masked, masks_of(groups, keep, masked))
        smaller = remove_units(masked, self.workload.example, groups, keep)
        before, after = (sum(p.numel() for p in each.parameters()) for each in (model, smaller))
        assert after < before, "nothing was removed"
        assert compute_the_same(masked, smaller, inputs), (
            "the smaller network computes something else than the masked one, with the statistics of its norms too"
        )


def check_every_row_is_accounted_for(model: nn.Module, groups: list[UnitGroup], reasons: dict[str, str]) -> None:
    """Each row that can be pruned is in one group, or in the reasons with a sentence; bare parameters may be."""
    members = [member for group in groups for member in group.members]
    assert len(set(members)) == len(members), f"a row is in two groups: {sorted(members)}"
    assert not set(members) & reasons.keys(), f"in a group, and yet a reason why not: {set(members) & reasons.keys()}"
    rows = {weight.name for weight in prunable_weights(model)}
    found = set(members) | reasons.keys()
    assert found >= rows, f"neither in a group nor with a reason: {rows - found}"
    others = found - {weight.name for weight in prunable_weights(model, bare_parameters=True)}
    assert not others, f"no rows that can be pruned: {others}"
    assert all(len(reason) > 20 for reason in reasons.values()), f"a reason that is no sentence: {reasons}"


def _check_slice(piece: Slice, group: UnitGroup, shape: torch.Size) -> None:
    index = piece.index
    assert index.dtype == torch.int64 and index.shape[0] == group.units, f"{group.name}: {piece.param}"
    assert len(index.unique()) == index.numel(), f"{group.name}: two units own the same slice of {piece.param}"
    assert 0 <= int(index.min()) <= int(index.max()) < shape[piece.dim], f"{group.name}: {piece.param}"
