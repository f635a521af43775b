"""Weights, blocks and kernels of layers that are not torch's, of transposed convolutions and of no layer at all."""

import pytest
import torch
from torch import nn

from pruning.granularities import Blocks, Kernels, Weights
from pruning.selection.scopes import WithinRow
from pruning.testing import GroupingContract
from tests.networks import VECTOR, seeded, workload
from tests.own_layers import BARE, LAYERS, OwnLayers

EXAMPLE = torch.zeros(1, *VECTOR)


class TestWeightsAndBlocksOfOwnLayers(GroupingContract):
    @pytest.fixture(
        autouse=True,
        params=[Weights(), Weights(bare_parameters=True), Blocks(2, 2), Blocks(2, 2, bare_parameters=True)],
        ids=str,
    )
    def case(self, request: pytest.FixtureRequest) -> None:
        self.granularity = request.param
        self.workload = workload(lambda: seeded(OwnLayers), VECTOR, count=16)


@pytest.mark.parametrize("bare, rows", [(False, LAYERS), (True, BARE | LAYERS)], ids=["layers", "bare too"])
def test_every_weight_of_an_own_layer_is_a_unit_that_lies_as_it_is_stored(bare, rows):
    groups, reasons = Weights(bare).sorted_out(seeded(OwnLayers), EXAMPLE)
    assert {group.name: group.layout for group in groups} == {name: shape for name, (_, shape, _, _) in rows.items()}
    assert reasons == {}


def test_a_row_of_an_own_layer_is_dimension_0_as_it_is_stored():
    (up, *_), _ = Weights().sorted_out(seeded(OwnLayers), EXAMPLE)
    (pools,) = WithinRow().competitions([up])
    assert pools.members.tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]  # of each of its two inputs


def test_blocks_of_stacked_matrices_are_not_guessed():
    groups, reasons = Blocks(2, 2).sorted_out(seeded(OwnLayers), EXAMPLE)
    assert {group.name: group.layout for group in groups} == {
        "up": (1, 3),
        "down": (3, 1),
        "cell.weight_ih": (6, 1),
        "cell.weight_hh": (6, 2),
        "head": (2, 2),
    }
    sentence = "which dimensions of Experts make a matrix is not known: choose weights"
    assert reasons == {"experts.up": sentence, "experts.down": sentence}


def test_a_bare_matrix_with_a_dimension_of_one_has_blocks():
    groups, _ = Blocks(2, 2, bare_parameters=True).sorted_out(seeded(OwnLayers), EXAMPLE)
    assert [(group.name, group.layout) for group in groups[:2]] == [("token", (1, 1)), ("positions", (1, 4))]


def test_kernels_of_a_transposed_convolution_lie_by_input_and_output():
    model = nn.Sequential(nn.ConvTranspose2d(2, 3, 2), nn.Flatten(), nn.Linear(27, 1))
    model[0].weight.data = torch.arange(24.0).reshape(2, 3, 2, 2)
    (group,), _ = Kernels().sorted_out(model, torch.zeros(1, 2, 2, 2))
    assert group.layout == (2, 3)
    assert group.sums({"0.weight": model[0].weight}).tolist() == [16.0 * k + 6 for k in range(6)]
