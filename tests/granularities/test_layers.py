import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.granularities import Layers
from pruning.model.module_sizes import ModuleSizes, sizes_between
from pruning.model.surgery import masked_copy, remove_units
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


@torch.no_grad()
def test_a_block_that_is_removed_is_not_there_and_what_is_left_can_be_trained():
    model = seeded(Stack)
    groups, _ = Layers().sorted_out(model, IMAGES[:1])
    without, smaller = copy.deepcopy(model), remove_units(model, IMAGES[:1], groups, {groups[0].name: KEEP})
    without.stage1[1] = nn.Identity()
    assert torch.allclose(smaller(IMAGES), without(IMAGES), atol=1e-6)
    assert smaller.state_dict().keys() == without.state_dict().keys()
    assert sizes_between(model, smaller) == ModuleSizes(classes={"stage1.1": "Skipped"})
    with torch.enable_grad():
        smaller.train()(IMAGES).sum().backward()
    assert all(parameter.grad is not None for parameter in smaller.stage1[0].conv1.parameters())


KEEP = torch.tensor([True, False, True])
ROWS = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


class Answering(nn.Module):
    """A block that gives its output in one of several forms."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form, self.fc = form, nn.Linear(3, 3)

    def forward(self, rows: Tensor) -> object:
        output = rows + self.fc(rows)
        forms = {"tensor": output, "one": (output,), "two": (output, rows.sum()), "list": [output]}
        return forms[self.form]


class Asking(nn.Module):
    """Takes apart what its blocks give, and asks those of some numbers how wide their layer is."""

    def __init__(self, form: str, blocks: int = 3, asked: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.asked = asked
        self.layers, self.head = nn.ModuleList(Answering(form) for _ in range(blocks)), nn.Linear(3, 2)

    def forward(self, rows: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            if number in self.asked:
                assert layer.fc.in_features == 3
            found = layer(rows)
            rows = found if isinstance(found, Tensor) else found[0]
        return self.head(rows)


@torch.no_grad()
@pytest.mark.parametrize(("form", "becomes"), [("tensor", "Skipped"), ("one", "SkippedOfOne"), ("two", "SkippedOfTwo")])
def test_a_block_is_removed_whether_its_output_comes_alone_or_in_a_tuple(form, becomes):
    model = seeded(lambda: Asking(form))
    (group,), _ = Layers().sorted_out(model, ROWS[:1])
    assert [(block.path, block.becomes) for block in group.blocks] == [(f"layers.{n}", becomes) for n in range(3)]
    smaller = remove_units(model, ROWS[:1], [group], {group.name: KEEP})
    assert torch.equal(smaller(ROWS), masked_copy(model, [group], {group.name: KEEP})(ROWS))
    assert isinstance(smaller.layers[1](ROWS), Tensor) == (form == "tensor")


def test_blocks_whose_output_comes_in_another_form_are_only_set_to_zero():
    model = seeded(lambda: Asking("list"))
    (group,), _ = Layers().sorted_out(model, ROWS[:1])
    assert group.fixed == "layers.0 cannot be taken out (it gives more than a tensor): they are set to zero"
    smaller = remove_units(model, ROWS[:1], [group], {group.name: KEEP})
    assert smaller.state_dict().keys() == model.state_dict().keys()


ASKED = "the network does not run without some of its units (AttributeError: 'Skipped' object has no attribute 'fc')"


def test_blocks_that_are_asked_for_more_than_their_output_are_a_group_of_their_own():
    groups, reasons = Layers().sorted_out(seeded(lambda: Asking("tensor", 5, asked=(0, 3))), ROWS[:1])
    assert [group.members for group in groups] == [
        ("layers.0.fc", "layers.3.fc"),
        tuple(f"layers.{n}.fc" for n in (1, 2, 4)),
    ]
    assert [group.fixed for group in groups] == [f"layers.0 cannot be taken out ({ASKED}): they are set to zero", ""]
    assert reasons == {"head": "it lies in no block that can be skipped: choose channels or weights"}


def test_a_single_block_that_is_asked_for_more_stays():
    (group,), reasons = Layers().sorted_out(seeded(lambda: Asking("tensor", 3, asked=(1,))), ROWS[:1])
    assert group.members == ("layers.0.fc", "layers.2.fc") and not group.fixed
    assert reasons["layers.1.fc"] == f"it can only be set to zero ({ASKED}), and it has no other to compete with"


def test_where_but_one_block_can_be_removed_all_are_set_to_zero():
    (group,), _ = Layers().sorted_out(seeded(lambda: Asking("tensor", 3, asked=(0, 2))), ROWS[:1])
    assert group.layout == (3,) and group.fixed == f"layers.0 cannot be taken out ({ASKED}): they are set to zero"


def test_the_first_of_torchs_own_layers_stays_for_torch_asks_it_which_way_its_inputs_lie():
    layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, norm_first=True)
    model = seeded(lambda: nn.Sequential(nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), nn.Linear(4, 2)))
    (group,), reasons = Layers().sorted_out(model, torch.randn(1, 5, 4))
    assert [block.path for block in group.blocks] == ["0.layers.1", "0.layers.2"] and not group.fixed
    assert "'Skipped' object has no attribute 'self_attn'" in reasons["0.layers.0.linear1"]


@torch.no_grad()
def test_an_activation_that_all_blocks_share_stays_where_a_block_goes():
    class Sharing(nn.Module):
        def __init__(self, act: nn.Module) -> None:
            super().__init__()
            self.act, self.fc = act, nn.Linear(3, 3)

        def forward(self, rows: Tensor) -> Tensor:
            return rows + self.fc(self.act(rows))

    act = nn.ReLU()
    model = seeded(lambda: nn.Sequential(Sharing(act), Sharing(act), Sharing(act), nn.Linear(3, 2)))
    (group,), _ = Layers().sorted_out(model, ROWS[:1])
    smaller = remove_units(model, ROWS[:1], [group], {group.name: torch.tensor([False, True, True])})
    assert torch.equal(smaller(ROWS), model[1:](ROWS))
    assert sizes_between(model, smaller) == ModuleSizes(classes={"0": "Skipped"})


def test_a_block_whose_shortcut_is_rounded_can_be_removed_all_the_same():
    class Rounding(Answering):
        """As Mamba's: in float64, in which the trial compares, this changes what goes through."""

        def forward(self, rows: Tensor) -> Tensor:
            return (rows + self.fc(rows)).float().to(rows)

    class RoundedFirst(nn.Linear):
        def forward(self, rows: Tensor) -> Tensor:
            return super().forward(rows.float().to(rows))

    model = seeded(lambda: Asking("tensor"))
    model.layers[1], model.head = seeded(lambda: Rounding("tensor")), seeded(lambda: RoundedFirst(3, 2))
    (group,), _ = Layers().sorted_out(model, ROWS[:1])
    assert group.layout == (3,) and not group.fixed
