"""What every granularity owes, over whatever stands in the table and every network that the tests know."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from pruning.granularities import GRANULARITIES
from pruning.model.layer_table import prunable_weights
from pruning.model.surgery import remove_units
from pruning.model.units import Slice, Tiles, UnitGroup, apply_masks, masks_of
from tests.architectures import ARCHITECTURES, inputs_of, made
from tests.networks import NETWORKS, samples, seeded

CASES = [(g, n) for g in GRANULARITIES for n in (*NETWORKS, *(f"{name} net" for name in ARCHITECTURES))]


def built(network: str) -> tuple[nn.Module, Tensor]:
    """The network and some inputs for it."""
    if network in NETWORKS:
        make, shape = NETWORKS[network]
        return seeded(make), samples(shape, 16, 0).inputs
    name = network.removesuffix(" net")
    return made(name), inputs_of(name)


def grouped(granularity: str, network: str) -> tuple[nn.Module, Tensor, list[UnitGroup], dict[str, str]]:
    model, inputs = built(network)
    return model, inputs, *GRANULARITIES[granularity]().sorted_out(model, inputs[:1])


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_every_granularity_has_units_somewhere_and_says_what_they_are(granularity):
    kind = GRANULARITIES[granularity]
    assert any(grouped(granularity, network)[2] for g, network in CASES if g == granularity)
    assert kind.unit and kind.__doc__ and isinstance(kind.removable, bool) and isinstance(kind.rows, bool)
    assert kind() == kind() and hash(kind()) == hash(kind())
    assert all(field.default is not dataclasses.MISSING for field in dataclasses.fields(kind))


@pytest.mark.parametrize("granularity, network", CASES)
def test_groups_are_rows_of_the_model_in_its_order(granularity, network):
    model, _, groups, _ = grouped(granularity, network)
    rows = {weight.name: weight.param for weight in prunable_weights(model)}
    names = [group.name for group in groups]
    assert names == [name for name in rows if name in names]
    for group in groups:
        assert group.units == math.prod(group.layout) > 0
        assert group.members[0] == group.name and rows[group.name] == group.params[0]
        assert {rows[member] for member in group.members} == set(group.params)
        assert not GRANULARITIES[granularity].rows or len(group.layout) >= 2


@pytest.mark.parametrize("granularity, network", CASES)
def test_pieces_lie_inside_their_tensors_and_every_unit_owns_weights(granularity, network):
    model, _, groups, _ = grouped(granularity, network)
    tensors = model.state_dict()
    for group in groups:
        owning = torch.zeros(group.units, dtype=torch.bool)
        for piece in group.pieces:
            shape = tensors[piece.param].shape
            owners = piece.owners(shape).expand(shape)
            assert owners.dtype == torch.int64 and -1 <= int(owners.min()) <= int(owners.max()) < group.units
            if isinstance(piece, Slice):
                assert piece.index.dtype == torch.int64 and piece.index.shape[0] == group.units
                assert len(piece.index.unique()) == piece.index.numel()
                assert 0 <= int(piece.index.min()) <= int(piece.index.max()) < shape[piece.dim]
            if isinstance(piece, Tiles):
                assert int(owners.max()) + 1 == group.units and int(owners.min()) == 0
            if piece in group.ranked:
                owning[owners[owners >= 0].unique()] = True
        assert bool(owning.all())
        along = [(piece.param, getattr(piece, "dim", 0)) for piece in group.pieces]
        assert len(set(along)) == len(along)


@pytest.mark.parametrize("granularity, network", CASES)
def test_every_prunable_row_is_in_one_group_or_says_why_not(granularity, network):
    model, _, groups, reasons = grouped(granularity, network)
    members = [member for group in groups for member in group.members]
    assert len(set(members)) == len(members)
    assert set(members) | reasons.keys() == {weight.name for weight in prunable_weights(model)}
    assert not set(members) & reasons.keys()
    assert all(len(reason) > 20 for reason in reasons.values())


@pytest.mark.parametrize("granularity, network", CASES)
def test_a_frozen_layer_is_in_no_group_and_in_no_reason(granularity, network):
    model, inputs = built(network)
    _, param, _ = list(prunable_weights(model))[-2]
    weight = model.get_parameter(param)
    weight.requires_grad_(False)
    groups, reasons = GRANULARITIES[granularity]().sorted_out(model, inputs[:1])
    # what is frozen may lose what others' units own of it, but no unit owns its rows: nothing ranked lies in it
    assert all(param not in group.params for group in groups)
    rows = {weight.name for weight in prunable_weights(model)}
    assert {member for group in groups for member in group.members} | reasons.keys() == rows


@pytest.mark.parametrize("granularity, network", CASES)
def test_grouping_leaves_the_model_and_the_generator_untouched(granularity, network):
    model, inputs = built(network)
    model.train()
    flags = {name: (module.training, set(vars(module))) for name, module in model.named_modules()}
    before, draws = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    GRANULARITIES[granularity]().sorted_out(model, inputs[:1])
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert {name: (module.training, set(vars(module))) for name, module in model.named_modules()} == flags
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(draws, torch.get_rng_state())


@pytest.mark.parametrize("granularity, network", CASES)
def test_masking_zeroes_what_the_pruned_units_own_and_nothing_else_and_the_network_runs(granularity, network):
    model, inputs, groups, _ = grouped(granularity, network)
    for group in groups:
        masked = copy.deepcopy(model)
        keep = torch.ones(group.units, dtype=torch.bool)
        keep[group.units // 2] = False
        apply_masks(masked, masks_of([group], {group.name: keep}, masked))
        parameters = dict(masked.named_parameters())
        for name, before in model.named_parameters():
            pruned = torch.zeros(before.shape, dtype=torch.bool)
            for piece in group.pieces:
                if piece.param == name:
                    pruned |= piece.owners(before.shape) == group.units // 2
            assert torch.equal(parameters[name], torch.where(pruned, 0.0, before))
        assert list(masked.state_dict()) == list(model.state_dict())
        with torch.no_grad():
            assert bool(masked(inputs).isfinite().all())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("granularity", [name for name, kind in GRANULARITIES.items() if kind.removable])
def test_units_that_can_be_removed_leave_the_output_as_if_they_were_masked(granularity, network):
    model, inputs, groups, _ = grouped(granularity, network)
    keep = {group.name: torch.arange(group.units) % 3 != 1 for group in groups}
    masked = copy.deepcopy(model)
    apply_masks(masked, masks_of(groups, keep, masked))
    with torch.no_grad():
        assert torch.allclose(masked(inputs), remove_units(model, inputs[:1], groups, keep)(inputs), atol=1e-5)
