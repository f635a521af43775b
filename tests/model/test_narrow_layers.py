"""At full size each narrow class computes what torch's own does; narrower, what torch's computes with zeros."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from pruning.model.narrow_layers import NARROW, NarrowAttention
from tests.networks import seeded

DRAW = torch.Generator().manual_seed(0)
QUERY, KEY = (torch.randn(2, steps, 8, generator=DRAW, dtype=torch.float64) for steps in (5, 4))


def narrow(layer: nn.Module) -> nn.Module:
    """The same layer as the class that takes its place."""
    made = copy.deepcopy(layer)
    made.__class__ = NARROW[type(layer)]
    return made


def same(found, expected) -> bool:
    """Whether nested tuples of tensors are equal but for rounding."""
    if isinstance(expected, Tensor):
        return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-9, equal_nan=True)
    if expected is None:
        return found is None
    return len(found) == len(expected) and all(map(same, found, expected))


def attention(**options: object) -> nn.MultiheadAttention:
    made = seeded(lambda: nn.MultiheadAttention(8, 4, dtype=torch.float64, **options)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))  # biases are 0
    return made


OPTIONS = {
    "plain": {"batch_first": True},
    "steps first": {},
    "no bias": {"bias": False, "batch_first": True},
    "keys of its own": {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
}
LATER = torch.ones(5, 4, dtype=torch.bool).triu(1)
MASKS = {
    "no mask": {},
    "padding": {"key_padding_mask": torch.tensor([[False, False, True, True], [False, False, False, True]])},
    "mask": {"attn_mask": LATER},
    "mask of numbers": {"attn_mask": torch.randn(5, 4, generator=DRAW, dtype=torch.float64)},
    "mask for each head": {"attn_mask": LATER.repeat(8, 1, 1)},
    "both": {"attn_mask": LATER, "key_padding_mask": torch.tensor([[False, False, False, True]] * 2)},
    "no weights": {"need_weights": False},
    "weights of each head": {"average_attn_weights": False},
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", OPTIONS)
def test_attention_at_full_size(kind, mask):
    layer = attention(**OPTIONS[kind])
    query, key = (QUERY, KEY) if OPTIONS[kind].get("batch_first") else (QUERY.transpose(0, 1), KEY.transpose(0, 1))
    with torch.no_grad():
        assert same(narrow(layer)(query, key, key + 1, **MASKS[mask]), layer(query, key, key + 1, **MASKS[mask]))


def test_attention_over_other_widths_without_a_batch():
    layer = attention(kdim=6, vdim=7)
    query, key, value = QUERY[0], KEY[0, :, :6], KEY[0, :, 1:]
    with torch.no_grad():
        assert same(narrow(layer)(query, key, value), layer(query, key, value))
        padded = {"key_padding_mask": torch.tensor([False, False, False, True])}
        assert same(narrow(layer)(query, key, value, **padded), layer(query, key, value, **padded))


def test_attention_that_is_said_to_be_causal_sees_nothing_later():
    layer, made = attention(batch_first=True), narrow(attention(batch_first=True))
    causal = {"is_causal": True, "need_weights": False}
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1)
    with torch.no_grad():
        expected = layer(QUERY, QUERY, QUERY, attn_mask=mask, **causal)[0]
        assert same(made(QUERY, QUERY, QUERY, attn_mask=mask, **causal)[0], expected)
        assert same(made(QUERY, QUERY, QUERY, **causal)[0], expected)


@pytest.mark.parametrize("mask", ["no mask", "both", "mask for each head", "no weights"])
def test_attention_of_fewer_heads_is_that_of_heads_of_zeros(mask):
    zeroed = attention(batch_first=True)
    kept = [0, 1, 4, 5, 6, 7]  # without the second of four heads of two
    rows = torch.tensor([part * 8 + index for part in range(3) for index in kept])
    made = narrow(zeroed)
    assert isinstance(made, NarrowAttention)
    with torch.no_grad():
        made.in_proj_weight.data, made.in_proj_bias.data = made.in_proj_weight[rows], made.in_proj_bias[rows]
        made.out_proj.weight.data = made.out_proj.weight[:, kept]
        gone = torch.ones(24, dtype=torch.bool)
        gone[rows] = False
        zeroed.in_proj_weight[gone], zeroed.in_proj_bias[gone] = 0.0, 0.0
        found, _ = made(QUERY, KEY, KEY, **MASKS[mask])
        expected, _ = zeroed(QUERY, KEY, KEY, **MASKS[mask])
        assert same(found, expected)


def test_torchs_transformer_layer_takes_it_in_place_of_its_own():
    layer = seeded(lambda: nn.TransformerEncoderLayer(8, 4, 12, batch_first=True, dtype=torch.float64)).eval()
    made = copy.deepcopy(layer)
    made.self_attn = narrow(layer.self_attn)
    padding = torch.tensor([[False, False, False, True, True], [False] * 5])
    with torch.no_grad():
        for options in ({}, {"src_key_padding_mask": padding}):
            found, expected = made(QUERY, **options), layer(QUERY, **options)
            seen = ~padding if options else torch.ones(2, 5, dtype=torch.bool)  # the fast path puts 0 at what is padded
            assert same(found[seen], expected[seen])


RECURRENT = {
    "tanh": (nn.RNN, {}),
    "relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}),
    "lstm": (nn.LSTM, {}),
}


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}], ids=str)
@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_layers_at_full_size(kind, options):
    make, own = RECURRENT[kind]
    for batch_first, batched, given in itertools.product((True, False), repeat=3):
        layer = seeded(lambda: make(8, 3, batch_first=batch_first, dtype=torch.float64, **own, **options)).eval()  # noqa: B023
        steps = QUERY if batched else QUERY[0]
        shape = [options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)]
        shape += [len(steps) if batch_first else steps.shape[1]] if batched else []
        state = torch.randn(*shape, 3, dtype=torch.float64)
        begun = ((state, state + 1) if kind == "lstm" else state) if given else None
        with torch.no_grad():
            assert same(narrow(layer)(steps, begun), layer(steps, begun)), (batch_first, batched, given)


def test_layers_that_differ_give_their_last_states_as_a_tuple():
    layer = narrow(nn.GRU(8, 3, num_layers=2, batch_first=True, dtype=torch.float64))
    with torch.no_grad():  # the first layer without its last unit
        rows = [0, 1, 3, 4, 6, 7]
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            getattr(layer, name).data = getattr(layer, name)[rows]
        layer.weight_hh_l0.data, layer.weight_ih_l1.data = layer.weight_hh_l0[:, :2], layer.weight_ih_l1[:, :2]
        output, last = layer(QUERY)
    assert output.shape == (2, 5, 3) and [state.shape for state in last] == [(2, 2), (2, 3)]
    assert torch.equal(output[:, -1], last[1])


def test_layers_that_differ_say_how_many_units_each_has():
    layer = narrow(nn.LSTM(3, 4, 2, bidirectional=True))
    layer.weight_hh_l0_reverse.data = layer.weight_hh_l0_reverse.data[:8, :2]
    assert repr(layer) == "NarrowLSTM(3, units=4, 2, 4, 4)"


def test_packed_sequences_are_refused_with_the_way_out():
    packed = nn.utils.rnn.pack_padded_sequence(QUERY, torch.tensor([5, 4]), batch_first=True)
    with pytest.raises(TypeError, match=r"packed sequences are not supported .*: pad instead"):
        narrow(nn.GRU(8, 3, batch_first=True, dtype=torch.float64))(packed)


def test_dropout_between_layers_is_for_training_alone():
    layer = nn.LSTM(8, 3, num_layers=2, dropout=0.9, batch_first=True, dtype=torch.float64)
    made = narrow(layer)
    with torch.no_grad():
        assert same(made.eval()(QUERY), layer.eval()(QUERY))
        assert not same(made.train()(QUERY)[0], layer.eval()(QUERY)[0])
