"""What every granularity owes, over whatever stands in the table."""

import copy

import pytest
import torch

from pruning.granularities import GRANULARITIES
from pruning.layers import prunable_layers
from pruning.opening import open_model
from pruning.surgery import remove_units
from pruning.units import apply_masks, masks_of
from tests.networks import CPU, NETWORKS, tiny

CASES = [(g, n) for g in GRANULARITIES for n in NETWORKS]


def grouped(granularity: str, network: str):
    work = tiny(network)
    model = open_model(work, CPU)
    return model, work.example, GRANULARITIES[granularity]().groups(model, work.example)


@pytest.mark.parametrize("granularity, network", CASES)
def test_groups_are_rows_of_the_model_in_its_order(granularity, network):
    model, _, groups = grouped(granularity, network)
    layers = [name for name, _ in prunable_layers(model)]
    names = [group.name for group in groups]
    assert names and names == [layer for layer in layers if layer in names]
    for group in groups:
        weight = model.get_parameter(group.params[0])
        assert group.params[0] == f"{group.name}.weight" and group.members[0] == group.name
        assert group.shape == tuple(weight.shape)
        assert group.units == (len(weight) if group.slices else weight.numel())


@pytest.mark.parametrize("granularity, network", CASES)
def test_slices_lie_inside_their_tensors_and_no_value_has_two_owners(granularity, network):
    model, _, groups = grouped(granularity, network)
    tensors = model.state_dict()
    for group in groups:
        for piece in group.slices:
            assert piece.index.dtype == torch.int64 and piece.index.shape[0] == group.units
            assert len(piece.index.unique()) == piece.index.numel()
            assert 0 <= int(piece.index.min()) <= int(piece.index.max()) < tensors[piece.param].shape[piece.dim]
        owned = [(piece.param, piece.dim) for piece in group.slices]
        assert len(set(owned)) == len(owned)


@pytest.mark.parametrize("granularity, network", CASES)
def test_every_prunable_layer_is_in_one_group_or_says_why_not(granularity, network):
    model, example, groups = grouped(granularity, network)
    members = [member for group in groups for member in group.members]
    _, left_out = GRANULARITIES[granularity]().sorted_out(model, example)
    assert len(set(members)) == len(members)
    assert set(members) | left_out.keys() == {name for name, _ in prunable_layers(model)}
    assert not set(members) & left_out.keys()
    assert all(len(reason) > 20 for reason in left_out.values())


@pytest.mark.parametrize("granularity, network", CASES)
def test_grouping_leaves_the_model_untouched(granularity, network):
    work = tiny(network)
    model = open_model(work, CPU).train()
    before = copy.deepcopy(model.state_dict())
    GRANULARITIES[granularity]().groups(model, work.example)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("granularity", [name for name, made in GRANULARITIES.items() if made.removable])
def test_units_that_can_be_removed_leave_the_output_as_if_they_were_masked(granularity, network):
    model, example, groups = grouped(granularity, network)
    keep = {group.name: torch.arange(group.units) % 3 != 1 for group in groups}
    masked = copy.deepcopy(model)
    apply_masks(masked, masks_of(groups, keep, masked))
    inputs = tiny(network).validation.inputs
    with torch.no_grad():
        assert torch.allclose(masked(inputs), remove_units(model, example, groups, keep)(inputs), atol=1e-5)
