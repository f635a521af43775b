import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.criteria import OptimalBrainSurgeon, inverse_hessians
from pruning.errors import RecipeError, WorkloadError
from pruning.granularities import Channels, Weights
from pruning.pipeline.eligibility import unscored
from tests.criteria.hand import scored, work
from tests.networks import seeded, tiny


def one_layer(weight: Tensor) -> nn.Module:
    model = nn.Sequential(nn.Linear(weight.shape[1], len(weight), bias=False), nn.ReLU(), nn.Linear(len(weight), 1))
    model[0].weight.data = weight
    return model


def of_first(model: nn.Module, inputs: Tensor, damping: float) -> Tensor:
    return scored(OptimalBrainSurgeon(damping), work(model, inputs), Weights())["0"].reshape(model[0].weight.shape)


def test_with_features_that_know_nothing_of_each_other_it_is_half_of_weight_squared_times_input_squared():
    # X Xᵀ = diag(1, 4): nothing can make up for a weight
    scores = of_first(one_layer(torch.tensor([[3.0, -1.0]])), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), 1e-12)
    assert scores.flatten().tolist() == pytest.approx([9 * 1 / 2, 1 * 4 / 2])


def test_a_feature_that_another_one_can_stand_in_for_is_worth_less():
    # X Xᵀ = [[2, 1], [1, 2]], its inverse [[2, -1], [-1, 2]] / 3: w² / (2 · 2/3) = 3/4 w², and not w² · 2/2
    inputs = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    scores = of_first(one_layer(torch.tensor([[2.0, -4.0]])), inputs, 0.0)
    assert scores.flatten().tolist() == pytest.approx([3.0, 12.0])


def test_damping_is_a_share_of_the_mean_of_the_diagonal():
    # diag(1, 4) has mean 2.5: damped by half of it, diag(2.25, 5.25)
    scores = of_first(one_layer(torch.tensor([[1.0, 1.0]])), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), 0.5)
    assert scores.flatten().tolist() == pytest.approx([2.25 / 2, 5.25 / 2])


def brute_force(weight: Tensor, inputs: Tensor) -> Tensor:
    """Remove each weight, solve the live rest of its row anew, and take half the squared change of the outputs."""
    errors = torch.zeros_like(weight)
    for row in range(len(weight)):
        wanted = inputs @ weight[row]
        live = weight[row].nonzero().flatten().tolist()
        for column in live:
            rest = [c for c in live if c != column]
            solved = torch.linalg.lstsq(inputs[:, rest], wanted[:, None]).solution[:, 0]
            errors[row, column] = (inputs[:, rest] @ solved - wanted).square().sum() / 2
    return errors


# the worse the features' condition, the more the damping itself moves the score: up to 6e3 and 1.5e6 here
@pytest.mark.parametrize("own, others, damping", [(1.0, 0.5, 1e-8), (0.0, 1.0, 1e-13)])
def test_it_is_what_removing_each_weight_and_solving_for_the_others_gives(own, others, damping):
    same_first = 0
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        mixed = own * torch.eye(6) + others * torch.randn(6, 6, generator=generator)
        inputs = torch.randn(30, 6, generator=generator) @ mixed  # features that depend on each other
        weight = torch.randn(4, 6, generator=generator)
        errors = brute_force(weight.double(), inputs.double())
        scores = of_first(one_layer(weight), inputs, damping)
        assert torch.allclose(scores.double(), errors, rtol=1e-4, atol=0)
        same_first += int(scores.argmin() == errors.argmin())
    assert same_first >= 19


def test_a_twin_that_has_been_pruned_cannot_make_up_for_a_weight():
    # X Xᵀ = [[2, 2, 0], [2, 2, 0], [0, 0, 2]] but for the damping: without its twin w1 costs 2² · 2 / 2
    inputs = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    alone = of_first(one_layer(torch.tensor([[2.0, 0.0, 0.5]])), inputs, 1e-6)
    assert alone.flatten().tolist() == pytest.approx([4.0, 0.0, 0.25], rel=1e-5)
    # with it next to nothing: 2² · 2 / 2 times twice the damping
    both = of_first(one_layer(torch.tensor([[2.0, 1.0, 0.5]])), inputs, 1e-6)
    assert both.flatten().tolist() == pytest.approx([8e-6, 2e-6, 0.25], rel=1e-4)


# 0.01 takes what the pruned made up for off the whole inverse, 1e-12 inverts what is live
@pytest.mark.parametrize("damping", [0.01, 1e-12])
@pytest.mark.parametrize("density", [0.9, 0.6, 0.3])
def test_zeros_of_each_row_are_left_out_of_what_is_solved_anew(density, damping):
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(40, 7, generator=generator) @ torch.randn(7, 7, generator=generator)
        weight = torch.randn(6, 7, generator=generator)
        weight *= torch.rand(6, 7, generator=generator) < density
        weight[1], weight[5] = 0.0, weight[0]  # an empty row, and two of one pattern
        # damping is a ridge: as if the squares of the weights were measured too
        share = damping * inputs.double().square().sum() / 7
        ridge = torch.cat([inputs.double(), share.sqrt() * torch.eye(7, dtype=torch.float64)])
        scores = of_first(one_layer(weight), inputs, damping)
        assert torch.allclose(scores.double(), brute_force(weight.double(), ridge), rtol=1e-4, atol=0)
        assert bool((scores[weight == 0] == 0).all()) and bool((scores[weight != 0] > 0).all())


def test_each_group_of_a_convolution_solves_for_its_own_live_weights():
    generator = torch.Generator().manual_seed(0)
    model = seeded(lambda: nn.Sequential(nn.Conv2d(6, 4, 1, groups=2, bias=False), nn.Flatten(), nn.Linear(4, 2)))
    inputs = torch.randn(30, 6, 1, 1, generator=generator)
    model[0].weight.data[0, 1] = model[0].weight.data[3, 0] = 0.0
    scores = of_first(model, inputs, 1e-9).flatten(1)
    for first, features in ((0, inputs[:, :3]), (2, inputs[:, 3:])):
        weight = model[0].weight.detach()[first : first + 2].flatten(1)
        expected = brute_force(weight.double(), features.flatten(1).double())
        assert torch.allclose(scores[first : first + 2].double(), expected, rtol=1e-4)


CONVOLUTIONS = {
    "plain": (lambda: nn.Conv2d(4, 3, 3, bias=False), (4, 6, 7)),
    "stride and padding": (lambda: nn.Conv2d(4, 3, 3, stride=2, padding=(1, 2), bias=False), (4, 6, 7)),
    "dilation": (lambda: nn.Conv2d(4, 3, (2, 3), dilation=2, bias=False), (4, 6, 7)),
    "same": (lambda: nn.Conv2d(4, 3, (2, 3), padding="same", bias=False), (4, 6, 7)),
    "valid": (lambda: nn.Conv2d(4, 3, 2, padding="valid", bias=False), (4, 6, 7)),
    "groups": (lambda: nn.Conv2d(4, 6, 2, groups=2, bias=False), (4, 6, 7)),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4, padding=1, bias=False), (4, 6, 7)),
    "one dimension": (lambda: nn.Conv1d(4, 3, 3, stride=2, padding=1, bias=False), (4, 9)),
    "three dimensions": (lambda: nn.Conv3d(2, 3, 2, dilation=(1, 2, 1), bias=False), (2, 4, 5, 4)),
}


@pytest.mark.parametrize("patch_bytes", [1, 32 * 2**20])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_is_the_linear_layer_over_its_patches(name, patch_bytes, monkeypatch):
    monkeypatch.setattr(inverse_hessians, "PATCH_BYTES", patch_bytes)
    make, shape = CONVOLUTIONS[name]
    model = seeded(lambda: nn.Sequential(make(), nn.Flatten(), nn.LazyLinear(2)))
    inputs = torch.randn(10, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model(inputs)
    layer = model[0]
    places = layer(inputs[:1]).detach().numel() // len(layer.weight)
    # what an output reads, found without unfolding: the gradient of each output by each weight of its row
    columns = []
    for row in range(len(layer.weight)):

        def outputs(weight, row=row):
            return layer_with(layer, weight, inputs)[:, row].flatten()

        jacobian = torch.autograd.functional.jacobian(outputs, layer.weight.detach())  # [n, out, in, kernel...]
        columns.append(jacobian[:, row].flatten(1).double())
    assert columns[0].shape[0] == 10 * places
    scores = of_first(model, inputs, 0.01)
    for row, x in enumerate(columns):
        hessian = x.T @ x
        hessian += 0.01 * hessian.diagonal().mean() * torch.eye(len(hessian))
        expected = layer.weight.detach()[row].flatten().double().square() / (2 * hessian.inverse().diagonal())
        assert torch.allclose(scores[row].flatten().double(), expected, rtol=1e-4)


def layer_with(layer: nn.Module, weight: Tensor, inputs: Tensor) -> Tensor:
    return torch.func.functional_call(layer, {"weight": weight}, (inputs,))


def test_a_layer_whose_hessian_is_large_has_a_pass_of_its_own_and_scores_the_same(monkeypatch):
    data = tiny("conv", count=40)
    together = scored(OptimalBrainSurgeon(), data, Weights())
    monkeypatch.setattr(inverse_hessians, "HESSIAN_BYTES", 1)
    apart = scored(OptimalBrainSurgeon(), data, Weights())
    assert all(torch.equal(together[name], apart[name]) for name in together)


def test_units_add_up_their_weights_and_pruned_weights_score_zero():
    data = tiny("conv", count=40)
    model = data.build()
    model[0].weight.data[1] = 0.0
    weights = scored(OptimalBrainSurgeon(), data, Weights(), model)["0"].reshape(4, -1)
    assert torch.allclose(scored(OptimalBrainSurgeon(), data, Channels(), model)["0"], weights.sum(dim=1))
    assert weights[1].tolist() == [0.0] * 18 and bool((weights[0] > 0).all())


def test_inputs_that_are_always_zero_make_their_weights_worth_nothing():
    scores = of_first(one_layer(torch.tensor([[1.0, 2.0]])), torch.zeros(3, 2), 0.01)
    assert scores.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("inputs", [[[1.0, 2.0]], [[0.0, 0.0]], [[0.1, 0.3], [0.2, 0.6]]])
def test_inputs_that_cannot_be_told_apart_ask_for_damping(inputs):
    with pytest.raises(WorkloadError, match=r"^0: .* raise criterion.damping, which is 0"):
        of_first(one_layer(torch.tensor([[1.0, 2.0]])), torch.tensor(inputs), 0.0)


def test_a_layer_that_pads_with_something_else_stays_whole_and_says_why():
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), nn.Flatten(), nn.Linear(32, 2))
    )
    data = work(model, torch.randn(4, 1, 4, 4))
    reasons = unscored(OptimalBrainSurgeon(), model, Weights().sorted_out(model, data.example)[0])
    assert reasons == {
        "0": "optimal_brain_surgeon knows only padding with zeros, and this pads with reflect: choose wanda"
    }
    with pytest.raises(WorkloadError, match=r"^0: .* pads with reflect"):
        scored(OptimalBrainSurgeon(), data, Weights())


@pytest.mark.parametrize("damping", [-0.1, 1.5, float("nan")])
def test_damping_is_a_share(damping):
    with pytest.raises(RecipeError, match=r"criterion\.damping is"):
        OptimalBrainSurgeon(damping)


def test_a_half_precision_weight_is_widened():
    assert F.relu(of_first(one_layer(torch.tensor([[300.0, 1.0]])), torch.eye(2), 0.0)).tolist() == [[45000.0, 0.5]]
    half = one_layer(torch.tensor([[300.0, 1.0]])).to(torch.bfloat16)
    assert of_first(half, torch.eye(2, dtype=torch.bfloat16), 0.0)[0].tolist() == pytest.approx(
        [45000.0, 0.5], rel=1e-2
    )
