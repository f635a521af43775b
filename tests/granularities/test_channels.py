import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pruning.granularities import Channels
from tests.granularities.owned import left_out, normal, owned, rows, singly, smaller_as_masked
from tests.networks import NETWORKS, InnerSum, Residual, Tied, seeded


def test_a_unit_owns_its_rows_bias_norm_and_the_columns_that_read_it():
    first, second = Channels().sorted_out(seeded(NETWORKS["conv_bn"][0]), torch.zeros(1, 2, 8, 8))[0]
    owned = {(piece.param, piece.dim): piece.index.tolist() for piece in first.pieces}
    norm = ("weight", "bias", "running_mean", "running_var")
    assert owned.keys() == {("0.weight", 0), ("0.bias", 0), ("4.weight", 1), *((f"1.{name}", 0) for name in norm)}
    assert all(index == [[0], [1], [2], [3]] for index in owned.values())
    assert {(piece.param, piece.dim) for piece in second.pieces} >= {("4.weight", 0), ("9.weight", 1)}


def test_a_channel_owns_all_its_pixels_columns_after_flattening():
    _, second = Channels().sorted_out(seeded(NETWORKS["conv"][0]), torch.zeros(1, 2, 8, 8))[0]
    columns = next(piece for piece in second.pieces if piece.dim == 1)
    assert columns.param == "7.weight" and columns.index.tolist() == [list(range(4 * c, 4 * c + 4)) for c in range(5)]


def test_channels_that_a_residual_addition_couples_are_one_row():
    assert rows(seeded(Residual), 2, 8, 8) == {
        "stem": (("stem", "conv2"), 4),
        "conv1": (("conv1",), 5),
        "conv3": (("conv3", "project"), 6),
    }


def test_layers_side_by_side_keep_their_own_rows():
    model = seeded(NETWORKS["concatenated"][0])
    assert rows(model, 2, 8, 8) == {"left": (("left",), 3), "right": (("right",), 4), "both": (("both",), 5)}
    right = next(g for g in Channels().sorted_out(model, torch.zeros(1, 2, 8, 8))[0] if g.name == "right")
    assert {(s.param, s.dim): s.index.flatten().tolist() for s in right.pieces}[("both.weight", 1)] == [3, 4, 5, 6]


def test_a_depthwise_convolution_is_pruned_with_the_channels_that_it_filters():
    assert rows(seeded(NETWORKS["depthwise"][0]), 2, 8, 8) == {"0": (("0", "3"), 4), "6": (("6",), 6)}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_output_layer_is_protected_and_says_so(name):
    make, shape = NETWORKS[name]
    model = seeded(make)
    last = [layer for layer, module in model.named_modules() if isinstance(module, nn.Linear)][-1]
    assert last not in rows(model, *shape)
    assert left_out(model, *shape) == {last: "its units are the model's output: they always stay"}


def test_layers_whose_sum_is_the_output_are_protected():
    model = seeded(InnerSum)
    assert rows(model, 6) == {"first": (("first",), 5)}
    assert left_out(model, 6).keys() == {"inner", "last"}


def test_a_shared_weight_that_reads_the_input_stays_whole_and_says_why():
    model = seeded(Tied)  # its rows would fall with its columns, and these read the input
    assert rows(model, 6) == {}
    assert left_out(model, 6)["first"] == (
        "its units meet values that no layer makes, such as the input, at addmm in first: they always stay"
    )


def test_the_rows_of_a_shared_weight_fall_with_its_columns_and_with_what_it_reads():
    class Before(Tied):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.exit = nn.Linear(6, 6), nn.Linear(3, 3)

        def forward(self, vectors):
            return self.exit(super().forward(F.relu(self.entry(vectors))))

    model = seeded(Before)
    assert rows(model, 6) == {"first": (("first", "entry"), 6), "head": (("head",), 3)}
    assert owned(model, normal(1, 6), Channels())["first"] == singly(
        6, *((f"{name}.weight", 0) for name in ("first", "entry")), ("first.weight", 1), ("head.weight", 1),
        *((f"{name}.bias", 0) for name in ("first", "second", "entry")),
    )  # fmt: skip
    smaller_as_masked(model, normal(2, 6), Channels())


def test_one_layer_in_two_places_and_layers_with_one_bias_fall_together():
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(6, 4), nn.Linear(4, 4), nn.Linear(4, 3)
            self.again = nn.Sequential(self.second)

        def forward(self, x):
            return self.head(self.again(self.second(self.first(x).relu()).relu()).relu())

    model = seeded(Doubled)
    assert rows(model, 6) == {"first": (("first", "second"), 4)}
    model = seeded(NETWORKS["mlp"][0])
    model[0] = nn.Linear(6, 4)
    model[2] = nn.Linear(4, 4)
    model[2].bias = model[0].bias
    assert rows(model, 6) == {"0": (("0", "2"), 4)}
    assert owned(model, normal(1, 6), Channels())["0"] == singly(
        4, ("0.weight", 0), ("0.bias", 0), ("2.weight", 0), ("2.weight", 1), ("4.weight", 1)
    )
    smaller_as_masked(model, normal(2, 6), Channels())


def test_a_frozen_layer_keeps_the_layers_that_are_coupled_with_it():
    model = seeded(Residual)
    model.conv2.weight.requires_grad_(False)
    assert rows(model, 2, 8, 8).keys() == {"conv1", "conv3"}
    assert "conv2, which is frozen" in left_out(model, 2, 8, 8)["stem"]


def test_the_channels_of_a_grouped_convolution_are_pruned_from_all_its_groups_together():
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 1), nn.Conv2d(6, 4, 1, groups=2), nn.Conv2d(4, 3, 1), nn.Flatten(), nn.Linear(48, 3)
        )
    )
    first, second, _ = Channels().sorted_out(model, torch.randn(1, 2, 4, 4))[0]
    owned = {(piece.param, piece.dim): piece.index.tolist() for piece in first.pieces}
    # six channels in two groups of three; the weight of the grouped one has a column for each of the three
    assert owned[("0.weight", 0)] == [[0, 3], [1, 4], [2, 5]] and owned[("1.weight", 1)] == [[0], [1], [2]]
    owned = {(piece.param, piece.dim): piece.index.tolist() for piece in second.pieces}
    assert owned[("1.weight", 0)] == owned[("2.weight", 1)] == [[0, 2], [1, 3]]


def test_the_groups_of_a_group_norm_are_pruned_as_wholes():
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(2, 6, 1), nn.GroupNorm(3, 6), nn.ReLU(), nn.Conv2d(6, 2, 1), nn.Flatten())
    )
    (group,) = Channels().sorted_out(model, torch.randn(1, 2, 4, 4))[0]
    owned = {(piece.param, piece.dim): piece.index.tolist() for piece in group.pieces}
    assert owned[("0.weight", 0)] == owned[("1.weight", 0)] == owned[("3.weight", 1)] == [[0, 1], [2, 3], [4, 5]]


def test_a_norm_over_all_channels_lets_them_be_pruned_one_by_one():
    for norm in (nn.GroupNorm(1, 6), nn.BatchNorm2d(6), nn.GroupNorm(6, 6)):
        model = seeded(lambda norm=norm: nn.Sequential(nn.Conv2d(2, 6, 1), norm, nn.Conv2d(6, 2, 1), nn.Flatten()))
        (group,) = Channels().sorted_out(model, torch.randn(1, 2, 4, 4))[0]
        assert group.units == 6
