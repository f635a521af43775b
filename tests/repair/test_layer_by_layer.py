"""What a layer reads and gives, at the same places of both networks."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pruning.model.layer_types import has_channels
from pruning.model.units import apply_masks
from pruning.repair import layer_by_layer
from pruning.repair.layer_by_layer import NEVER, PADDED, TWICE, Sight, biases, matrices, samples_that_fit, walk
from pruning.repair.repair import Cut
from tests.networks import NETWORKS, seeded

LAYERS = {
    "linear": (lambda: nn.Linear(6, 4), (6,)),
    "linear over steps": (lambda: nn.Linear(6, 4), (5, 6)),
    "stride and padding": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), (4, 9, 8)),
    "groups, dilation, uneven kernel": (
        lambda: nn.Conv2d(4, 6, (3, 2), padding=(2, 1), dilation=2, groups=2), (4, 9, 8),
    ),
    "same padding": (lambda: nn.Conv1d(4, 6, 4, padding="same"), (4, 9)),
    "volumes": (lambda: nn.Conv3d(2, 4, 2), (2, 4, 3, 5)),
    "depthwise, no bias": (lambda: nn.Conv2d(4, 4, 3, groups=4, bias=False), (4, 6, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("rows", [20, 30_000])
@torch.no_grad()
def test_what_is_read_times_the_weight_is_what_is_given(monkeypatch, name, rows):
    monkeypatch.setattr(layer_by_layer, "ROWS", rows)
    make, shape = LAYERS[name]
    model = seeded(lambda: nn.Sequential(make()))
    seen: list[Sight] = []
    inputs = torch.randn(10, *shape)
    dense = copy.deepcopy(model)
    model[0].weight.data.flatten()[0] = 0
    assert walk(Cut(model, dense, {}), inputs, 0, lambda sight: seen.append(sight) or "", True) == {}
    (sight,) = seen
    weight = matrices(dense[0], dense[0].weight)
    found = sight.inputs @ weight.transpose(1, 2)
    if dense[0].bias is not None:
        found = found + biases(dense[0], dense[0].bias)[:, None]
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


def test_values_that_are_read_without_calling_their_module_may_be_read_anywhere():
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.unseen = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, vectors):
            return self.first(F.linear(vectors, self.unseen.weight))

    model = seeded(Reads)
    dense = copy.deepcopy(model)
    model.unseen.weight.data[0] = 0
    seen: list[str] = []
    walk(Cut(model, dense, {}), torch.randn(6, 6), 0, lambda sight: seen.append(sight.name) or "")
    assert seen == ["first"]


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
            self.twice, self.unseen = nn.Linear(6, 6), nn.Linear(6, 6)
            self.padded = nn.Conv1d(1, 2, 3, padding=1, padding_mode="circular")
            self.head = nn.Linear(12, 3)

        def forward(self, vectors):
            hidden = F.linear(self.twice(F.relu(self.twice(vectors))), self.unseen.weight)
            return self.head(self.padded(hidden[:, None]).flatten(1))

    model = seeded(Odd)
    left = walk(Cut(model, copy.deepcopy(model), {}), torch.randn(8, 6), 0, lambda _: "")
    assert left == {"twice": TWICE, "unseen": NEVER, "padded": PADDED}


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
