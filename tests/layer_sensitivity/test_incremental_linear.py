import pytest
import torch
from torch import Tensor, nn

from pruning.layer_sensitivity.incremental_linear import IncrementalLinear, computing_incrementally, incremental_linears

SHAPE = (260, 300)


def cuts(seed: int = 0) -> tuple[nn.Linear, dict[int, Tensor]]:
    """A layer and what its cuts leave, each less: from nearly all to a hundredth."""
    torch.manual_seed(seed)
    chance = torch.rand(SHAPE)
    left = {percent: chance >= percent / 100 for percent in (10, 20, 60, 90, 95, 99)}
    return nn.Linear(SHAPE[1], SHAPE[0]), left


def gone(left: dict[int, Tensor]) -> dict[int, Tensor]:
    return {percent: ~stays for percent, stays in left.items()}


def expected(layer: nn.Linear, left: Tensor, inputs: Tensor) -> Tensor:
    return nn.functional.linear(inputs, layer.weight * left, layer.bias)


@pytest.mark.parametrize("order", [(99, 95, 90, 60, 20, 10), (60, 10), (10, 60, 99), (95,), (90, 90)])
@pytest.mark.parametrize("shape", [(7, 300), (2, 3, 300), (1, 300)])
def test_every_cut_in_every_order_is_what_the_dense_layer_computes(shape, order):
    layer, left = cuts()
    ladder = IncrementalLinear(layer, gone(left))
    for inputs in torch.randn(2, *shape):
        for cut in order:
            assert torch.allclose(ladder.output(cut, inputs), expected(layer, left[cut], inputs), atol=1e-5)


def test_what_follows_may_overwrite_inputs_and_outputs():
    layer, left = cuts()
    ladder, inputs = IncrementalLinear(layer, gone(left)), torch.randn(5, 300)
    ladder.output(99, inputs).zero_()
    assert torch.allclose(ladder.output(95, inputs), expected(layer, left[95], inputs), atol=1e-5)
    inputs.mul_(2.0)
    assert torch.allclose(ladder.output(90, inputs), expected(layer, left[90], inputs), atol=1e-5)


def test_a_layer_without_bias():
    layer, left = cuts()
    layer.bias = None
    inputs = torch.randn(5, 300)
    assert torch.allclose(
        IncrementalLinear(layer, gone(left)).output(95, inputs), expected(layer, left[95], inputs), atol=1e-5
    )


def test_only_wide_linear_weights_whose_cuts_lie_within_one_another_have_ladders():
    layer, left = cuts()
    model = nn.Sequential(layer, nn.Conv2d(300, 300, 1), nn.Linear(20, 30), nn.Linear(300, 260), nn.Identity())
    cut = {}
    for percent in (20, 90):
        pruned = ~left[percent]
        cut[percent] = {
            "0.weight": pruned,
            "0.bias": torch.zeros(260, dtype=torch.bool),
            "1.weight": torch.rand(300, 300, 1, 1) < percent / 100,
            "2.weight": torch.rand(30, 20) < percent / 100,
            "3.weight": torch.rand(SHAPE) < percent / 100,
        }
    assert list(incremental_linears(model, cut)) == ["0"]
    with torch.no_grad():
        model[0] = nn.Linear(300, 260, dtype=torch.float64)
    assert not incremental_linears(model, cut)


def test_the_layer_is_itself_again_after_the_block():
    layer, left = cuts()
    model, inputs = nn.Sequential(layer), torch.randn(4, 300)
    before = model(inputs)
    climbed = incremental_linears(model, {percent: {"0.weight": ~stays} for percent, stays in left.items()})
    with pytest.raises(ValueError), computing_incrementally(model, climbed, 95):
        assert torch.allclose(model(inputs), expected(layer, left[95], inputs), atol=1e-5)
        raise ValueError
    assert torch.equal(model(inputs), before)


def test_a_weight_that_is_cut_away_may_be_infinite_and_a_forward_of_ones_own_comes_back():
    layer, left = cuts()
    with torch.no_grad():
        layer.weight[~left[99]] = torch.inf
    inputs = torch.rand(4, 300)
    model = nn.Sequential(layer)
    own = layer.forward = lambda inputs: inputs
    with computing_incrementally(
        model, incremental_linears(model, {p: {"0.weight": ~stays} for p, stays in left.items()}), 99
    ):
        assert bool(model(inputs).isfinite().all())
    assert layer.forward is own
