"""What a layer reads and gives, at the same places of both networks."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pruning.model.layer_types import has_channels
from pruning.model.units import apply_masks
from pruning.repair import layer_by_layer
from pruning.repair.layer_by_layer import NEVER, OTHERS, TWICE, Sight, samples_that_fit, walk
from pruning.repair.repair import Cut
from tests.networks import NETWORKS, seeded


class Projections(nn.Module):
    """Attention whose projections nobody calls as layers."""

    def __init__(self, first: bool = True, **sizes: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=first, **sizes)
        self.first = first

    def forward(self, tokens):
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


class Stored(nn.Module):
    """A weight [in, out], as GPT-2 has it, and none of torch's layers."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.shift = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(4))

    def forward(self, vectors):
        return torch.addmm(self.shift, vectors, self.kernel)


LAYERS = {
    "linear": (lambda: nn.Linear(6, 4), (6,)),
    "linear over steps": (lambda: nn.Linear(6, 4), (5, 6)),
    "no bias, over steps": (lambda: nn.Linear(6, 4, bias=False), (5, 6)),
    "one in, one out": (lambda: nn.Linear(1, 1), (1,)),
    "stride and padding": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), (4, 9, 8)),
    "groups, dilation, uneven kernel": (
        lambda: nn.Conv2d(4, 6, (3, 2), padding=(2, 1), dilation=2, groups=2), (4, 9, 8),
    ),
    "same padding": (lambda: nn.Conv1d(4, 6, 4, padding="same"), (4, 9)),
    "circular padding": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), (4, 7, 7)),
    "volumes": (lambda: nn.Conv3d(2, 4, 2), (2, 4, 3, 5)),
    "depthwise, no bias": (lambda: nn.Conv2d(4, 4, 3, groups=4, bias=False), (4, 6, 6)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), (4, 5, 4)),
    "transposed, groups, dilation": (
        lambda: nn.ConvTranspose2d(4, 6, (3, 2), stride=(1, 3), padding=(0, 2), dilation=(2, 1), groups=2), (4, 5, 4),
    ),
    "transposed in one dimension": (lambda: nn.ConvTranspose1d(4, 6, 4, stride=2, bias=False), (4, 9)),
    "projections of attention": (Projections, (5, 6)),
    "projections of attention, steps first": (lambda: Projections(first=False), (5, 6)),
    "stored in by out": (Stored, (6,)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("rows", [20, 30_000])
@torch.no_grad()
def test_what_is_read_times_the_weight_is_what_is_given(monkeypatch, name, rows):
    monkeypatch.setattr(layer_by_layer, "ROWS", rows)
    make, shape = LAYERS[name]
    model = seeded(lambda: nn.Sequential(make()))
    dense = copy.deepcopy(model)
    seen: list[Sight] = []
    inputs = torch.randn(10, *shape)
    for parameter in model.parameters():
        parameter.add_(parameter.dim() > 1)

    def undone(sight: Sight) -> str:
        """Mend it altogether: what comes behind then reads what it read before."""
        weight, bias = sight.dense.matrices(sight.dense.weight), sight.dense.bias
        sight.product.write(weight)
        if sight.bias is not None and bias is not None:
            sight.bias.copy_(bias.view(sight.bias.shape))
        seen.append(sight)
        return ""

    assert walk(Cut(model, dense, {}), inputs, 0, undone, True) == {}
    matrices = [parameter for parameter in dense.parameters() if parameter.dim() > 1]
    assert len(seen) == len(matrices) and torch.equal(model(inputs), dense(inputs))
    for sight in seen:
        found = sight.inputs @ sight.weight.transpose(1, 2)
        if sight.bias is not None:
            found = found + sight.bias[:, None]
        assert sight.inputs.shape[1] <= max(rows, 10) and torch.allclose(found, sight.outputs, atol=1e-5)
        assert torch.equal(sight.before, sight.inputs)


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_come_in_the_order_in_which_they_compute_and_see_the_mended_ones_before(name):
    make, shape = NETWORKS[name]
    model = seeded(make)
    dense, inputs = copy.deepcopy(model), torch.randn(6, *shape)
    model.get_submodule(order_of(dense, inputs)[0]).weight.data.flatten()[0] = 0
    names: list[str] = []

    def double(sight: Sight) -> str:
        names.append(sight.name)
        layer = model.get_submodule(sight.name)
        layer.weight.data.mul_(2)
        return "" if len(names) > 1 else "why not"

    left = walk(Cut(model, dense, {}), inputs, 0, double)
    assert names == [each for each in order_of(dense, inputs) if each in names] and left == {names[0]: "why not"}
    assert not model.training and not any(module._forward_pre_hooks for module in model.modules())
    # the second layer read what the doubled first gave
    seen: list[Sight] = []
    walk(Cut(model, dense, {}), inputs, 0, lambda sight: seen.append(sight) or "")
    assert [sight.name for sight in seen] == names


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "mlp"])
def test_layers_before_the_first_cut_are_not_looked_at(name):
    make, shape = NETWORKS[name]
    model = seeded(make)
    dense, inputs = copy.deepcopy(model), torch.randn(6, *shape)
    seen: list[str] = []
    walk(Cut(model, dense, {}), inputs, 0, lambda sight: seen.append(sight.name) or "")
    assert not seen
    order = order_of(dense, inputs)
    model.get_submodule(order[1]).weight.data.flatten()[0] = 0
    walk(Cut(model, dense, {}), inputs, 0, lambda sight: seen.append(sight.name) or "")
    assert seen == order[1:]


def order_of(model: nn.Module, inputs: torch.Tensor) -> list[str]:
    """The layers in the order in which they compute."""
    order: list[str] = []
    handles = [
        module.register_forward_hook(lambda _m, _a, _o, each=each: order.append(each))
        for each, module in model.named_modules()
        if has_channels(module)
    ]
    model(inputs)
    for handle in handles:
        handle.remove()
    return order


def test_a_layer_that_cannot_be_looked_at_says_why():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice, self.read, self.spare = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
            self.made = torch.nn.utils.parametrizations.weight_norm(nn.Linear(6, 12))
            self.head = nn.Linear(12, 3)

        def forward(self, vectors):
            hidden = F.linear(self.twice(F.relu(self.twice(vectors))), self.read.weight)
            return self.head(self.made(hidden))

    model = seeded(Odd)
    dense, seen = copy.deepcopy(model), list[str]()
    model.twice.weight.data[0] = 0
    left = walk(Cut(model, dense, {}), torch.randn(8, 6), 0, lambda sight: seen.append(sight.name) or "")
    assert seen == ["read", "head"]
    assert left == {"twice": TWICE, "spare": NEVER}


def test_a_bias_that_is_frozen_is_no_part_of_what_is_to_be_given():
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 4)))
    model[0].bias.requires_grad_(False)
    dense, seen = copy.deepcopy(model), list[Sight]()
    model[0].weight.data[:, 0] = 0
    inputs = torch.randn(8, 6)
    assert walk(Cut(model, dense, {}), inputs, 0, lambda sight: seen.append(sight) or "") == {}
    assert seen[0].bias is None and torch.allclose(seen[0].outputs[0], inputs @ dense[0].weight.T, atol=1e-6)


def test_a_part_of_a_parameter_is_mended_by_itself():
    """Attention over keys of another source: queries have a third of the weight, keys and values the rest."""

    class Across(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

        def forward(self, tokens):
            source = tokens[:, :2]
            return self.attention(tokens, source, source, need_weights=False)[0]

    model = seeded(Across)
    dense, seen = copy.deepcopy(model), list[Sight]()
    masks = {"attention.in_proj_weight": torch.rand(18, 6) < 0.5}
    apply_masks(model, masks)
    walk(Cut(model, dense, masks), torch.randn(8, 5, 6), 0, lambda sight: seen.append(sight) or "")
    parts = [sight for sight in seen if sight.name == "attention.in_proj_weight"]
    assert len(parts) == 2
    assert torch.equal(torch.cat([part.live[0] for part in parts]), masks["attention.in_proj_weight"])
    assert torch.equal(torch.cat([part.weight[0] for part in parts]), model.attention.in_proj_weight)


def test_an_expert_that_reads_other_inputs_than_before_says_so():
    class Routed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.experts = nn.Linear(6, 2), nn.Parameter(torch.randn(2, 6, 6))

        def forward(self, vectors):
            chosen = self.gate(vectors).argmax(1)
            found = torch.zeros_like(vectors)
            for expert in range(2):
                found[chosen == expert] = vectors[chosen == expert] @ self.experts[expert]
            return found

    model = seeded(Routed)
    dense = copy.deepcopy(model)
    model.gate.bias.data[1] = -100.0
    assert walk(Cut(model, dense, {}), torch.randn(40, 6), 0, lambda _: "") == {"experts": OTHERS}


def test_what_the_dense_network_read_is_not_kept():
    model = seeded(NETWORKS["conv"][0])
    dense, kept = copy.deepcopy(model), list[int]()
    inputs = torch.randn(6, *NETWORKS["conv"][1])
    model.get_submodule(order_of(dense, inputs)[0]).weight.data.flatten()[0] = 0
    walk(
        Cut(model, dense, {}), inputs, 0, lambda sight: kept.append(sight.dense.inputs.untyped_storage().nbytes()) or ""
    )
    assert kept and not any(kept)


def test_samples_are_as_many_as_fit():
    model = nn.Sequential(nn.Linear(4, 100), nn.Linear(100, 2))
    assert samples_that_fit(model, torch.zeros(1, 4), 50) == 50
    assert samples_that_fit(model, torch.zeros(1, 4), 50, memory=8 * 400 * 7) == 7
    assert samples_that_fit(model, torch.zeros(1, 4), 50, memory=1) == 1


def test_masked_values_are_not_touched_by_looking():
    model = seeded(NETWORKS["conv"][0])
    masks = {name: torch.rand_like(values) < 0.5 for name, values in model.named_parameters() if values.dim() > 1}
    cut = copy.deepcopy(model)
    apply_masks(cut, masks)
    before = copy.deepcopy(cut.state_dict())
    walk(Cut(cut, model, masks), torch.randn(4, *NETWORKS["conv"][1]), 0, lambda _: "")
    assert all(torch.equal(tensor, before[name]) for name, tensor in cut.state_dict().items())
