import pytest
import torch
from torch import nn

from pruning.sparse_linear import SparseLinear, computed_by, sparse_linears

DRAW = torch.Generator().manual_seed(0)


def layer(bias: bool = True) -> tuple[nn.Linear, torch.Tensor]:
    """A Linear of 20 to 30 of which one weight in twenty is left."""
    linear = nn.Linear(20, 30, bias)
    gone = torch.rand(30, 20, generator=DRAW) > 0.05
    return linear, linear.weight.detach().masked_fill(gone, 0.0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 20), (2, 3, 20), (1, 20)])
def test_a_sparse_linear_computes_what_the_dense_one_does(shape, bias):
    linear, weight = layer(bias)
    values = torch.randn(shape, generator=DRAW)
    expected = nn.functional.linear(values, weight, linear.bias)
    assert torch.allclose(SparseLinear(weight, linear.bias)(values), expected, atol=1e-6)


def test_only_linear_weights_with_little_left_are_sparse():
    linear, weight = layer()
    model = nn.Sequential(linear, nn.Conv2d(1, 1, 1), nn.Linear(20, 30))
    cut = {
        "0.weight": weight,
        "1.weight": torch.zeros(1, 1, 1, 1),
        "2.weight": torch.ones(30, 20),
        "0.bias": linear.bias,
    }
    assert list(sparse_linears(model, cut)) == ["0"]


def test_the_cut_bias_is_used_where_there_is_one():
    linear, weight = layer()
    form = sparse_linears(nn.Sequential(linear), {"0.weight": weight, "0.bias": torch.zeros(30)})["0"]
    assert torch.equal(form(torch.zeros(1, 20)), torch.zeros(1, 30))


def test_the_layer_is_itself_again_after_the_block():
    linear, weight = layer()
    model, values = nn.Sequential(linear), torch.randn(4, 20, generator=DRAW)
    before = model(values)
    with pytest.raises(ValueError), computed_by(model, sparse_linears(model, {"0.weight": weight})):
        assert torch.allclose(model(values), nn.functional.linear(values, weight, linear.bias), atol=1e-6)
        raise ValueError
    assert torch.equal(model(values), before)
