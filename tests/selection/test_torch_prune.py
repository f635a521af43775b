"""The masks chosen are those of torch.nn.utils.prune on models without ties; with ties the count is still exact."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune

from pruning.criteria import Magnitude, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.granularities import Channels, Granularity, Weights
from pruning.model.layer_table import prunable_weights
from pruning.model.preparation import open_model
from pruning.model.units import Tiles, UnitGroup, masks_of
from pruning.selection.amounts import Sparsity
from pruning.selection.ranking import position, rank, select
from pruning.selection.scopes import Global, Scope, WithinLayer
from tests.conftest import PROFILE
from tests.networks import CPU, NETWORKS, tiny

SHARES = [0.0, 0.1, 0.37, 0.5, 0.7]


def reference_layers(network: str, seed: int) -> dict[str, nn.Module]:
    """Layers for torch to prune, of a model that was not opened: torch is wrong or fails on weights channels last."""
    return {weight.name: weight.module for weight in prunable_weights(tiny(network, seed).build())}


def our_masks(
    model: nn.Module, network: str, granularity: Granularity, scope: Scope, p, share: float
) -> dict[str, Tensor]:
    work = tiny(network)
    groups = granularity.sorted_out(model, work.example)[0]
    scores = unit_scores(Magnitude(p), model, groups, Calibration(work, CPU))
    keep = select(rank(groups, scores, scope, Sparsity(share)), Sparsity(share))
    masks = masks_of(groups, keep, model)
    return {
        group.name: masks.get(group.params[0], torch.ones(model.get_parameter(group.params[0]).shape).bool())
        for group in groups
    }


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("network", NETWORKS)
def test_weights_layer_by_layer_are_l1_unstructured(network, seed, share):
    model = open_model(tiny(network, seed), CPU)
    ours = our_masks(model, network, Weights(), WithinLayer(), 1, share)
    for name, module in reference_layers(network, seed).items():
        prune.l1_unstructured(module, "weight", share)
        assert torch.equal(ours[name], module.weight_mask.bool())


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("network", NETWORKS)
def test_weights_over_the_model_are_global_unstructured(network, seed, share):
    model = open_model(tiny(network, seed), CPU)
    ours = our_masks(model, network, Weights(), Global(), 2, share)
    layers = reference_layers(network, seed)
    prune.global_unstructured([(m, "weight") for m in layers.values()], prune.L1Unstructured, amount=share)
    reference = {name: module.weight_mask.bool() for name, module in layers.items()}
    assert all(mask.any() for mask in reference.values())  # else the floor of one weight a layer would differ, rightly
    assert all(torch.equal(ours[name], reference[name]) for name in layers)


@settings(PROFILE, max_examples=150)
@given(st.lists(st.tuples(st.integers(2, 6), st.integers(2, 6)), min_size=1, max_size=6), st.floats(0, 1), st.randoms())
def test_counts_and_masks_over_many_layers_are_global_unstructured(shapes, share, random):
    sizes = [float(i + 1) for i in range(sum(math.prod(shape) for shape in shapes))]
    random.shuffle(sizes)
    layers = {str(i): nn.utils.skip_init(nn.Linear, shape[1], shape[0], bias=False) for i, shape in enumerate(shapes)}
    for layer in layers.values():
        signs = [random.choice((-1.0, 1.0)) for _ in range(layer.weight.numel())]
        values = [sign * sizes.pop() for sign in signs]
        layer.weight = nn.Parameter(torch.tensor(values).reshape(layer.weight.shape))
    groups = [UnitGroup(str(i), (str(i),), shape, (Tiles(f"{i}.weight"),)) for i, shape in enumerate(shapes)]
    scores = {name: layer.weight.detach().abs().flatten() for name, layer in layers.items()}
    ranking = rank(groups, scores, Global(), Sparsity(share))
    where, keep = position(ranking, Sparsity(share)), select(ranking, Sparsity(share))
    prune.global_unstructured([(m, "weight") for m in layers.values()], prune.L1Unstructured, amount=share)
    reference = {name: layer.weight_mask.bool() for name, layer in layers.items()}
    assume(all(mask.any() for mask in reference.values()))  # else one weight of the layer stays, rightly
    assert [row.pruned for row in where.shares] == [int((~mask).sum()) for mask in reference.values()]
    assert all(torch.equal(keep[name].reshape(mask.shape), mask) for name, mask in reference.items())


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("network", ["mlp", "conv", "conv_bn"])
def test_channels_layer_by_layer_are_ln_structured_on_the_first_dimension(network, p, share):
    model = open_model(tiny(network, seed=7), CPU)
    groups = Channels().sorted_out(model, tiny(network).example)[0]
    work = tiny(network)
    scores = unit_scores(Magnitude(p), model, groups, Calibration(work, CPU))
    keep = select(rank(groups, scores, WithinLayer(), Sparsity(share)), Sparsity(share))
    for group in groups:
        module = model.get_submodule(group.name)
        prune.ln_structured(module, "weight", share, n=p, dim=0)
        assert keep[group.name].tolist() == module.weight_mask.flatten(1).bool().all(dim=1).tolist()
        assert torch.equal(module.weight_mask.flatten(1).any(dim=1), keep[group.name])


@pytest.mark.parametrize("scope", [Global(), WithinLayer()])
@pytest.mark.parametrize("share", SHARES)
def test_with_ties_exactly_the_rounded_share_is_pruned(share, scope):
    model = open_model(tiny("conv"), CPU)
    for weight in prunable_weights(model):
        weight.module.weight.data = weight.module.weight.data.sign()  # all weights are as important as one another
    groups = Weights().sorted_out(model, tiny("conv").example)[0]
    scores = unit_scores(Magnitude(), model, groups, Calibration(tiny("conv"), CPU))
    where = position(rank(groups, scores, scope, Sparsity(share)), Sparsity(share))
    pools = [sum(g.units for g in groups)] if scope == Global() else [g.units for g in groups]
    assert where.pruned == where.asked == sum(round(share * units) for units in pools)
