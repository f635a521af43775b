"""Weights drawn anew: by the seed, as torch's layers draw theirs, and refused where a module cannot."""

import pytest
import torch
from torch import nn

from pruning.errors import RecipeError
from pruning.model.drawing import draw_anew, require_drawing
from tests.every_granularity import NETWORK_OF, tiny_for
from tests.networks import CPU, NETWORKS, tiny


def test_a_layer_is_drawn_as_torch_draws_it_when_it_is_made():
    model = nn.Sequential(nn.Linear(6, 3))
    draw_anew(model, 5, CPU)
    torch.manual_seed(5)
    made = nn.Linear(6, 3)
    assert torch.equal(model[0].weight, made.weight) and torch.equal(model[0].bias, made.bias)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_seed_decides_and_the_global_generator_stays(name):
    ends = []
    for seed in (1, 1, 2):
        model, before = tiny(name).build(), torch.get_rng_state()
        draw_anew(model, seed, CPU)
        assert torch.equal(torch.get_rng_state(), before)
        ends.append(model.state_dict())
    assert all(torch.equal(tensor, ends[1][key]) for key, tensor in ends[0].items())
    given = tiny(name).build().state_dict()
    for key, tensor in ends[0].items():
        if key.endswith("weight") and tensor.dim() > 1:
            assert not torch.equal(tensor, ends[2][key]) and not torch.equal(tensor, given[key])


def test_norms_begin_without_statistics():
    model = tiny("conv_bn").build()
    draw_anew(model, 0, CPU)
    assert model[1].running_mean.tolist() == [0.0] * 4 and model[1].weight.tolist() == [1.0] * 4


@pytest.mark.parametrize("granularity", NETWORK_OF)
def test_torchs_own_layers_can_all_be_drawn(granularity):
    model = tiny_for(granularity).build()
    try:
        require_drawing(model)
    except RecipeError:
        assert any(module._parameters for module in model.modules() if type(module).__module__.startswith("tests"))
        return
    before = {name: each.clone() for name, each in model.named_parameters() if each.dim() > 1}
    draw_anew(model, 3, CPU)
    assert not any(torch.equal(each, before[name]) for name, each in model.named_parameters() if name in before)


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.gate = nn.Parameter(torch.ones(3))


def test_a_module_that_cannot_draw_its_own_parameters_is_named():
    with pytest.raises(RecipeError, match=r"own holds parameters of its own and has no reset_parameters\(\)"):
        require_drawing(nn.ModuleDict({"own": Own()}))
    require_drawing(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.MultiheadAttention(4, 2)))
