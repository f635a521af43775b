import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pruning.granularities import Channels
from tests.networks import NETWORKS, InnerSum, Residual, Tied, seeded


def rows(model: nn.Module, *shape: int) -> dict[str, tuple[tuple[str, ...], int]]:
    example = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    return {g.name: (g.members, g.units) for g in Channels().sorted_out(model, example)[0]}


def left_out(model: nn.Module, *shape: int) -> dict[str, str]:
    return Channels().sorted_out(model, torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)))[1]


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


def test_layers_that_share_a_weight_stay_whole_and_say_why():
    model = seeded(Tied)
    assert rows(model, 6) == {}
    assert left_out(model, 6)["first"] == (
        "its units own a part of first.weight, which first shares with second.weight: they always stay"
    )


def test_a_layer_read_by_a_shared_weight_stays_whole():
    class Before(Tied):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.exit = nn.Linear(6, 6), nn.Linear(3, 3)

        def forward(self, vectors):
            return self.exit(super().forward(F.relu(self.entry(vectors))))

    model = seeded(Before)
    assert rows(model, 6) == {"head": (("head",), 3)}
    assert "shares with" in left_out(model, 6)["entry"]


def test_layers_that_share_a_bias_stay_and_one_layer_in_two_places_is_pruned_in_both():
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
    assert left_out(model, 6)["0"] == "its units own a part of 0.bias, which 0 shares with 2.bias: they always stay"
    assert left_out(model, 6)["2"] == "its units own a part of 2.bias, which 2 shares with 0.bias: they always stay"


def test_a_frozen_layer_keeps_the_layers_that_are_coupled_with_it():
    model = seeded(Residual)
    model.conv2.weight.requires_grad_(False)
    assert rows(model, 2, 8, 8).keys() == {"conv1", "conv3"}
    assert "conv2, which is frozen" in left_out(model, 2, 8, 8)["stem"]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entry, self.lstm = nn.Linear(4, 5), nn.LSTM(5, 6, batch_first=True)
        self.hidden, self.head = nn.Linear(6, 7), nn.Linear(7, 3)

    def forward(self, words):
        return self.head(F.relu(self.hidden(self.lstm(self.entry(words))[0][:, -1])))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entry, self.head = nn.Linear(4, 8), nn.Linear(8, 3)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, words):
        return self.head(self.encoder(self.entry(words)).mean(dim=1))


class HalfCoupled(nn.Module):
    """Two convolutions side by side, added to a third: its channels match neither's one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.both = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 3, 1), nn.Conv2d(2, 5, 1)
        self.head = nn.Linear(5, 3)

    def forward(self, images):
        side_by_side = torch.cat([self.left(images), self.right(images)], dim=1)
        return self.head((side_by_side + self.both(images)).relu().mean(dim=(2, 3)))


class Scaled(nn.Module):
    """A learnt scale that stands alone between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.scale, self.head = nn.Conv2d(2, 4, 1), nn.Parameter(torch.ones(4, 1, 1)), nn.Linear(4, 3)

    def forward(self, images):
        return self.head((self.conv(images) * self.scale).relu().mean(dim=(2, 3)))


class Torn(nn.Module):
    """A GroupNorm of three groups of two over 3 + 3 channels: the middle group has one of each side."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 1)
        self.norm, self.head = nn.GroupNorm(3, 6), nn.Linear(6, 3)

    def forward(self, images):
        return self.head(self.norm(torch.cat([self.left(images), self.right(images)], 1)).relu().mean(dim=(2, 3)))


class Shuffled(nn.Module):
    """ShuffleNet: the channels change places between two convolutions, which no tracing of shapes shows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(2, 8, 1), nn.Conv2d(8, 4, 1), nn.Linear(4, 3)

    def forward(self, images):
        maps = self.first(images)
        b, channels, height, width = maps.shape
        maps = maps.reshape(b, 2, channels // 2, height, width).transpose(1, 2).reshape(maps.shape)
        return self.head(self.second(maps.relu()).relu().mean(dim=(2, 3)))


class Averaged(nn.Module):
    """The mean over all channels is subtracted from each, as a norm of one's own does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(2, 8, 1), nn.Linear(8, 3)

    def forward(self, images):
        maps = self.conv(images)
        return self.head((maps - maps.mean(dim=1, keepdim=True)).relu().mean(dim=(2, 3)))


@pytest.mark.parametrize(
    "make, shape, free, reasons",
    [
        (Recurrent, (9, 4), {"hidden"}, {"entry": "LSTM cannot be made smaller yet", "head": "output"}),
        (Encoder, (9, 4), {"encoder.linear1"},
         {"entry": "MultiheadAttention", "encoder.self_attn.out_proj": "MultiheadAttention has no channels"}),
        (HalfCoupled, (2, 4, 4), set(), dict.fromkeys(("left", "right", "both"), "one by one")),
        (
            Scaled,
            (2, 4, 4),
            set(),
            {"conv": "are pruned together with scale, and Parameter cannot be made smaller yet"},
        ),
        (lambda: nn.Sequential(nn.Linear(4, 5), nn.LayerNorm((3, 5)), nn.Linear(5, 6), nn.Flatten(), nn.Linear(18, 3)),
         (3, 4), set(), {"0": "a norm over several dimensions", "2": "does not run"}),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 3, 3), nn.Conv2d(3, 5, 1),
                               nn.Flatten(), nn.Linear(320, 3)),
         (2, 8, 8), {"3"}, {"0": "ConvTranspose2d cannot be made smaller yet"}),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 8, 1, groups=4), nn.Conv2d(8, 5, 1), nn.Flatten(),
                               nn.Linear(320, 3)),
         (2, 8, 8), {"1", "2"}, {"0": "the groups of 1 let its units be pruned only all together"}),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 2, 1, groups=2), nn.Conv2d(2, 5, 1), nn.Flatten(),
                               nn.Linear(320, 3)),
         (2, 8, 8), {"2"}, {"0": "1, a convolution with one output a group and several inputs", "1": "one output"}),
        (Torn, (2, 4, 4), set(), dict.fromkeys(("left", "right"), "do not match those of norm one by one")),
        (Shuffled, (2, 4, 4), {"second"}, {"first": "does not run without some of its units"}),
        (Averaged, (2, 4, 4), set(), {"conv": "shuffled or averaged"}),
    ],
    ids=["lstm", "encoder", "half coupled", "scale", "wide norm", "transposed", "one channel a group",
         "one output a group", "torn norm", "shuffled", "averaged"],
)  # fmt: skip
def test_layers_that_cannot_be_cut_say_why_and_the_others_can(make, shape, free, reasons):
    model = seeded(make)
    assert rows(model, *shape).keys() == free
    for layer, part in reasons.items():
        assert part in left_out(model, *shape)[layer]


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
