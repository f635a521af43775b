"""Numbers of a network's own that go down with its units, and networks that cannot do without some."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.granularities import Channels, Heads
from pruning.model.surgery import masked_copy, remove_units, without_units
from pruning.model.trial import compute_the_same
from pruning.model.units import SizeAttribute
from tests.networks import seeded

STEPS = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
VECTORS = STEPS[:, 0]


class Attention(nn.Module):
    """Four heads of two; how they are counted is up to the class that inherits. [b, t, 3] to [b, t, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(3, 24), nn.Linear(8, 2)

    def parts(self, values: Tensor) -> Tensor:
        """[b, t, 3 x heads x 2] to [3, b, heads, t, 2]."""
        raise NotImplementedError

    def forward(self, steps):
        query, key, value = self.parts(self.qkv(steps))
        return self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Counted(Attention):
    def __init__(self) -> None:
        super().__init__()
        self.num_heads = 4

    def parts(self, values):
        return values.unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)


class Measured(Attention):
    """The width of all heads together is a number, and so is the number of heads."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.heads = 8, 4

    def parts(self, values):
        query, key, value = values.split(self.inner, dim=2)
        return torch.stack([part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (query, key, value)])


class Shaped(Attention):
    """The sizes of a view are entries of a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = (3, 4, 2)

    def parts(self, values):
        return values.unflatten(2, self.shape).permute(2, 0, 3, 1, 4)


class Distracted(Counted):
    """A number of the same value that has nothing to do with heads: what the output is divided by."""

    def __init__(self) -> None:
        super().__init__()
        self.patience = 4

    def forward(self, steps):
        return super().forward(steps) / self.patience


class Wired(Attention):
    def parts(self, values):
        return values.unflatten(2, (3, 4, 2)).permute(2, 0, 3, 1, 4)


class Read(nn.Module):
    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention, self.head = attention, nn.Linear(2, 2)

    def forward(self, steps):
        return self.head(self.attention(steps))


HEAD = SizeAttribute("attention", "num_heads", 1)
SIZES = {
    Counted: {HEAD},
    Measured: {SizeAttribute("attention", "inner", 2), SizeAttribute("attention", "heads", 1)},
    Shaped: {SizeAttribute("attention", "shape", 1, 1)},
    Distracted: {HEAD},
}


@pytest.mark.parametrize("make", SIZES)
def test_numbers_of_ones_own_go_down_with_the_heads(make):
    model = seeded(lambda: Read(make()))
    (group,), _ = Heads().sorted_out(model, STEPS[:1])
    assert group.units == 4 and not group.fixed and set(group.sizes) == SIZES[make]
    keep = {group.name: torch.tensor([True, False, True, True])}
    before = copy.deepcopy(vars(model.attention))
    smaller = remove_units(model, STEPS[:1], [group], keep)
    assert compute_the_same(masked_copy(model, [group], keep), smaller, STEPS)
    for size in group.sizes:
        value, whole = getattr(smaller.attention, size.name), before[size.name]
        assert value == (whole - size.each if size.index < 0 else (3, 3, 2))
        assert getattr(model.attention, size.name) == whole


def test_heads_whose_number_is_written_in_are_set_to_zero_with_torchs_words():
    (group,), _ = Heads().sorted_out(seeded(lambda: Read(Wired())), STEPS[:1])
    assert group.fixed.startswith("the network does not run without some of its units (RuntimeError: unflatten")
    assert group.fixed.endswith(": they are set to zero") and group.sizes == ()


def test_of_a_list_one_entry_goes_down_and_it_stays_a_list():
    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.wide, self.narrow = nn.Linear(3, 10), nn.Linear(6, 2), nn.Linear(4, 2)
            self.sizes = [6, 4]

        def forward(self, vectors):
            wide, narrow = F.relu(self.first(vectors)).split(self.sizes, dim=1)
            return self.wide(wide) + self.narrow(narrow)

    model = seeded(Split)
    groups, _ = Channels().sorted_out(model, VECTORS[:1])
    # two parts of one row that are not equally many: the larger falls
    assert [(group.name, group.units, group.sizes) for group in groups] == [
        ("first", 6, (SizeAttribute("", "sizes", 1, 0),))
    ]
    assert {(piece.param, piece.dim): piece.index[5].tolist() for piece in groups[0].pieces} == {
        ("first.weight", 0): [5], ("first.bias", 0): [5], ("wide.weight", 1): [5],
    }  # fmt: skip
    keep = {"first": torch.arange(6) < 4}
    smaller = remove_units(model, VECTORS[:1], groups, keep)
    assert smaller.sizes == [4, 4] and model.sizes == [6, 4]
    assert compute_the_same(masked_copy(model, groups, keep), smaller, VECTORS)


class Scaled(nn.Module):
    """Divides by how many units there are: without some it computes something else."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, vectors):
        made = F.relu(self.first(vectors))
        return self.last(made) / made.shape[1]


def test_units_that_the_network_counts_stay():
    groups, reasons = Channels().sorted_out(seeded(Scaled), VECTORS[:1])
    assert groups == []
    assert reasons["first"].startswith("without its units the network computes something else than with them set to")


def test_units_whose_number_is_written_into_train_mode_stay():
    class Trained(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 6), nn.Linear(6, 2)

        def forward(self, vectors):
            made = self.first(vectors)
            return self.last(made.view(len(made), 6) if self.training else made)

    groups, reasons = Channels().sorted_out(seeded(Trained), VECTORS[:1])
    assert groups == [] and reasons["first"].startswith("in train mode the network does not run without some of its")


def test_one_network_that_is_wrong_leaves_the_others_removable():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scaled, self.plain, self.last = Scaled(), nn.Linear(2, 5), nn.Linear(5, 2)

        def forward(self, vectors):
            return self.last(F.relu(self.plain(self.scaled(vectors))))

    groups, reasons = Channels().sorted_out(seeded(Both), VECTORS[:1])
    assert [group.name for group in groups] == ["scaled.last", "plain"] and "scaled.first" in reasons


# -- two networks computing the same


def halves() -> tuple[nn.Module, list, dict[str, Tensor]]:
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 2)))
    groups = Channels().sorted_out(model, VECTORS[:1])[0]
    return model, groups, {"0": torch.tensor([True, False, False, True])}


def test_statistics_of_fewer_units_are_no_difference_and_a_wrong_slice_is_one():
    model, groups, keep = halves()
    masked, smaller = masked_copy(model, groups, keep), without_units(model, groups, keep)
    with torch.no_grad():
        assert not torch.allclose(masked(VECTORS), smaller(VECTORS), atol=1e-3)
    assert compute_the_same(masked, smaller, VECTORS)
    with torch.no_grad():
        smaller[3].weight.copy_(smaller[3].weight.flip(1))  # the other unit's columns
    assert not compute_the_same(masked, smaller, VECTORS)


def test_what_lies_within_is_compared_where_the_output_would_hide_it():
    class Hidden(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.inner, self.factor = nn.Identity(), factor

        def forward(self, vectors):
            return self.inner(vectors * self.factor) * 0 + vectors

    assert compute_the_same(Hidden(2.0), Hidden(2.0), VECTORS)
    assert not compute_the_same(Hidden(2.0), Hidden(3.0), VECTORS)


def test_outputs_that_are_no_numbers_show_nothing():
    class Nothing(nn.Module):
        def forward(self, vectors):
            return vectors * torch.nan

    assert not compute_the_same(Nothing(), Nothing(), VECTORS)


def test_the_given_networks_stay_in_float32():
    model, groups, keep = halves()
    smaller = without_units(model, groups, keep)
    compute_the_same(model, smaller, VECTORS)
    assert {parameter.dtype for each in (model, smaller) for parameter in each.parameters()} == {torch.float32}
