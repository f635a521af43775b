"""Computing only what lies behind a layer gives what a full pass gives, on networks of every shape."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.layer_sensitivity.suffix_graph import GraphWalk, Suffix
from pruning.model.layer_table import prunable_weights
from tests.architectures import ARCHITECTURES, inputs_of, made
from tests.networks import NETWORKS, Residual, Tied, mlp, samples, seeded
from tests.own_layers import OwnLayers


class CalledTwice(nn.Module):
    """One layer on both sides of another."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.both, self.middle, self.head = (nn.Linear(6, 6) for _ in range(4))

    def forward(self, vectors: Tensor) -> Tensor:
        first = self.both(F.relu(self.entry(vectors)))
        return self.head(self.both(F.relu(self.middle(first))) + first)


class InPlace(nn.Module):
    """What a layer sees is overwritten behind it, and read once more."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.left, self.right, self.head = (nn.Linear(6, 6) for _ in range(4))

    def forward(self, vectors: Tensor) -> Tensor:
        seen = self.entry(vectors)
        left = self.left(seen)
        seen.mul_(2.0)
        seen += 1.0
        return self.head(F.relu(left, inplace=True) + self.right(F.relu_(seen)))


class Dropping(nn.Module):
    """Dropout as a module and as a function, both still in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.head, self.drop = nn.Linear(6, 6), nn.Linear(6, 3), nn.Dropout(0.5)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.head(F.dropout(self.drop(F.relu(self.entry(vectors))), 0.5, self.training))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entry, self.cell, self.head = nn.Linear(2, 4), nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        steps, _ = self.cell(self.entry(vectors.reshape(-1, 3, 2)))
        return self.head(steps[:, -1])


class Loose(nn.Module):
    """A parameter that no module holds."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 6))

    def forward(self, vectors: Tensor) -> Tensor:
        return self.head(F.linear(self.entry(vectors) * self.scale, self.entry.weight))


class Deciding(nn.Module):
    """The way taken depends on values: nothing can be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        hidden = self.entry(vectors)
        return self.head(F.relu(hidden) if hidden.sum() > 0 else hidden)


class Viewing(nn.Module):
    """A view of what the layer sees is overwritten behind it: copies of both would part them."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.middle, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        seen = self.entry(vectors)
        part = seen[:, :3]
        hidden = self.middle(seen)
        part.zero_()
        return self.head(hidden + seen)


class Counting(nn.Module):
    """Makes a tensor of numbers between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.head(F.relu(self.entry(vectors)) * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))


SHAPES = {
    "chain": mlp, "called twice": CalledTwice, "shared weight": Tied, "in place": InPlace, "dropout": Dropping,
    "recurrent": Recurrent, "loose parameter": Loose, "own layers": OwnLayers,
    "numbers": Counting,
}  # fmt: skip


def zeroed(model: nn.Module, name: str, seed: int) -> dict[str, Tensor]:
    shape = model.get_parameter(name).shape
    return {name: torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5}


@torch.no_grad()
def check(model: nn.Module, example: Tensor, inputs: Tensor) -> list[str]:
    """The layers behind which the network was computed alone: bitwise what a full pass gives, for every cut."""
    work = copy.deepcopy(model)
    walk = GraphWalk(model, work, example)
    tails: dict[str, Suffix] = {}
    for _, param, _ in prunable_weights(model):
        tail = walk.suffix([param], zeroed(model, param, 0))
        if isinstance(tail, Suffix):
            tails[param] = tail
    by_tail = {tail: param for param, tail in tails.items()}
    dense = model(inputs)
    for tail, values in walk.stops(inputs, list(by_tail)):
        param = by_tail[tail]
        for seed in (1, 2, 3):  # several cuts share what the layer sees
            gone = zeroed(model, param, seed)[param]
            kept = work.get_parameter(param).clone()
            work.get_parameter(param).masked_fill_(gone, 0.0)
            whole = copy.deepcopy(model)
            whole.get_parameter(param).masked_fill_(gone, 0.0)
            assert torch.equal(tail(values), whole(inputs)), param
            work.get_parameter(param).copy_(kept)
    assert torch.equal(model(inputs), dense)
    return list(tails)


@pytest.mark.parametrize("name", SHAPES)
def test_behind_every_layer_of_every_shape(name):
    model, inputs = seeded(SHAPES[name]), samples((6,), 40, 0).inputs
    rows = [param for _, param, _ in prunable_weights(model)]
    assert check(model, inputs[:8], inputs) == rows


@pytest.mark.parametrize("name", NETWORKS)
def test_behind_every_layer_of_the_tiny_networks(name):
    make, shape = NETWORKS[name]
    model, inputs = seeded(make), samples(shape, 24, 0).inputs
    rows = [param for _, param, _ in prunable_weights(model)]
    assert check(model, inputs[:8], inputs) == rows


UNTRACEABLE = ("vit", "language_model")  # they ask for len() of their input, or hand its length to torch.ones


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in UNTRACEABLE])
def test_behind_the_layers_of_the_architectures(name):
    assert check(made(name), inputs_of(name, 4), inputs_of(name, 12, 1))


@pytest.mark.parametrize("name", UNTRACEABLE)
def test_architectures_that_cannot_be_traced_say_so(name):
    model = made(name)
    assert "cannot be traced" in GraphWalk(model, copy.deepcopy(model), inputs_of(name, 4)).why_not


def test_only_what_lies_behind_is_computed():
    model, inputs = seeded(mlp), samples((6,), 8, 0).inputs
    work = copy.deepcopy(model)
    walk = GraphWalk(model, work, inputs)
    tail = walk.suffix(["4.weight"], zeroed(model, "4.weight", 0))
    assert isinstance(tail, Suffix)
    ran = []
    for module in work:
        module.register_forward_hook(lambda layer, *_: ran.append(layer))
    with torch.no_grad():
        for _, values in walk.stops(inputs, [tail]):
            tail(values)
    assert ran == [work[4]]


def test_the_walk_ends_at_the_last_tail_and_frees_what_nobody_needs():
    model, inputs = seeded(Residual), samples((2, 8, 8), 4, 0).inputs
    walk = GraphWalk(model, copy.deepcopy(model), inputs)
    tail = walk.suffix(["conv2.weight"], zeroed(model, "conv2.weight", 0))
    assert isinstance(tail, Suffix)
    ran = []
    for name, module in model.named_modules():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    with torch.no_grad():
        stops = list(walk.stops(inputs, [tail]))
    # conv2's input, and the stream that is added to its output
    assert len(stops) == 1 and len(stops[0][1]) == 2
    assert ran == ["stem", "stem_bn", "conv1", "bn1"]


def test_what_cannot_be_traced_says_so():
    model, inputs = seeded(Deciding), samples((6,), 8, 0).inputs
    tail = GraphWalk(model, copy.deepcopy(model), inputs).suffix(["entry.weight"], zeroed(model, "entry.weight", 0))
    assert isinstance(tail, str) and "cannot be traced" in tail


def test_what_would_come_out_differently_is_not_trusted():
    model, inputs = seeded(Viewing), samples((6,), 8, 0).inputs
    walk = GraphWalk(model, copy.deepcopy(model), inputs)
    tail = walk.suffix(["middle.weight"], zeroed(model, "middle.weight", 0))
    assert tail == "what follows it, run alone, gives something else than the whole network"


def test_trying_a_tail_leaves_the_networks_as_they_were():
    model, inputs = seeded(Residual), samples((2, 8, 8), 4, 0).inputs
    work = copy.deepcopy(model)
    before = copy.deepcopy(model.state_dict())
    GraphWalk(model, work, inputs).suffix(["stem.weight"], zeroed(model, "stem.weight", 0))
    for one in (model, work):
        assert all(torch.equal(tensor, before[name]) for name, tensor in one.state_dict().items())


def test_following_a_network_adds_nothing_to_it():
    model = seeded(Counting)
    before = set(vars(model))
    GraphWalk(model, copy.deepcopy(model), samples((6,), 8, 0).inputs)
    assert set(vars(model)) == before
