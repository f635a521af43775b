"""Channels of networks with layers of many kinds: what their units own, and which must stay."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pruning.granularities import Channels
from pruning.granularities.coupling import UNLIKE_PARTS
from tests.granularities.owned import each, left_out, normal, owned, rows, singly, smaller_as_masked
from tests.networks import seeded


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
    """A GroupNorm of three groups of two over 3 + 3 channels: the middle group has one of each side.

    They would fall as left 0 and 1, left 2 with right 0, right 1 and 2: no layer has units that are alike.
    """

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


STREAM = [
    *(("entry.weight", 0), ("entry.bias", 0), ("encoder.self_attn.in_proj_weight", 1)),
    *(("encoder.self_attn.out_proj.weight", 0), ("encoder.self_attn.out_proj.bias", 0)),
    *((f"encoder.norm{number}.{name}", 0) for number in (1, 2) for name in ("weight", "bias")),
    *(("encoder.linear1.weight", 1), ("encoder.linear2.weight", 0), ("encoder.linear2.bias", 0), ("head.weight", 1)),
]
"""What a number of the tokens of `Encoder` owns, whose layer has its norms after."""


@pytest.mark.parametrize(
    "make, shape, expected",
    [
        (Recurrent, (9, 4), {
            "entry": singly(5, ("entry.weight", 0), ("entry.bias", 0), ("lstm.weight_ih_l0", 1)),
            "hidden": singly(7, ("hidden.weight", 0), ("hidden.bias", 0), ("head.weight", 1)),
        }),
        (Encoder, (9, 4), {
            "entry": singly(8, *STREAM),
            "encoder.linear1": singly(
                16, ("encoder.linear1.weight", 0), ("encoder.linear1.bias", 0), ("encoder.linear2.weight", 1)
            ),
        }),
        # left's two channels are added to two of five, right's three to the others: the larger part can fall
        (HalfCoupled, (2, 4, 4), {"right": {
            **singly(3, ("right.weight", 0), ("right.bias", 0)),
            **each([[2], [3], [4]], ("both.weight", 0), ("both.bias", 0), ("head.weight", 1)),
        }}),
        (Scaled, (2, 4, 4), {
            "conv": singly(4, ("conv.weight", 0), ("conv.bias", 0), ("scale", 0), ("head.weight", 1))
        }),
        (lambda: nn.Sequential(nn.Linear(4, 5), nn.LayerNorm((3, 5)), nn.Linear(5, 6), nn.Flatten(), nn.Linear(18, 3)),
         (3, 4), {
             "0": singly(5, ("0.weight", 0), ("0.bias", 0), ("1.weight", 1), ("1.bias", 1), ("2.weight", 1)),
             "2": {**singly(6, ("2.weight", 0), ("2.bias", 0)),
                   ("4.weight", 1): [[unit, 6 + unit, 12 + unit] for unit in range(6)]},
         }),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 3, 3), nn.Conv2d(3, 2, 8),
                               nn.Flatten()),
         (2, 8, 8), {
             "0": singly(4, ("0.weight", 0), ("0.bias", 0), ("2.weight", 0)),  # [in, out, ...]: rows read
             "2": singly(3, ("2.weight", 1), ("2.bias", 0), ("3.weight", 1)),
         }),
        # two outputs of each channel: they fall with it
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 8, 1, groups=4), nn.Conv2d(8, 2, 8), nn.Flatten()),
         (2, 8, 8), {"0": {
             **singly(4, ("0.weight", 0), ("0.bias", 0)),
             **each([[0, 1], [2, 3], [4, 5], [6, 7]], ("1.weight", 0), ("1.bias", 0), ("2.weight", 1)),
         }}),
        (Averaged, (2, 4, 4), {"conv": singly(8, ("conv.weight", 0), ("conv.bias", 0), ("head.weight", 1))}),
    ],
    ids=["lstm", "encoder", "half coupled", "scale", "wide norm", "transposed", "one channel a group", "averaged"],
)  # fmt: skip
def test_what_the_units_of_layers_of_many_kinds_own_worked_out_by_hand(make, shape, expected):
    model = seeded(make)
    assert owned(model, normal(1, *shape), Channels()) == expected
    smaller_as_masked(model, normal(2, *shape), Channels())


@pytest.mark.parametrize(
    "make, shape, free, reasons",
    [
        (Recurrent, (9, 4), {"entry", "hidden"},
         {"lstm.weight_ih_l0": "LSTM has no channels that can be cut: choose another granularity",
          "head": "its units are the model's output: they always stay"}),
        (Encoder, (9, 4), {"entry", "encoder.linear1"},
         {"encoder.self_attn.in_proj_weight": "MultiheadAttention has no channels that can be cut: choose another "
          "granularity", "encoder.self_attn.out_proj": "its units are pruned with those of entry"}),
        (HalfCoupled, (2, 4, 4), {"right"}, {"left": UNLIKE_PARTS}),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 2, 1, groups=2), nn.Conv2d(2, 2, 8), nn.Flatten()),
         (2, 8, 8), {"0"}, {"1": "its units fall only all together, for they meet in convolution in 1: they always "
                            "stay"}),
        (Torn, (2, 4, 4), set(), dict.fromkeys(("left", "right"), UNLIKE_PARTS)),
        (Shuffled, (2, 4, 4), {"second"},
         {"first": "the network does not run without some of its units (RuntimeError: shape '[1, 2, 1, 4, 4]' is "
          "invalid for input of size 48): they always stay"}),
    ],
    ids=["lstm", "encoder", "half coupled", "one output a group", "torn norm", "shuffled"],
)  # fmt: skip
def test_layers_that_cannot_be_cut_say_why_and_the_others_can(make, shape, free, reasons):
    model = seeded(make)
    assert rows(model, *shape).keys() == free
    assert {layer: why for layer, why in left_out(model, *shape).items() if layer in reasons} == reasons
