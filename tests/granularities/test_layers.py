import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.granularities import Layers
from pruning.model.units import apply_masks, masks_of
from pruning.testing.untouched import untouched
from tests.architectures import inputs_of, made
from tests.networks import seeded

IMAGES = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


class Basic(nn.Module):
    """A ResNet block that ends in ReLU; `inner` adds its branch, the others do something that is no shortcut."""

    def __init__(self, ends: str = "relu") -> None:
        super().__init__()
        self.ends = ends
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.project = nn.Conv2d(3, 3, 1) if ends == "projection" else nn.Identity()
        self.scale = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        branch = self.scale * self.bn2(self.conv2(F.relu(self.bn1(self.conv1(maps)))))
        total = self.project(maps) + branch
        return torch.sigmoid(total) if self.ends == "sigmoid" else F.relu(total)


class Stack(nn.Module):
    """A stem and three blocks in stages, with a block of another kind between them."""

    def __init__(self, odd: str = "projection") -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 1)
        self.stage1 = nn.Sequential(Basic(), Basic())
        self.odd = Basic(odd)
        self.stage2 = nn.Sequential(Basic())
        self.head = nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stage2(self.odd(self.stage1(F.relu(self.stem(images)))))
        return self.head(maps.mean(dim=(2, 3)))


BLOCKS = ("stage1.0", "stage1.1", "stage2.0")


@pytest.mark.parametrize("odd", ["projection", "sigmoid"])
def test_blocks_that_pass_their_input_on_are_found(odd):
    model = seeded(lambda: Stack(odd))
    (group,), reasons = Layers().sorted_out(model, IMAGES[:1])
    assert group.name == "stage1.0.conv1" and group.layout == (3,)
    assert group.members == tuple(f"{block}.conv{n}" for block in BLOCKS for n in (1, 2))
    owners = {piece.param: piece.unit for piece in group.pieces}
    assert owners == {
        f"{block}.{name}": unit
        for unit, block in enumerate(BLOCKS)
        for name, _ in model.get_submodule(block).named_parameters()
    }
    assert {piece.param for piece in group.ranked} == {f"{block}.conv{n}.weight" for block in BLOCKS for n in (1, 2)}
    assert reasons["odd.conv1"] == "odd cannot be skipped: without its weights it does not pass its input on"
    assert reasons["stem"] == reasons["head"] == "it lies in no block that can be skipped: choose channels or weights"


def test_a_masked_block_is_a_block_that_is_not_there():
    model = seeded(Stack)
    groups, _ = Layers().sorted_out(model, IMAGES[:1])
    without, masked = copy.deepcopy(model), copy.deepcopy(model)
    without.stage1[1] = nn.Identity()
    apply_masks(masked, masks_of(groups, {"stage1.0.conv1": torch.tensor([True, False, True])}, masked))
    with torch.no_grad():
        assert torch.equal(masked(IMAGES), without(IMAGES))
        assert not torch.allclose(masked(IMAGES), model(IMAGES), atol=1e-3)


def test_a_unit_is_as_large_as_all_weights_of_its_block():
    model = seeded(Stack)
    (group,), _ = Layers().sorted_out(model, IMAGES[:1])
    ones = {name: torch.ones_like(model.get_parameter(name)) for name in group.params}
    assert group.sums(ones).tolist() == [2 * 3 * 4 * 9.0] * 3


def test_blocks_with_norms_before_can_be_skipped_and_those_with_norms_after_cannot():
    (group,), _ = Layers().sorted_out(made("language_model"), inputs_of("language_model", count=1))
    assert group.layout == (2,) and group.name == "blocks.0.attn.qkv"
    groups, reasons = Layers().sorted_out(made("encoder"), inputs_of("encoder", count=1))
    assert groups == []  # of the two torch layers only one has its norms before
    assert reasons["after.linear1"].startswith("after cannot be skipped: without its weights")
    assert reasons["before.linear1"] == "only before can be skipped, and it has no other to compete with"


def test_shared_and_frozen_parameters_keep_their_block():
    model = seeded(Stack)
    model.stage1[0].conv1.weight = model.odd.conv1.weight
    model.stage2[0].bn1.bias.requires_grad_(False)
    groups, reasons = Layers().sorted_out(model, IMAGES[:1])
    assert groups == []
    assert (
        reasons["stage1.0.conv2"] == "stage1.0 cannot be skipped: it shares stage1.0.conv1.weight with odd.conv1.weight"
    )
    assert "stage2.0.bn1.bias is frozen" in reasons["stage2.0.conv1"]
    assert "only stage1.1 can be skipped" in reasons["stage1.1.conv1"]


class Plus(nn.Module):
    """Adds what its two layers make of its input."""

    def __init__(self, first: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x).relu())


def test_a_block_with_a_module_that_another_block_has_too_stays():
    shared = nn.Linear(3, 3)
    model = nn.Sequential(Plus(shared), Plus(shared), Plus(nn.Linear(3, 3)), Plus(nn.Linear(3, 3)), nn.Linear(3, 2))
    (group,), reasons = Layers().sorted_out(model.eval(), torch.ones(1, 3))
    assert group.members == ("2.first", "2.second", "3.first", "3.second")
    assert reasons["0.second"] == "0 cannot be skipped: it shares 0.first.weight with 1.first.weight"
    assert reasons["1.second"] == "1 cannot be skipped: it shares 1.first.weight with 0.first.weight"
    # of what stays nothing changes when one that may be pruned does
    before = copy.deepcopy(model.state_dict())
    apply_masks(model, masks_of([group], {group.name: torch.tensor([False, True])}, model))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"2.{layer}.{tensor}" for layer in ("first", "second") for tensor in ("weight", "bias")}


@torch.no_grad()
def test_a_block_that_is_called_in_two_places_is_one_block():
    twice = Plus(nn.Linear(3, 3))
    model = nn.Sequential(twice, Plus(nn.Linear(3, 3)), nn.Sequential(twice), nn.Linear(3, 2)).eval()
    (group,), _ = Layers().sorted_out(model, torch.ones(1, 3))
    assert group.members == ("0.first", "0.second", "1.first", "1.second")
    expected = nn.Sequential(model[1], model[3])(torch.ones(1, 3))
    apply_masks(model, masks_of([group], {group.name: torch.tensor([False, True])}, model))
    assert torch.equal(model(torch.ones(1, 3)), expected)


def test_a_module_of_two_parents_within_a_block_keeps_its_weights():
    class TwoParents(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            shared = nn.Linear(3, 3)
            self.first, self.second = nn.Sequential(shared), nn.Sequential(nn.ReLU(), shared)

        def forward(self, values: Tensor) -> Tensor:
            return values + self.second(self.first(values))

    model = seeded(lambda: nn.Sequential(TwoParents(), Plus(nn.Linear(3, 3)), nn.Linear(3, 2)))
    with untouched(model):
        Layers().sorted_out(model, torch.ones(1, 3))


def test_a_block_that_gets_nothing_in_one_of_its_calls_is_judged_by_the_others():
    class Expert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.fc = nn.LayerNorm(3), nn.Linear(3, 3)

        def forward(self, rows: Tensor) -> Tensor:
            return rows + self.fc(self.norm(rows))

    class Routed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts, self.head = nn.ModuleList([Expert(), Expert(), Expert()]), nn.Linear(3, 2)

        def forward(self, rows: Tensor) -> Tensor:
            parts = [rows[:0], rows[:1], rows[1:]]
            first = torch.cat([self.experts[0](part) for part in parts])
            return self.head(self.experts[1](first) + self.experts[2](rows[:0]).sum())

    (group,), reasons = Layers().sorted_out(seeded(Routed), torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]]))
    assert group.members == ("experts.0.fc", "experts.1.fc")
    assert "experts.2 cannot be skipped" in reasons["experts.2.fc"]


def test_a_block_that_passes_on_what_it_sees_but_not_all_there_is_stays():
    class Clamped(Basic):
        """At most what the example holds: only other inputs show that it cuts them off."""

        def forward(self, maps: Tensor) -> Tensor:
            return super().forward(maps).round(decimals=0) if maps.frac().any() else super().forward(maps)

    class Whole(Stack):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.odd = nn.Identity(), Clamped()

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.stage2(self.stage1(self.odd(images))).mean(dim=(2, 3)))

    (group,), reasons = Layers().sorted_out(seeded(Whole), IMAGES[:1].abs().round())
    assert group.layout == (3,) and "odd cannot be skipped" in reasons["odd.conv1"]


def test_blocks_that_change_their_input_in_place_are_evaluated_by_what_went_in():
    class InPlace(Basic):
        def forward(self, maps: Tensor) -> Tensor:
            maps += self.bn2(self.conv2(F.relu(self.bn1(self.conv1(maps)))))
            return maps

    class Doubling(Basic):
        def forward(self, maps: Tensor) -> Tensor:
            maps *= 2
            return maps + 0 * self.conv1.weight.sum()

    model = seeded(Stack)
    model.stage1[0], model.odd = seeded(InPlace), seeded(Doubling)
    (group,), reasons = Layers().sorted_out(model, IMAGES[:1])
    assert group.members[::2] == ("stage1.0.conv1", "stage2.0.conv1")
    assert "odd cannot be skipped" in reasons["odd.conv1"]
    # what follows the first block is no longer what a ReLU left: the ReLU of the second changes it
    assert "stage1.1 cannot be skipped" in reasons["stage1.1.conv1"]
