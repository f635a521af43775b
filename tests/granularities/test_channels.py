import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pruning.granularities import Channels
from tests.networks import NETWORKS, InnerSum, Residual, Tied, seeded


def rows(model: nn.Module, *shape: int) -> dict[str, tuple[tuple[str, ...], int]]:
    return {g.name: (g.members, g.units) for g in Channels().groups(model, torch.zeros(1, *shape))}


def left_out(model: nn.Module, *shape: int) -> dict[str, str]:
    return Channels().sorted_out(model, torch.zeros(1, *shape))[1]


def test_a_unit_owns_its_rows_bias_norm_and_the_columns_that_read_it():
    first, second = Channels().groups(seeded(NETWORKS["conv_bn"][0]), torch.zeros(1, 2, 8, 8))
    owned = {(piece.param, piece.dim): piece.index.tolist() for piece in first.slices}
    norm = ("weight", "bias", "running_mean", "running_var")
    assert owned.keys() == {("0.weight", 0), ("0.bias", 0), ("4.weight", 1), *((f"1.{name}", 0) for name in norm)}
    assert all(index == [[0], [1], [2], [3]] for index in owned.values())
    assert {(piece.param, piece.dim) for piece in second.slices} >= {("4.weight", 0), ("9.weight", 1)}


def test_a_channel_owns_all_its_pixels_columns_after_flattening():
    _, second = Channels().groups(seeded(NETWORKS["conv"][0]), torch.zeros(1, 2, 8, 8))
    columns = next(piece for piece in second.slices if piece.dim == 1)
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
    right = next(g for g in Channels().groups(model, torch.zeros(1, 2, 8, 8)) if g.name == "right")
    assert {(s.param, s.dim): s.index.flatten().tolist() for s in right.slices}[("both.weight", 1)] == [3, 4, 5, 6]


def test_a_depthwise_convolution_falls_with_the_channels_that_it_filters():
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
        "its units fall together with the weight that first shares with second: they always stay"
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


@pytest.mark.parametrize(
    "make, shape, free, reasons",
    [
        (Recurrent, (9, 4), {"hidden"}, {"entry": "LSTM cannot be made smaller yet", "head": "output"}),
        (Encoder, (9, 4), {"encoder.linear1"},
         {"entry": "MultiheadAttention", "encoder.self_attn.out_proj": "cannot be traced"}),
        (HalfCoupled, (2, 4, 4), set(), dict.fromkeys(("left", "right", "both"), "one by one")),
        (Scaled, (2, 4, 4), set(), {"conv": "fall together with scale, and Parameter cannot be made smaller yet"}),
        (lambda: nn.Sequential(nn.Linear(4, 5), nn.LayerNorm((3, 5)), nn.Linear(5, 6), nn.Flatten(), nn.Linear(18, 3)),
         (3, 4), set(), {"0": "a norm over several dimensions", "2": "does not run"}),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 3, 3), nn.Conv2d(3, 5, 1),
                               nn.Flatten(), nn.Linear(320, 3)),
         (2, 8, 8), {"3"}, {"0": "ConvTranspose2d cannot be made smaller yet"}),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 5, 1), nn.Flatten(),
                               nn.Linear(320, 3)),
         (2, 8, 8), {"2"}, {"0": "does not run", "1": "does not run"}),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.GroupNorm(2, 4), nn.Conv2d(4, 5, 1), nn.Flatten(),
                               nn.Linear(320, 3)),
         (2, 8, 8), {"2"}, {"0": "does not run"}),
    ],
    ids=["lstm", "encoder", "half coupled", "scale", "wide norm", "transposed", "grouped", "group norm"],
)  # fmt: skip
def test_layers_that_cannot_be_cut_say_why_and_the_others_can(make, shape, free, reasons):
    model = seeded(make)
    assert rows(model, *shape).keys() == free
    for layer, part in reasons.items():
        assert part in left_out(model, *shape)[layer]
