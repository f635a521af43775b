import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pruning.errors import SurgeryError
from pruning.granularities import Channels
from pruning.model.labels.dependencies import dependencies_of
from pruning.model.preparation import open_model
from pruning.model.surgery import largest_difference, magnitude, masked_copy, remove_units, zeroed_note
from pruning.model.units import Keep, Slice, UnitGroup, apply_masks, masks_of
from tests.networks import CPU, IMAGE, NETWORKS, VECTOR, Residual, conv_bn, mlp, samples, seeded, workload


def cut(model: nn.Module, example: torch.Tensor, seed: int) -> tuple[list[UnitGroup], Keep]:
    """The model's channel groups and a random half of their units."""
    groups = Channels().sorted_out(model, example)[0]
    draw = torch.Generator().manual_seed(seed)
    return groups, {group.name: torch.randperm(group.units, generator=draw) * 2 < group.units for group in groups}


def masked_and_removed(model: nn.Module, inputs: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    groups, keep = cut(model, inputs[:1], seed)
    masked = copy.deepcopy(model)
    apply_masks(masked, masks_of(groups, keep, masked))
    smaller = remove_units(masked, inputs[:1], groups, keep)
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in model.parameters())
    with torch.no_grad():
        return masked(inputs), smaller(inputs)


class Padded(nn.Module):
    """Conv-BatchNorm whose norm has no scale and shift, then a sigmoid: nothing at zero stays zero on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6, affine=False)
        self.prelu, self.fc = nn.PReLU(6), nn.Linear(216, 3)

    def forward(self, images):
        return self.fc(torch.sigmoid(self.prelu(self.norm(self.conv(images)))).flatten(1))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("make, shape", [*NETWORKS.values(), (Padded, IMAGE)], ids=[*NETWORKS, "sigmoid"])
def test_masked_and_removed_compute_the_same(make, shape, seed):
    masked, removed = masked_and_removed(seeded(make, seed), samples(shape, 16, seed).inputs, seed)
    assert torch.allclose(masked, removed, atol=1e-5) and masked.std() > 1e-3


@pytest.mark.parametrize("layout", ["channels last", "float64", "transposed"])
def test_other_layouts_are_cut_just_so(layout):
    model, inputs = seeded(conv_bn), samples(IMAGE, 16, 0).inputs
    if layout == "channels last":
        model = model.to(memory_format=torch.channels_last)
        inputs = inputs.to(memory_format=torch.channels_last)
    elif layout == "float64":
        model, inputs = model.double(), inputs.double()
    else:
        model[4].weight = nn.Parameter(model[4].weight.detach().transpose(0, 1).contiguous().transpose(0, 1))
        assert not model[4].weight.is_contiguous()
    masked, removed = masked_and_removed(model, inputs, 1)
    assert torch.allclose(masked, removed, atol=1e-5)


def test_the_given_model_is_untouched_and_the_names_stay():
    model = seeded(Residual)
    before = copy.deepcopy(model.state_dict())
    groups, keep = cut(model, torch.zeros(1, *IMAGE), 0)
    smaller = remove_units(model, torch.zeros(1, *IMAGE), groups, keep)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert list(smaller.state_dict()) == list(before)
    assert all(parameter.grad is None for parameter in [*model.parameters(), *smaller.parameters()])


def test_what_stays_is_what_was_there():
    model = seeded(mlp)
    groups = Channels().sorted_out(model, torch.zeros(1, 6))[0]
    keep = {"0": torch.tensor([True, False, True, False, True]), "2": torch.ones(4, dtype=torch.bool)}
    smaller = remove_units(model, torch.zeros(1, 6), groups, keep)
    assert torch.equal(smaller[0].weight, model[0].weight[[0, 2, 4]])
    assert torch.equal(smaller[0].bias, model[0].bias[[0, 2, 4]])
    assert torch.equal(smaller[2].weight, model[2].weight[:, [0, 2, 4]])
    assert torch.equal(smaller[4].weight, model[4].weight)
    assert (smaller[0].out_features, smaller[2].in_features) == (3, 3)


def test_keeping_all_gives_an_equal_copy():
    model = seeded(Residual)
    groups = Channels().sorted_out(model, torch.zeros(1, *IMAGE))[0]
    same = remove_units(model, torch.zeros(1, *IMAGE), groups, {g.name: torch.ones(g.units).bool() for g in groups})
    assert same is not model
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), same.state_dict().values(), strict=True))


@pytest.mark.parametrize("training", [False, True])
def test_frozen_parameters_and_the_training_flag_are_as_before(training):
    model = seeded(conv_bn).train(training)
    model[9].weight.requires_grad_(False)
    model[1].bias.requires_grad_(False)
    groups, keep = cut(model, torch.zeros(1, *IMAGE), 0)
    smaller = remove_units(model, torch.zeros(1, *IMAGE), groups, keep)
    assert {name for name, p in smaller.named_parameters() if not p.requires_grad} == {"9.weight", "1.bias"}
    assert smaller.training is training


def test_a_smaller_model_can_be_cut_again():
    model = seeded(Residual)
    for seed in range(3):
        groups, keep = cut(model, torch.zeros(1, *IMAGE), seed)
        model = remove_units(model, torch.zeros(1, *IMAGE), groups, keep)
    assert model(torch.zeros(2, *IMAGE)).shape == (2, 3)


def test_removing_every_unit_of_a_layer_is_refused_by_name():
    model = seeded(mlp)
    groups = Channels().sorted_out(model, torch.zeros(1, 6))[0]
    keep = {"0": torch.zeros(5, dtype=torch.bool), "2": torch.ones(4, dtype=torch.bool)}
    with pytest.raises(SurgeryError, match="0: all 5 units would be removed; keep at least one"):
        remove_units(model, torch.zeros(1, 6), groups, keep)


class Wired(nn.Module):
    """A forward that has the width of a layer written into it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(64 * 4, 3)

    def forward(self, images):
        return self.fc(F.relu(self.conv(images)).reshape(-1, 256))


def test_failing_surgery_says_why_and_leaves_the_old_model():
    model = seeded(Wired)
    before = copy.deepcopy(model.state_dict())
    group = UnitGroup("conv", ("conv",), (4,), (Slice("conv.weight", 0, torch.arange(4)[:, None]),))
    with pytest.raises(SurgeryError, match="the old model is untouched"):
        remove_units(model, torch.zeros(1, *IMAGE), [group], {"conv": torch.tensor([True, True, True, False])})
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model(torch.zeros(1, *IMAGE)).shape == (1, 3)


def test_cutting_the_output_is_refused():
    model = seeded(mlp)
    rows = torch.arange(3)[:, None]
    group = UnitGroup("4", ("4",), (3,), (Slice("4.weight", 0, rows),), (Slice("4.bias", 0, rows),))
    with pytest.raises(SurgeryError, match=r"changed the output from \[1, 3\] to \[1, 2\]; the old model is untouched"):
        remove_units(model, torch.zeros(1, 6), [group], {"4": torch.tensor([True, True, False])})


def test_a_network_that_is_for_inference_only_is_followed():
    class Inference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.fc = nn.Linear(6, 4), nn.Linear(4, 3)

        def forward(self, vectors):
            if torch.is_grad_enabled():
                raise RuntimeError("for inference only")
            return self.fc(self.hidden(vectors).detach())

    assert [group.name for group in Channels().sorted_out(seeded(Inference), torch.zeros(1, 6))[0]] == ["hidden"]


def test_layers_whose_values_leave_torch_stay_whole():
    class Outside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.fc = nn.Linear(6, 4), nn.Linear(4, 3)

        def forward(self, vectors):
            return self.fc(torch.from_numpy(self.hidden(vectors).detach().numpy().copy()))

    groups, reasons = Channels().sorted_out(seeded(Outside), torch.zeros(1, 6))
    assert groups == [] and "always stay" in reasons["hidden"]


def test_an_opened_model_with_parametrizations_is_cut():
    def build() -> nn.Module:
        model = seeded(mlp)
        nn.utils.parametrizations.weight_norm(model[0])
        nn.utils.prune.l1_unstructured(model[2], "weight", 0.3)
        return model

    masked, removed = masked_and_removed(open_model(workload(build, VECTOR), CPU), samples(VECTOR, 16, 0).inputs, 0)
    assert torch.allclose(masked, removed, atol=1e-5)


def test_a_group_norm_loses_groups_and_a_grouped_convolution_keeps_them():
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 1),
            nn.GroupNorm(3, 6),
            nn.Conv2d(6, 4, 1, groups=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 3),
        )
    )
    groups, reasons = Channels().sorted_out(model, samples(IMAGE, 1, 0).inputs)
    # pairs of channels for the norm and every third for the convolution: together that is all of them
    assert reasons["0"] == "its units fall only all together, for they meet in group_norm in 1: they always stay"
    assert [group.units for group in groups] == [2]
    smaller = remove_units(model, torch.zeros(1, *IMAGE), groups, {"2": torch.tensor([False, True])})
    assert (smaller[2].groups, smaller[2].out_channels) == (2, 2)
    assert torch.equal(smaller[2].weight, model[2].weight[[1, 3]])

    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 1), nn.GroupNorm(3, 6), nn.Conv2d(6, 2, 1), nn.Flatten(), nn.Linear(128, 3)
        )
    )
    groups = Channels().sorted_out(model, samples(IMAGE, 1, 0).inputs)[0]
    keep = {"0": torch.tensor([True, False, True]), "2": torch.ones(2, dtype=torch.bool)}
    smaller = remove_units(model, torch.zeros(1, *IMAGE), groups, keep)
    assert (smaller[1].num_groups, smaller[1].num_channels) == (2, 4)
    assert torch.equal(smaller[0].weight, model[0].weight[[0, 1, 4, 5]])


def test_tracing_leaves_recurrent_layers_and_attention_as_they_were():
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry, self.gru = nn.Linear(6, 4), nn.GRU(4, 4)
            self.attention, self.head = nn.MultiheadAttention(4, 2), nn.Linear(4, 3)

        def forward(self, steps):
            states = self.gru(F.relu(self.entry(steps)))[0]
            return self.head(self.attention(states, states, states)[0])

    model = seeded(Both)
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    example = torch.randn(1, 6)
    before_values = model(example)
    dependencies_of(model, example)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before
    assert torch.equal(model(example), before_values) and torch.backends.mha.get_fastpath_enabled()


def test_the_network_is_traced_on_a_batch_and_not_on_a_sample_without_one():
    seen: set[int] = set()

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.fc = nn.Linear(6, 4), nn.Linear(4, 3)

        def forward(self, vectors):
            seen.add(vectors.dim())
            return self.fc(F.relu(self.hidden(vectors)))

    Channels().sorted_out(seeded(Watching), torch.randn(1, 6))
    assert seen == {2}


class ViewedHeads(nn.Module):
    """Attention as in BERT: query, key and value viewed as heads of fixed width, as many as there are. [b, t, 16]."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.out, self.norm = nn.Linear(16, 16), nn.LayerNorm(16)
        self.up, self.down, self.last = nn.Linear(16, 24), nn.Linear(24, 16), nn.LayerNorm(16)
        self.fc = nn.Linear(16, 3)

    def heads(self, values):
        return values.view(*values.shape[:-1], -1, 4).transpose(1, 2)

    def forward(self, tokens):
        query, key, value = (self.heads(part(tokens)) for part in (self.query, self.key, self.value))
        seen = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = self.norm(tokens + self.out(seen))
        return self.fc(self.last(tokens + self.down(F.gelu(self.up(tokens)))).mean(1))


def test_channels_that_are_viewed_as_heads_are_removed_as_heads_with_what_lies_within_a_block():
    model = seeded(ViewedHeads)
    groups, reasons = Channels().sorted_out(model, torch.randn(1, 5, 16))
    assert [(group.name, group.members, group.units) for group in groups] == [
        ("query", ("query", "key", "value"), 4),
        ("up", ("up",), 24),
    ]
    second = [4, 5, 6, 7]
    assert {(piece.param, piece.dim): piece.index[1].tolist() for piece in groups[0].pieces} == {
        **{(f"{part}.{word}", 0): second for part in ("query", "key", "value") for word in ("weight", "bias")},
        ("out.weight", 1): second,
    }
    # the inputs themselves are added to what these make
    assert reasons["out"] == "its units fall only all together, for they meet in add: they always stay"
    keep = {group.name: torch.arange(group.units) % 3 > 0 for group in groups}
    inputs = torch.randn(4, 5, 16)
    masked, smaller = masked_copy(model, groups, keep), remove_units(model, inputs[:1], groups, keep)
    with torch.no_grad():
        assert torch.allclose(masked(inputs), smaller(inputs), atol=1e-5)


class OwnNorm(nn.LayerNorm):
    """A LayerNorm over the channels of images, as in ConvNeXt: a subclass whose forward takes other shapes."""

    def forward(self, images):
        return super().forward(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def test_a_norm_of_ones_own_does_not_hinder_the_trial():
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(2, 9, 3), OwnNorm(9), nn.ReLU(), nn.Conv2d(9, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3)
        )
    )
    groups, reasons = Channels().sorted_out(model, torch.randn(1, *IMAGE))
    assert [group.name for group in groups] == ["0", "3"] and list(reasons) == ["6"]


def test_values_that_are_the_same_infinity_do_not_differ():
    low = torch.tensor([1.0, -torch.inf, 3.0])
    assert largest_difference(low, low) == 0.0
    assert largest_difference(low, torch.tensor([1.5, -torch.inf, 3.0])) == 0.5
    assert largest_difference(low, torch.tensor([1.0, torch.inf, 3.0])) == torch.inf
    assert largest_difference(low, torch.tensor([1.0, torch.nan, 3.0])) == torch.inf
    assert largest_difference(torch.zeros(0, 3), torch.zeros(0, 3)) == 0.0


class GroupedQuery(nn.Module):
    """Two heads of key and value for four of query, as in Llama, and a gated MLP. [b, t, 16]."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(16, 16), nn.Linear(16, 8), nn.Linear(16, 8)
        self.out, self.gate, self.up = nn.Linear(16, 16), nn.Linear(16, 24), nn.Linear(16, 24)
        self.down, self.fc = nn.Linear(24, 16), nn.Linear(16, 3)

    def forward(self, tokens):
        query = self.query(tokens).view(*tokens.shape[:2], 4, 4).transpose(1, 2)
        key, value = (
            part(tokens).view(*tokens.shape[:2], 2, 4).transpose(1, 2).repeat_interleave(2, dim=1)
            for part in (self.key, self.value)
        )
        seen = (query @ key.transpose(2, 3) / 2).softmax(-1) @ value
        tokens = tokens + self.out(seen.transpose(1, 2).flatten(2))
        return self.fc((tokens + self.down(F.silu(self.gate(tokens)) * self.up(tokens))).mean(1))


def test_attention_with_its_sizes_written_in_stays_whole_and_the_rest_of_the_network_does_not():
    groups, reasons = Channels().sorted_out(seeded(GroupedQuery), torch.randn(1, 5, 16))
    names = [group.name for group in groups]
    assert "gate" in names and not {"query", "key", "value"} & set(names)
    assert all(reasons[name].endswith("they always stay") for name in ("query", "key", "value"))


def test_a_batchnorm_of_distributed_training_is_one():
    model = seeded(conv_bn)
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(seeded(conv_bn))
    found, expected = (Channels().sorted_out(each, torch.randn(1, *IMAGE)) for each in (synchronised, model))
    assert [group.name for group in found[0]] == [group.name for group in expected[0]] != []
    assert found[1] == expected[1]


def test_groups_whose_units_are_only_set_to_zero_are_named_by_their_reasons():
    index = torch.arange(2)[:, None]
    tied, read = "tied: they are set to zero", "read: they are set to zero"
    reasons = {"a": "", "b": tied, "c": tied, "d": read, "e": tied, "f": read}
    groups = [UnitGroup(n, (n,), (2,), (Slice(n, 0, index),), fixed=reason) for n, reason in reasons.items()]
    keep = {name: torch.tensor([True, name == "f"]) for name in reasons}
    assert zeroed_note(groups, keep) == (
        "pruned units of 4 of 6 groups are set to zero and not removed: b and 2 others (tied); d (read)"
    )
    assert zeroed_note(groups[:1], keep) == zeroed_note(groups[5:], keep) == ""


def test_the_magnitude_is_the_largest_number_among_what_is_none():
    assert magnitude(torch.tensor([1.0, -3.0, 2.0])) == 3.0
    assert magnitude(torch.tensor([1.0, -torch.inf, torch.nan, -2.0])) == 2.0
    assert magnitude(torch.tensor([torch.nan, torch.inf])) == magnitude(torch.zeros(0, 3)) == 0.0
