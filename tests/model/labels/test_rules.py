"""Every kind of operation between two layers: which rows of the first fall with which columns of the second."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pruning.model.labels.rules import table
from tests.model.labels.between import (
    IMAGES,
    STEPS,
    VECTORS,
    followed,
    locked_rows,
    parts_of,
    rows_and_columns,
    single,
)

EACH = single([0], [1], [2], [3])
PAIRS = [([0, 2], [0]), ([1, 3], [1])]
PAIRS_READ_BY_NOBODY = [([0, 2], []), ([1, 3], [])]
# units that fall only all together never fall: who reads them is not followed any further
ALL = [([0, 1, 2, 3], [])]


def written_into(made, _values):
    out = torch.zeros(1, 6)
    out[:, 1:5] = made
    return out


def scaled_half(made, _values):
    made = made.clone()
    made[:, :2].mul_(made[:, 2:])
    return made


def copied(made, _values):
    return torch.empty(1, 4).copy_(made)


def turned(made, _values):
    by = torch.polar(torch.ones(2), torch.tensor([0.5, 1.0]))
    return torch.view_as_real(torch.view_as_complex(made.view(1, 2, 2)) * by).flatten(1)


def squeezed(made, _values):
    made = made.clone()
    made.unsqueeze_(0)
    return made.squeeze(0)


# between the rows of a Linear layer [1, 4] and the columns of another
OF_VECTORS = {
    "nothing": (lambda h, _: h, EACH),
    "relu": (lambda h, _: F.relu(h), EACH),
    "twice beside itself": (lambda h, _: torch.cat([h, h], 1), single([0, 4], [1, 5], [2, 6], [3, 7])),
    "beside the input": (lambda h, x: torch.cat([x, h], 1), single([3], [4], [5], [6])),
    "stacked as rows": (lambda h, _: torch.stack([h, h], 1).flatten(1), single([0, 4], [1, 5], [2, 6], [3, 7])),
    "stacked as columns": (lambda h, _: torch.stack([h, h], 2).flatten(1), single([0, 1], [2, 3], [4, 5], [6, 7])),
    "padded": (lambda h, _: F.pad(h, (1, 2)), single([1], [2], [3], [4])),
    "halves multiplied": (lambda h, _: torch.mul(*h.chunk(2, 1)), PAIRS),
    "split unevenly": (lambda h, _: h.split([1, 3], 1)[1], single([], [0], [1], [2])),
    "indexed": (lambda h, _: h[:, [2, 0, 3]], single([1], [], [0], [2])),
    "rolled": (lambda h, _: h.roll(1, 1), single([1], [2], [3], [0])),
    "flipped": (lambda h, _: h.flip(1), single([3], [2], [1], [0])),
    "repeated": (lambda h, _: h.repeat_interleave(2, 1), single([0, 1], [2, 3], [4, 5], [6, 7])),
    "glu": (lambda h, _: F.glu(h, 1), PAIRS),
    "added in another order": (lambda h, _: h + h[:, [1, 0, 3, 2]], [([0, 1], [0, 1]), ([2, 3], [2, 3])]),
    "added to numbers of the code": (lambda h, _: h + torch.arange(4.0), EACH),
    "multiplied with one value of the input": (lambda h, x: h * x[:, :1], EACH),
    "added to the input": (lambda h, x: h + F.pad(x, (0, 1)), ALL),
    "summed up on the way": (lambda h, _: h.cumsum(1), ALL),
    "sorted": (lambda h, _: h.sort(1).values, ALL),
    "softmax": (lambda h, _: h.softmax(1), EACH),
    "mean over units": (lambda h, _: h.mean(1, keepdim=True), single([], [], [], [])),
    "times the mean over units": (lambda h, _: h * h.mean(1, keepdim=True), EACH),
    "added up by index": (lambda h, _: torch.zeros(2, 4).index_add(0, torch.tensor([1]), h), EACH),
    "written into a view": (written_into, single([1], [2], [3], [4])),
    "changed in place through a view": (scaled_half, [([0, 2], [0, 2]), ([1, 3], [1, 3])]),
    "copied": (copied, EACH),
    "reshaped in place": (squeezed, EACH),
    "turned in pairs, as complex numbers": (turned, [([0, 1], [0, 1]), ([2, 3], [2, 3])]),
    "a matrix times the vector": (lambda h, _: torch.mv(torch.ones(3, 4), h[0])[None], single([], [], [], [])),
    "the vector times itself": (lambda h, _: torch.dot(h[0, :2], h[0, 2:]).reshape(1, 1), PAIRS_READ_BY_NOBODY),
    "distances to points": (lambda h, _: torch.cdist(h, torch.ones(3, 4)), single([], [], [], [])),
    "einsum": (lambda h, _: torch.einsum("bi,ij->bj", h, torch.ones(4, 2)), single([], [], [], [])),
}


@pytest.mark.parametrize("name", OF_VECTORS)
def test_units_of_vectors(name):
    between, expected = OF_VECTORS[name]
    width = between(torch.zeros(1, 4), torch.zeros(1, 3)).shape[1]
    found = followed(nn.Linear(3, 4), between, nn.Linear(width, 2), VECTORS)
    assert rows_and_columns(found) == expected
    assert locked_rows(found) == {}
    assert locked_rows(found, "last.weight") == dict.fromkeys(
        range(2), "its units are the model's output: they always stay"
    )


# statistics over units are noted: without some of them the others change
AVERAGED = {
    "softmax": lambda h, _: h.softmax(1),
    "mean over units": lambda h, _: h.mean(1, keepdim=True),
    "largest unit": lambda h, _: h.amax(1, keepdim=True),
    "layer_norm": lambda h, _: F.layer_norm(h, (4,)),
    "sum of what is not zero with its unit": lambda h, _: h.exp().sum(1, keepdim=True),
}
NOT_AVERAGED = {
    "sum": lambda h, _: h.sum(1, keepdim=True),
    "length": lambda h, _: h.norm(dim=1, keepdim=True),
    "softmax over the batch": lambda h, _: h.softmax(0),
}


@pytest.mark.parametrize("name", [*AVERAGED, *NOT_AVERAGED])
def test_statistics_over_units_are_noted(name):
    between = (AVERAGED | NOT_AVERAGED)[name]
    found = followed(nn.Linear(3, 4), between, nn.Linear(between(torch.zeros(1, 4), None).shape[1], 2), VECTORS)
    rows = {
        root
        for axis in found.axes
        if axis.param == "first.weight" and not axis.dim
        for root in found.roots_of(axis).tolist()
    }
    assert len(rows) == 4 and (rows <= found.averaged.keys() if name in AVERAGED else not rows & found.averaged.keys())


# between the output channels of a convolution over images [1, channels, 4, 4] and the columns of another
OF_IMAGES = {
    "pooled": (4, nn.MaxPool2d(2), EACH),
    "resized": (4, nn.Upsample(scale_factor=2, mode="bilinear"), EACH),
    "instance norm": (4, nn.InstanceNorm2d(4), EACH),
    "group norm": (4, nn.GroupNorm(2, 4), [([0, 1], [0, 1]), ([2, 3], [2, 3])]),
    "group norm of single channels": (4, nn.GroupNorm(4, 4), EACH),
    "group norm of one group": (4, nn.GroupNorm(1, 4), EACH),
    "pixels out of channels": (8, nn.PixelShuffle(2), [([0, 1, 2, 3], [0]), ([4, 5, 6, 7], [1])]),
    "channels out of pixels": (2, nn.PixelUnshuffle(2), single([0, 1, 2, 3], [4, 5, 6, 7])),
    "channels shuffled": (4, nn.ChannelShuffle(2), single([0], [2], [1], [3])),
    "mirrored at the edge": (4, nn.ReflectionPad2d(1), EACH),
}


@pytest.mark.parametrize("name", OF_IMAGES)
def test_units_of_images(name):
    channels, between, expected = OF_IMAGES[name]
    read = between(torch.zeros(1, channels, 4, 4)).shape[1]
    found = followed(nn.Conv2d(2, channels, 1), between, nn.Conv2d(read, 3, 1), IMAGES)
    assert rows_and_columns(found) == expected and locked_rows(found) == {}


def test_a_channel_that_is_flattened_is_as_many_columns_as_it_has_pixels():
    found = followed(nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(32, 3), IMAGES)
    assert rows_and_columns(found) == single([*range(16)], [*range(16, 32)])


def test_patches_of_unfold_are_channel_by_channel():
    found = followed(nn.Conv2d(2, 2, 1), lambda h, _: F.unfold(h, 2).transpose(1, 2), nn.Linear(8, 3), IMAGES)
    assert rows_and_columns(found) == single([0, 1, 2, 3], [4, 5, 6, 7])


@pytest.mark.parametrize(
    "norm, buffers",
    [(nn.BatchNorm1d(4), ["running_mean", "running_var"]), (nn.LayerNorm(4), [])],
    ids=["batch", "layer"],
)
def test_a_norm_owns_a_scale_and_a_shift_for_each_unit(norm, buffers):
    found = followed(nn.Linear(3, 4), norm, nn.Linear(4, 2), VECTORS)
    assert parts_of(found, "first.weight")[1] == {
        ("first.weight", 0): [1], ("first.bias", 0): [1], ("last.weight", 1): [1],
        **{(f"between.{name}", 0): [1] for name in ["weight", "bias", *buffers]},
    }  # fmt: skip


def test_a_softmax_over_units_that_are_flattened_with_positions_keeps_them_together():
    # [1, 5, 4] as 20 values that share out what there is: a channel is gone at every position or at none
    found = followed(nn.Linear(3, 4), lambda h, _: h.flatten(1).softmax(1), nn.Linear(20, 2), STEPS)
    assert rows_and_columns(found) == single(*([unit + 4 * step for step in range(5)] for unit in range(4)))


class TestConvolutions:
    def test_in_two_groups(self):
        found = followed(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 6, 1, groups=2), nn.Conv2d(6, 3, 1), IMAGES)
        # both groups lose their first input or their second, and their first, second or third output
        assert [part["first.weight", 0] for part in parts_of(found, "first.weight")] == [[0, 2], [1, 3]]
        assert parts_of(found, "between.weight", 1) == [
            {("first.weight", 0): [i, i + 2], ("first.bias", 0): [i, i + 2], ("between.weight", 1): [i]} for i in (0, 1)
        ]
        assert parts_of(found, "between.weight") == [
            {("between.weight", 0): [i, i + 3], ("between.bias", 0): [i, i + 3], ("last.weight", 1): [i, i + 3]}
            for i in (0, 1, 2)
        ]

    @pytest.mark.parametrize("each", [1, 2])
    def test_of_single_channels(self, each):
        found = followed(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 3 * each, 3, groups=3), nn.Conv2d(3 * each, 3, 1), IMAGES)
        made = [[0], [1], [2]] if each == 1 else [[0, 1], [2, 3], [4, 5]]
        assert parts_of(found, "first.weight") == [
            {
                ("first.weight", 0): [i], ("first.bias", 0): [i],
                ("between.weight", 0): made[i], ("between.bias", 0): made[i], ("last.weight", 1): made[i],
            }
            for i in range(3)
        ]  # fmt: skip

    def test_transposed(self):
        found = followed(nn.Conv2d(2, 4, 1), nn.ConvTranspose2d(4, 3, 2), nn.Conv2d(3, 2, 1), IMAGES)
        assert parts_of(found, "first.weight")[2] == {
            ("first.weight", 0): [2], ("first.bias", 0): [2], ("between.weight", 0): [2],
        }  # fmt: skip
        assert parts_of(found, "between.weight", 1) == [
            {("between.weight", 1): [i], ("between.bias", 0): [i], ("last.weight", 1): [i]} for i in range(3)
        ]

    def test_transposed_in_two_groups(self):
        found = followed(nn.Conv2d(2, 4, 1), nn.ConvTranspose2d(4, 6, 2, groups=2), nn.Conv2d(6, 2, 1), IMAGES)
        assert parts_of(found, "first.weight") == [
            {("first.weight", 0): [i, i + 2], ("first.bias", 0): [i, i + 2], ("between.weight", 0): [i, i + 2]}
            for i in (0, 1)
        ]
        assert parts_of(found, "between.weight", 1) == [
            {("between.weight", 1): [i], ("between.bias", 0): [i, i + 3], ("last.weight", 1): [i, i + 3]}
            for i in range(3)
        ]

    def test_over_time(self):
        found = followed(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Conv1d(4, 3, 1), torch.randn(1, 2, 8))
        assert rows_and_columns(found) == EACH


def test_dimensions_of_an_embedding():
    found = followed(nn.Embedding(7, 4), nn.ReLU(), nn.Linear(4, 2), torch.tensor([[1, 2, 0]]))
    assert rows_and_columns(found, rows_dim=1) == EACH


def test_a_bag_of_words():
    found = followed(nn.EmbeddingBag(7, 4, mode="mean"), nn.ReLU(), nn.Linear(4, 2), torch.tensor([[1, 2, 0]]))
    assert rows_and_columns(found, rows_dim=1) == EACH


def test_an_operation_that_is_not_known_keeps_its_units_by_name():
    found = followed(nn.Linear(3, 4), lambda h, _: h.renorm(2, 0, 1.0), nn.Linear(4, 2), VECTORS)
    assert locked_rows(found) == dict.fromkeys(
        range(4), "what torch's renorm makes of its units is not known (renorm): they always stay"
    )
    assert rows_and_columns(found) == single([], [], [], [])


def test_the_module_of_an_unknown_operation_is_named():
    class Renorm(nn.Module):
        def forward(self, values):
            return values.renorm(2, 0, 1.0)

    found = followed(nn.Linear(3, 4), Renorm(), nn.Linear(4, 2), VECTORS)
    assert "is not known (renorm in between)" in locked_rows(found)[0]


def test_a_rule_that_does_not_know_a_way_to_call_keeps_its_units(monkeypatch):
    def confused(_call):
        raise KeyError("dim")

    monkeypatch.setitem(table.RULES, "relu", confused)
    found = followed(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), VECTORS)
    assert "what torch's relu makes of its units is not known" in locked_rows(found)[0]
    assert len(locked_rows(found)) == 4


def test_a_slice_of_a_parameter_that_is_multiplied_with_units_is_theirs():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(4))

        def forward(self, values):
            return values * self.scale

    found = followed(nn.Linear(3, 4), Scaled(), nn.Linear(4, 2), VECTORS)
    assert parts_of(found, "between.scale")[3] == {
        ("first.weight", 0): [3], ("first.bias", 0): [3], ("between.scale", 0): [3], ("last.weight", 1): [3],
    }  # fmt: skip


def test_a_tied_weight_is_one_tensor():
    first, last = nn.Linear(4, 4), nn.Linear(4, 4)
    middle = nn.Linear(4, 4)
    middle.weight = first.weight
    found = followed(first, nn.Sequential(nn.Tanh(), middle), last, torch.randn(1, 4))
    # the rows of the second are those of the first, whose units it reads: row i, column i
    assert parts_of(found, "first.weight")[1] == {
        ("first.weight", 0): [1], ("first.weight", 1): [1], ("first.bias", 0): [1],
        ("between.1.bias", 0): [1], ("last.weight", 1): [1],
    }  # fmt: skip
    # but columns of the first read the input, which has no units
    assert len(locked_rows(found)) == 4 and "values that no layer makes" in locked_rows(found)[0]


def test_experts_that_share_out_the_rows_read_and_make_the_same_units():
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.randn(2, 4, 8))  # [experts, in, out]

        def forward(self, rows):
            return torch._grouped_mm(rows, self.weights, offs=torch.tensor([0, 1], dtype=torch.int32))

    found = followed(nn.Linear(3, 4), Experts(), nn.Linear(8, 2), VECTORS)
    for row, part in enumerate(parts_of(found, "first.weight")):
        assert part == {("first.weight", 0): [row], ("first.bias", 0): [row], ("between.weights", 1): [row]}
    for unit, part in enumerate(parts_of(found, "between.weights", 2)):
        assert part == {("between.weights", 2): [unit], ("last.weight", 1): [unit]}
    assert locked_rows(found) == {}
