import copy

import torch
from torch import nn

from pruning.model.module_sizes import NO_SIZES, sizes_between
from pruning.model.resizing import resize_layers


def test_an_lstm_whose_states_are_projected_says_what_it_said():
    model = nn.Sequential(nn.LSTM(5, 6, proj_size=3))
    other = copy.deepcopy(model)
    resize_layers(other, model)
    assert sizes_between(model, other) == NO_SIZES
    assert torch.equal(other(torch.ones(2, 1, 5))[0], model(torch.ones(2, 1, 5))[0])


def test_attention_with_fewer_heads_stays_off_torchs_fast_path_when_it_is_copied():
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 4, 12, batch_first=True)).eval()
    other = copy.deepcopy(model)
    attention = other[0].self_attn
    attention.in_proj_weight.data = attention.in_proj_weight.data.unflatten(0, (3, 4, 2))[:, :2].flatten(0, 2)
    attention.in_proj_bias.data = attention.in_proj_bias.data.unflatten(0, (3, 4, 2))[:, :2].flatten()
    attention.out_proj.weight.data = attention.out_proj.weight.data[:, :4]
    resize_layers(other, model)
    assert attention.num_heads == 2
    inputs = torch.ones(1, 5, 8)
    with torch.no_grad():  # without it there is no fast path
        assert torch.equal(copy.deepcopy(other)(inputs), other(inputs))
