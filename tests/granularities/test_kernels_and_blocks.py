import math

import pytest
import torch
from torch import nn

from pruning.errors import RecipeError
from pruning.granularities import Blocks, Kernels
from pruning.model.units import apply_masks, masks_of
from tests.architectures import inputs_of, made
from tests.networks import NETWORKS, seeded


def test_a_kernel_is_what_one_input_channel_gives_to_one_output_channel():
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Flatten(), nn.Linear(3, 1))
    model[0].weight.data = torch.arange(24.0).reshape(3, 2, 2, 2)
    groups, reasons = Kernels().sorted_out(model, torch.zeros(1, 2, 2, 2))
    assert [(group.name, group.layout) for group in groups] == [("0", (3, 2))]
    assert reasons == {"2": "Linear has no kernels: choose another granularity"}
    # kernel k holds the numbers 4k to 4k + 3: their sum is 16k + 6
    assert groups[0].sums({"0.weight": model[0].weight}).tolist() == [16.0 * k + 6 for k in range(6)]
    keep = torch.tensor([True, True, True, False, True, True])
    apply_masks(model, masks_of(groups, {"0": keep}, model))
    assert not model[0].weight[1, 1].any() and int((model[0].weight == 0).sum()) == 4 + 1  # the weight 0.0 was there


@pytest.mark.parametrize(
    "layer, shape, layout",
    [
        (nn.Conv1d(4, 6, 3), (4, 8), (6, 4)),
        (nn.Conv3d(2, 3, 2), (2, 2, 2, 2), (3, 2)),
        (nn.Conv2d(4, 6, 3, groups=2), (4, 3, 3), (6, 2)),
        (nn.Conv2d(2, 3, 1), (2, 2, 2), (3, 2)),
    ],
    ids=["1d", "3d", "grouped", "1 x 1"],
)
def test_kernels_of_any_convolution(layer, shape, layout):
    groups, _ = Kernels().sorted_out(nn.Sequential(layer, nn.Flatten()), torch.zeros(1, *shape))
    assert groups[0].layout == layout
    sizes = groups[0].sums({"0.weight": torch.ones_like(layer.weight)})
    assert sizes.tolist() == [math.prod(layer.kernel_size)] * math.prod(layout)


def test_blocks_cut_the_matrix_into_rectangles():
    model = nn.Sequential(nn.Linear(5, 3, bias=False))
    model[0].weight.data = torch.arange(15.0).reshape(3, 5)
    (group,), reasons = Blocks(rows_per_block=2, columns_per_block=3).sorted_out(model, torch.zeros(1, 5))
    assert group.layout == (2, 2) and reasons == {}
    # rows 0 and 1: 0+1+2+5+6+7 and 3+4+8+9; row 2 alone: 10+11+12 and 13+14
    assert group.sums({"0.weight": model[0].weight}).tolist() == [21.0, 24.0, 33.0, 27.0]
    assert group.means({"0.weight": model[0].weight}).tolist() == [3.5, 6.0, 11.0, 13.5]
    apply_masks(model, masks_of([group], {"0": torch.tensor([True, False, True, True])}, model))
    assert model[0].weight.tolist() == [[0, 1, 2, 0, 0], [5, 6, 7, 0, 0], [10, 11, 12, 13, 14]]


def test_every_kind_of_weight_has_blocks():
    for name in ("gru", "encoder", "residual"):
        groups, reasons = Blocks().sorted_out(made(name), inputs_of(name, count=1))
        assert groups and reasons == {}


def test_blocks_of_one_are_single_weights():
    (group, *_), _ = Blocks(1, 1).sorted_out(seeded(NETWORKS["mlp"][0]), torch.zeros(1, 6))
    assert group.of_weights and group.layout == (5, 6)


@pytest.mark.parametrize("rows, columns, field", [(0, 4, "rows_per_block"), (4, 65, "columns_per_block")])
def test_blocks_out_of_range_are_refused_by_name(rows, columns, field):
    with pytest.raises(RecipeError, match=rf"granularity\.{field} is (0|65); it lies between 1 and 64"):
        Blocks(rows, columns)
