import copy
import sys
from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from captum.attr import (
    InternalInfluence,
    LayerConductance,
    LayerDeepLift,
    LayerGradCam,
    LayerGradientXActivation,
    LayerIntegratedGradients,
)
from torch import Tensor, nn

from pruning.criteria import Attribution
from pruning.criteria.attribution import Method
from pruning.errors import RecipeError, WorkloadError
from pruning.granularities import Channels
from pruning.workload import Classification, TensorSplit
from tests.criteria.hand import scored, work
from tests.networks import Residual, seeded, tiny, workload

METHODS = get_args(Method)


def by_captum(method: str, model: nn.Module, layer: nn.Module, data: TensorSplit, steps: int) -> Tensor:
    """Captum's own output for the layer, in the layer's shape."""
    x, y = data.inputs, data.targets
    made = {
        "conductance": lambda: LayerConductance(model, layer).attribute(x, target=y, n_steps=steps),
        "integrated_gradients": lambda: LayerIntegratedGradients(model, layer).attribute(x, target=y, n_steps=steps),
        "deep_lift": lambda: LayerDeepLift(model, layer).attribute(x, target=y),
        "gradient_x_activation": lambda: LayerGradientXActivation(model, layer).attribute(x, target=y),
        "grad_cam": lambda: LayerGradCam(model, layer).attribute(x, target=y, attr_dim_summation=False),
        "internal_influence": lambda: InternalInfluence(model, layer).attribute(x, target=y, n_steps=steps),
    }
    return made[method]().detach()


def linear_net() -> nn.Module:
    """F = v·h and h = W x: what goes from neuron j to class c is v[c, j] h[j]."""
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False))
    model[0].weight.data = torch.tensor([[1.0, 1.0], [0.0, -2.0], [3.0, 0.0]])
    model[1].weight.data = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]])
    return model


# sample 0: h = (3, -4, 3), class 0: v h = (3, -8, 9); sample 1: h = (2, 0, 6), class 1: v h = (-2, 0, 0)
TWO = (torch.tensor([[1.0, 2.0], [2.0, 0.0]]), [0, 1])


@pytest.mark.parametrize("method", METHODS)
def test_in_a_linear_net_it_is_weight_times_hidden_value(method):
    # the influence is the gradient alone: v of the true class
    by_hand = [(1 + 1) / 2, (2 + 0.5) / 2, 3 / 2] if method == "internal_influence" else [5 / 2, 8 / 2, 9 / 2]
    scores = scored(Attribution(method, steps=200), work(linear_net(), *TWO))["0"].tolist()
    assert scores == pytest.approx(by_hand, rel=1e-3)


def test_few_steps_of_conductance_leave_out_the_two_ends_of_the_path():
    scores = scored(Attribution(steps=8), work(linear_net(), *TWO))["0"].tolist()
    assert scores == pytest.approx([0.96816 * value for value in (2.5, 4.0, 4.5)], rel=1e-4)


def test_what_the_methods_say_of_one_neuron_with_a_relu():
    # h = x - 1, F = 2 relu(h), x = 3: h goes from -1 to 2, the ReLU from 0 to 2, F from 0 to 4; beside it one of no use
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2, bias=False))
    model[0].weight.data, model[0].bias.data = torch.tensor([[1.0], [0.0]]), torch.tensor([-1.0, 0.0])
    model[2].weight.data = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    data = work(model, torch.tensor([[3.0]]))

    def score(method: str) -> float:
        return float(scored(Attribution(method, steps=500), data)["0"][0])

    assert score("gradient_x_activation") == score("grad_cam") == 2 * 2
    assert score("deep_lift") == pytest.approx(4)  # the difference of F, whole
    assert score("conductance") == pytest.approx(4, rel=1e-2)  # the integral of dF is the difference too
    assert score("integrated_gradients") == pytest.approx(4, rel=1e-2)
    assert score("internal_influence") == pytest.approx(2 * 2 / 3, rel=1e-2)  # the ReLU is open on 2/3 of the path


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("network", ["mlp", "conv", "conv_bn"])
def test_it_is_captums_own(network, method):
    data = tiny(network, count=40)
    model = data.build()
    ours = scored(Attribution(method, steps=5, samples=40), data)
    for name, scores in ours.items():
        values = by_captum(method, model, model.get_submodule(name), data.train, 5)
        expected = values.flatten(2).sum(dim=2) if values.dim() > 2 else values
        assert torch.allclose(scores, expected.abs().mean(dim=0), rtol=1e-4)
        assert float(scores.min()) >= 0 and float(scores.max()) > 0


@pytest.mark.parametrize("method", METHODS)
def test_coupled_producers_are_added_up_before_the_absolute_value(method):
    data = workload(lambda: seeded(Residual), (2, 8, 8), count=20)
    model = data.build()
    both = [by_captum(method, model, layer, data.train, 3).sum(dim=(2, 3)) for layer in (model.stem, model.conv2)]
    scores = scored(Attribution(method, steps=3), data)["stem"]
    assert torch.allclose(scores, (both[0] + both[1]).abs().mean(dim=0), rtol=1e-4)


class Words(nn.Module):
    """A Linear layer over each of seven vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, words):
        return self.head(self.hidden(words).relu()).mean(dim=1)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "grad_cam"])
def test_the_neurons_of_a_linear_layer_over_a_sequence_are_its_last_dimension(method):
    data = workload(lambda: seeded(Words), (7, 4), count=20)
    model = data.build()
    values = by_captum(method, model, model.hidden, data.train, 8)
    assert values.shape == (20, 7, 5)
    assert torch.allclose(scored(Attribution(method), data)["hidden"], values.sum(dim=1).abs().mean(dim=0), rtol=1e-4)


def test_grad_cam_takes_positions_for_units_there_and_says_so():
    with pytest.raises(
        WorkloadError, match=r"^hidden: grad_cam takes the positions .*\[20, 7, 5\].*gradient_x_activation"
    ):
        scored(Attribution("grad_cam"), workload(lambda: seeded(Words), (7, 4), count=20))


@pytest.mark.parametrize("method", METHODS)
def test_an_activation_that_works_in_place_is_no_obstacle(method):
    data = tiny("conv", count=20)
    in_place = data.build()
    in_place[1], in_place[4] = nn.ReLU(inplace=True), nn.ReLU(inplace=True)
    plain, changed = scored(Attribution(method), data), scored(Attribution(method), data, model=in_place)
    assert all(torch.allclose(plain[name], changed[name], rtol=1e-5) for name in plain)


def test_a_network_that_captum_cannot_follow_names_the_layer():
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(6, 5), nn.Linear(5, 3)

        def forward(self, vectors):
            return self.head(F.relu_(self.hidden(vectors)))

    with pytest.raises(WorkloadError, match=r"^hidden: integrated_gradients does not get through .*another method"):
        scored(Attribution("integrated_gradients"), workload(lambda: seeded(InPlace), (6,), count=20))


class Reused(nn.Module):
    """One nn.ReLU behind two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head, self.relu = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 3), nn.ReLU()

    def forward(self, vectors):
        return self.head(self.relu(self.second(self.relu(self.first(vectors)))))


def test_deep_lift_refuses_an_activation_that_is_used_twice_and_leaves_the_model_as_it_was():
    data = workload(lambda: seeded(Reused), (6,), count=20)
    model = data.build()
    names = [set(vars(module)) for module in model.modules()]
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(WorkloadError, match=r"^first: deep_lift needs a module of its own for every activation"):
        scored(Attribution("deep_lift"), data, model=model)
    assert [set(vars(module)) for module in model.modules()] == names
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("method", [method for method in METHODS if method != "deep_lift"])
def test_the_other_methods_take_an_activation_that_is_used_twice(method):
    scores = scored(Attribution(method), workload(lambda: seeded(Reused), (6,), count=20))
    assert scores.keys() == {"first", "second"}


def test_behind_a_functional_activation_deep_lift_is_the_gradient_times_the_difference():
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(1, 2), nn.Linear(2, 2, bias=False)

        def forward(self, x):
            return self.head(F.relu(self.hidden(x)))

    model = Functional()
    model.hidden.weight.data, model.hidden.bias.data = torch.tensor([[1.0], [0.0]]), torch.tensor([-1.0, 0.0])
    model.head.weight.data = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    # h goes from -1 to 2 under a gradient of 2; with nn.ReLU it would be the difference of F, which is 4
    assert float(scored(Attribution("deep_lift"), work(model, torch.tensor([[3.0]])))["hidden"][0]) == 2 * 3


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.hidden, self.head = nn.Embedding(9, 4), nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, tokens):
        return self.head(F.relu(self.hidden(self.words(tokens).mean(dim=1))))


@pytest.mark.parametrize("method", METHODS)
def test_whole_numbers_are_for_the_methods_that_need_no_empty_input(method):
    model = seeded(Tokens)
    data = work(model, torch.tensor([[1, 2], [3, 8]]), [0, 2])
    if method not in ("gradient_x_activation", "grad_cam"):
        with pytest.raises(RecipeError, match=f"by {method} scales inputs .* whole numbers; use method gradient_x"):
            scored(Attribution(method), data)
        return
    hidden = model.hidden(model.words(data.train.inputs).mean(dim=1)).detach()
    gradient = model.head.weight.detach()[[0, 2]] * (hidden > 0)
    assert torch.allclose(scored(Attribution(method), data)["hidden"], (gradient * hidden).abs().mean(dim=0))


def test_a_task_without_classes_is_said_to_use_another_criterion():
    data = tiny("conv")
    with pytest.raises(RecipeError, match="has no classes; use taylor"):
        scored(Attribution(), replace(data, task=Classification(())))


@pytest.mark.parametrize("how", [{"steps": 0}, {"samples": 0}, {"steps": 513}])
def test_steps_and_samples_have_a_range(how):
    with pytest.raises(RecipeError, match=f"criterion.{next(iter(how))} is .*; it lies between 1 and"):
        Attribution(**how)


class Counted(nn.Module):
    """Counts the samples that go forward through it, and those whose gradients come back."""

    forwards = backwards = 0

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        def back(gradient: Tensor) -> None:
            Counted.backwards += len(gradient)

        Counted.forwards += len(x)
        logits = self.layers(x)
        if logits.requires_grad:
            logits.register_hook(back)
        return logits


@pytest.mark.parametrize(
    "method, forwards, backwards",
    [
        ("conductance", 6 + 1, 6 + 1),
        ("integrated_gradients", 6 + 2, 6),
        ("internal_influence", 6, 6),
        ("deep_lift", 2, 2),
        ("gradient_x_activation", 1, 1),
        ("grad_cam", 1, 1),
    ],
)
def test_the_passes_of_each_method_are_as_many_as_its_cost_says(method, forwards, backwards):
    data = work(seeded(Counted), torch.randn(10, 2, generator=torch.Generator().manual_seed(0)))
    model = data.build()
    groups = Channels().sorted_out(model, data.example)[0]
    Counted.forwards = Counted.backwards = 0
    scored(Attribution(method, steps=6), data, model=model, groups=groups)
    assert len(groups) == 2  # each layer by itself
    assert (Counted.forwards, Counted.backwards) == (10 * 2 * forwards, 10 * 2 * backwards)


def test_without_captum_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(RecipeError, match=r"not installed: `pip install 'pruning-explorer\[attribution\]'`, or choose"):
        scored(Attribution(), work(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)), torch.ones(2, 2)))
