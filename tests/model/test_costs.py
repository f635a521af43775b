import gzip
import json
import struct

import pytest
import torch
from safetensors.torch import load
from torch import nn

from pruning.granularities import GRANULARITIES, Weights
from pruning.model.costs import PACKED_AT_ONCE, cost_model, costs, file_bytes, gzip_size, nonzero_after
from pruning.model.file_length import file_length
from pruning.model.layer_table import prunable_weights
from pruning.model.module_sizes import sizes_between
from pruning.model.surgery import remove_units
from pruning.model.units import apply_masks, masks_of
from tests.every_granularity import tiny_for
from tests.granularities.applies import work_on
from tests.networks import NETWORKS, Tied, seeded


def made(name: str) -> tuple[nn.Module, torch.Tensor]:
    make, shape = NETWORKS[name]
    return seeded(make), torch.zeros(1, *shape)


BY_HAND = {
    "mlp": (6 * 5 + 5 + 5 * 4 + 4 + 4 * 3 + 3, 30 + 20 + 12),
    "conv": (72 + 4 + 180 + 5 + 60 + 3, 72 * 64 + 180 * 16 + 60),
    "conv_bn": (72 + 4 + 8 + 180 + 5 + 10 + 15 + 3, 72 * 64 + 180 * 16 + 15),
    "residual": (
        72 + 8 + 180 + 10 + 180 + 8 + 216 + 12 + 24 + 12 + 21,
        (72 + 180 + 180) * 64 + (216 + 24) * 16 + 18,
    ),
    "concatenated": (54 + 3 + 8 + 4 + 14 + 35 + 5 + 18, (54 + 8 + 35) * 64 + 15),
    "depthwise": (72 + 4 + 8 + 36 + 4 + 8 + 24 + 6 + 12 + 21, (72 + 36 + 24) * 64 + 18),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_parameters_and_macs_worked_out_by_hand(name):
    cost = costs(*made(name))
    assert (cost.parameters, cost.macs) == BY_HAND[name]


def test_nonzero_counts_parameters_that_are_not_zero():
    model, example = made("mlp")
    model[0].weight.data[0, :4] = 0.0
    model[2].bias.data.zero_()
    assert costs(model, example).nonzero == 74 - 4 - 4


def test_bytes_are_those_of_the_file():
    model, example = made("conv_bn")
    file = file_bytes(model.state_dict())
    (header,) = struct.unpack("<Q", file[:8])
    values = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    assert costs(model, example).bytes == len(file) == 8 + header + values
    assert json.loads(file[8 : 8 + header])["__metadata__"] == {"format": "pt"}
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in load(file).items())


def test_gzip_bytes_are_those_that_gzip_gives():
    file = file_bytes(made("conv")[0].state_dict())
    assert gzip_size(file) == costs(*made("conv")).gzip_bytes == len(gzip.compress(file, 6))


def test_a_large_file_packed_in_pieces_is_as_long_as_in_one():
    seed = torch.Generator().manual_seed(0)
    weight = torch.randn(700, 600, generator=seed)
    file = file_bytes({"weight": weight.where(torch.rand(700, 600, generator=seed) < 0.2, 0.0)})
    assert len(file) > 6 * PACKED_AT_ONCE
    assert gzip_size(file) == len(gzip.compress(file, 6))


def test_zeros_compress_and_bytes_dense_stay():
    model, example = made("residual")
    before = costs(model, example)
    model.conv3.weight.data.zero_()
    after = costs(model, example)
    assert after.gzip_bytes < before.gzip_bytes - 400
    assert (after.bytes, after.parameters, after.macs) == (before.bytes, before.parameters, before.macs)


def test_channels_last_and_tied_tensors_can_be_written():
    model = made("conv")[0].to(memory_format=torch.channels_last)
    assert file_bytes(model.state_dict()) == file_bytes(made("conv")[0].state_dict())
    tied = seeded(Tied)
    assert load(file_bytes(tied.state_dict())).keys() == tied.state_dict().keys()
    assert costs(tied, torch.zeros(1, 6)).parameters == 36 + 6 + 6 + 21


def drawn(name: str, granularity: str, seed: int):
    model, example = made(name)
    groups = GRANULARITIES[granularity]().sorted_out(model, example)[0]
    draw = torch.Generator().manual_seed(seed)
    keep = {group.name: torch.rand(group.units, generator=draw) < 0.6 for group in groups}
    for stays in keep.values():
        stays[0] = True
    return model, example, groups, keep


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", NETWORKS)
def test_the_cost_model_knows_the_size_of_the_network_that_is_really_smaller(name, seed):
    model, example, groups, keep = drawn(name, "channels", seed)
    predicted = cost_model(model, example).after(groups, {n: int((~stays).sum()) for n, stays in keep.items()})
    real = costs(remove_units(model, example, groups, keep), example)
    assert (predicted.parameters, predicted.macs) == (real.parameters, real.macs)
    assert abs(predicted.bytes - real.bytes) <= 64


REMOVED_WHOLE = [("vit", "layers"), ("language_model", "layers"), ("gru", "embedding_rows")]


@pytest.mark.parametrize(("network", "granularity"), [*REMOVED_WHOLE, ("language_model", "embedding_rows")])
def test_the_cost_model_knows_blocks_and_rows_that_are_gone_to_the_byte(network, granularity):
    work = work_on(network)
    model = work.build()
    groups = GRANULARITIES[granularity]().sorted_out(model, work.example)[0]
    for gone in range(2):  # the blocks are not equally large
        keep = {group.name: torch.arange(group.units) != gone for group in groups}
        smaller = remove_units(model, work.example, groups, keep)
        predicted = cost_model(model, work.example).after(groups, dict.fromkeys(keep, 1), keep)
        real = costs(smaller, work.example, sizes_between(model, smaller))
        assert (predicted.parameters, predicted.bytes, predicted.macs) == (real.parameters, real.bytes, real.macs)
        assert real.parameters < costs(model, work.example).parameters


def test_a_block_goes_with_all_that_is_computed_in_it_and_one_in_two_places_goes_twice():
    class Multiplied(nn.Module):
        """Three products of a row of 4 values with itself, by a module that all blocks share."""

        def __init__(self, times: nn.Module) -> None:
            super().__init__()
            self.times, self.fc = times, nn.Linear(4, 4)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows + self.fc(rows) * self.times(rows[:, :, None].transpose(1, 2), rows[:, :, None])[:, 0]

    class Times(nn.Module):
        def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
            return first @ second

    def build() -> nn.Module:
        times = Times()
        twice = Multiplied(times)
        return nn.Sequential(twice, Multiplied(times), nn.Sequential(twice), nn.Linear(4, 2))

    model, example = seeded(build), torch.randn(1, 4)
    (group,), _ = GRANULARITIES["layers"]().sorted_out(model, example)
    keep = {group.name: torch.tensor([False, True])}
    predicted = cost_model(model, example).after([group], {group.name: 1}, keep)
    # one block of 16 products with weights and 4 of values is left, and the head
    assert (predicted.parameters, predicted.macs) == (20 + 10, 16 + 4 + 8)
    smaller = remove_units(model, example, [group], keep)
    real = costs(smaller, example, sizes_between(model, smaller))
    assert (predicted.parameters, predicted.bytes, predicted.macs) == (real.parameters, real.bytes, real.macs)


def test_the_length_of_a_file_is_told_from_what_it_would_hold():
    kinds = [torch.float32, torch.int64, torch.bfloat16, torch.int32, torch.bool, torch.float64, torch.uint8]
    tensors = {f"{kind}".removeprefix("torch.") * (n + 1): torch.ones(n, 3).to(kind) for n, kind in enumerate(kinds)}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
    assert file_length(shapes, dtypes, {"format": "pt"}) == len(file_bytes(tensors))


def test_removing_nothing_costs_what_the_model_costs():
    for name in NETWORKS:
        model, example, groups, keep = drawn(name, "channels", 0)
        size, cost = cost_model(model, example).after(groups, dict.fromkeys(keep, 0)), costs(model, example)
        assert (size.parameters, size.bytes, size.macs) == (cost.parameters, cost.bytes, cost.macs)


def test_weights_that_are_pruned_leave_the_dense_size():
    model, example, groups, keep = drawn("conv", "weights", 0)
    before = costs(model, example)
    apply_masks(model, masks_of(groups, keep, model))
    after = costs(model, example)
    assert (after.parameters, after.macs) == BY_HAND["conv"] and after.bytes == before.bytes
    assert after.nonzero == before.nonzero - sum(int((~stays).sum()) for stays in keep.values())


def test_a_tied_weight_is_counted_once_also_after_masking():
    model, example = seeded(Tied), torch.zeros(1, 6)
    groups = Weights().sorted_out(model, example)[0]
    keep = {"first": torch.arange(36) >= 6, "head": torch.arange(18) >= 3}
    assert nonzero_after(model, masks_of(groups, keep, model)) == costs(model, example).nonzero - 9


@pytest.mark.parametrize("granularity", ["weights", "channels", "kernels", "blocks"])
@pytest.mark.parametrize("name", NETWORKS)
def test_nonzero_after_is_the_count_after_masking(name, granularity):
    model, example, groups, keep = drawn(name, granularity, 1)
    model.get_parameter(next(prunable_weights(model)).param).data.flatten()[:5] = 0.0  # not counted twice
    predicted = nonzero_after(model, masks_of(groups, keep, model))
    apply_masks(model, masks_of(groups, keep, model))
    assert predicted == costs(model, example).nonzero


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_nonzero_after_is_the_count_after_masking_for_units_of_every_kind(granularity):
    work = tiny_for(granularity)
    model = work.build()
    groups = GRANULARITIES[granularity]().sorted_out(model, work.example)[0]
    keep = {group.name: torch.arange(group.units) % 2 == 0 for group in groups}
    before, predicted = costs(model, work.example), nonzero_after(model, masks_of(groups, keep, model))
    apply_masks(model, masks_of(groups, keep, model))
    assert predicted == costs(model, work.example).nonzero < before.nonzero


def test_what_no_layer_of_its_own_does_is_counted_and_stays():
    # attention multiplies queries with keys and weights with values outside of any layer
    work = tiny_for("heads")
    model = work.build()
    counted = cost_model(model, work.example)
    inside = sum(counted.macs.of_parameters.values())
    outside = sum(counted.macs.of_products.values())
    # two blocks of 5 tokens of width 8: per head width / heads, so that 2 · 5 · 5 · 8 each whatever the heads
    assert outside == 2 * (2 * 5 * 5 * 8) and inside + outside == costs(model, work.example).macs
    groups = GRANULARITIES["channels"]().sorted_out(model, work.example)[0]
    keep = {group.name: torch.arange(group.units) % 2 == 0 for group in groups}
    predicted = counted.after(groups, {name: int((~stays).sum()) for name, stays in keep.items()})
    real = costs(remove_units(model, work.example, groups, keep), work.example)
    assert (predicted.parameters, predicted.macs) == (real.parameters, real.macs) and predicted.macs < counted.after(
        [], {}
    ).macs
