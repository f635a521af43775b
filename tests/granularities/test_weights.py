import torch

from pruning.granularities import Weights
from pruning.model.units import Tiles, apply_masks, masks_of
from tests.networks import NETWORKS, Tied, seeded


def test_every_weight_is_a_unit_and_biases_and_norms_are_not():
    groups = Weights().sorted_out(seeded(NETWORKS["conv_bn"][0]), torch.zeros(1, 2, 8, 8))[0]
    assert [(group.name, group.layout, group.units, group.pieces) for group in groups] == [
        ("0", (4, 2, 3, 3), 72, (Tiles("0.weight"),)),
        ("4", (5, 4, 3, 3), 180, (Tiles("4.weight"),)),
        ("9", (3, 5), 15, (Tiles("9.weight"),)),
    ]


def test_a_frozen_layer_has_no_units():
    model = seeded(NETWORKS["mlp"][0])
    model[2].weight.requires_grad_(False)
    assert [group.name for group in Weights().sorted_out(model, torch.zeros(1, 6))[0]] == ["0", "4"]


def test_a_tied_weight_is_counted_once_and_is_pruned_in_both_layers():
    model = seeded(Tied)
    keys = list(model.state_dict())
    groups = Weights().sorted_out(model, torch.zeros(1, 6))[0]
    assert sum(group.units for group in groups) == 36 + 18
    keep = {"first": torch.arange(36) > 5, "head": torch.ones(18, dtype=torch.bool)}
    apply_masks(model, masks_of(groups, keep, model))
    assert model.first.weight is model.second.weight
    assert model.second.weight[0].count_nonzero() == 0 and model.second.weight.count_nonzero() == 30
    assert list(model.state_dict()) == keys
