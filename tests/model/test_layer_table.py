import pytest
import torch
from torch import Tensor, nn

from pruning.model.layer_table import layer_macs, layer_table, model_macs, prunable_weights
from pruning.model.parameter_sharing import every_path, shared_outside, shared_parameters, why_kept_whole
from tests.networks import NETWORKS, Tied, seeded


def rows(model: nn.Module, *shape: int) -> dict[str, tuple[str, tuple[int, ...], int, int]]:
    table = layer_table(model, torch.zeros(1, *shape))
    return {row.name: (row.type, row.shape, row.parameters, row.macs) for row in table}


def reasons(model: nn.Module, *shape: int) -> dict[str, str]:
    return {row.name: row.why_not for row in layer_table(model, torch.zeros(1, *shape))}


def test_the_table_of_a_convolutional_net_worked_out_by_hand():
    assert rows(seeded(NETWORKS["conv_bn"][0]), 2, 8, 8) == {
        "0": ("Conv2d", (4, 2, 3, 3), 72 + 4, 72 * 64),
        "1": ("BatchNorm2d", (4,), 8, 0),
        "4": ("Conv2d", (5, 4, 3, 3), 180 + 5, 180 * 16),
        "5": ("BatchNorm2d", (5,), 10, 0),
        "9": ("Linear", (3, 5), 15 + 3, 15),
    }


def test_the_macs_of_a_depthwise_convolution_count_one_input_channel_for_each_output():
    assert layer_macs(seeded(NETWORKS["depthwise"][0]), torch.zeros(1, 2, 8, 8))["3"] == 4 * 9 * 64


class ProjectedPositions(nn.Module):
    """A layer reads the first rows of an embedding's weight themselves. Vectors [b, 4] to [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.project = nn.Embedding(6, 4), nn.Linear(4, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors @ self.project(self.positions.weight[:4])


def test_a_layer_that_reads_a_slice_of_a_parameter_is_counted_and_goes_on_learning():
    model = ProjectedPositions()
    model.positions.weight.requires_grad_(False)
    assert layer_macs(model, torch.zeros(1, 4))["project"] == 4 * 4 * 3
    assert [parameter.requires_grad for parameter in model.parameters()] == [False, True, True]
    assert layer_macs(ProjectedPositions(), torch.zeros(1, 4))["project"] == 4 * 4 * 3


@pytest.mark.parametrize("name", NETWORKS)
def test_the_layers_macs_add_up_to_the_models(name):
    make, shape = NETWORKS[name]
    model = seeded(make)
    macs, leaves = (
        layer_macs(model, torch.zeros(1, *shape)),
        {n for n, m in model.named_modules() if not [*m.children()]},
    )
    assert sum(macs[layer] for layer in macs.keys() & leaves) == model_macs(model, torch.zeros(1, *shape)) > 0


def test_an_lstm_is_counted():
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 5, batch_first=True)

        def forward(self, words):
            return self.lstm(words)[0][:, -1]

    assert model_macs(Last(), torch.zeros(1, 7, 3)) == 7 * 4 * 5 * (3 + 5)


def test_counting_macs_leaves_the_model_and_the_backend_as_they_were():
    model = seeded(NETWORKS["conv_bn"][0])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model_macs(model, torch.zeros(1, 2, 8, 8))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.backends.mkldnn.enabled
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_counting_macs_warns_of_nothing(recwarn):
    model_macs(seeded(NETWORKS["mlp"][0]), torch.zeros(1, 6))
    assert not recwarn.list


def test_a_frozen_layer_says_why_it_cannot_be_pruned():
    model = seeded(NETWORKS["mlp"][0])
    model[2].weight.requires_grad_(False)
    why_not = reasons(model, 6)
    assert "frozen" in why_not["2"] and "requires_grad" in why_not["2"]
    assert why_not["0"] == why_not["4"] == ""
    assert [weight.name for weight in prunable_weights(model)] == ["0", "4"]


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_a_quantised_layer_says_why_it_cannot_be_pruned():
    model = seeded(NETWORKS["mlp"][0])
    model[2] = torch.ao.quantization.quantize_dynamic(nn.Sequential(model[2]), {nn.Linear}, dtype=torch.qint8)[0]
    assert "quantised" in reasons(model, 6)["2"]
    assert [weight.name for weight in prunable_weights(model)] == ["0", "4"]


def test_norms_and_unknown_layers_say_why_they_cannot_be_pruned():
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self, vectors):
            return vectors * self.weight

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(5, 4)
            self.norm, self.scale = nn.LayerNorm(4), Scale()
            self.head = nn.Linear(4, 2)

        def forward(self, ids):
            return self.head(self.scale(self.norm(self.words(ids.long()))).mean(1))

    why_not = reasons(Odd(), 3)
    assert "norm" in why_not["norm"] and "no weight matrix: scales and biases are pruned" in why_not["scale"]
    assert why_not["words"] == why_not["head"] == ""


def test_a_shared_weight_is_one_row_that_may_be_pruned():
    model = seeded(Tied)
    assert [weight.name for weight in prunable_weights(model)] == ["first", "head"]
    assert reasons(model, 6)["first"] == "" and "shares its weight with first" in reasons(model, 6)["second"]


def test_nothing_is_shared_in_a_plain_net():
    model = seeded(NETWORKS["residual"][0])
    assert shared_parameters(model) == {}
    assert every_path(model) == {name: [name] for name, _ in model.named_parameters()}


class Mixed(nn.Module):
    """Words, attention, a recurrent layer of two directions and a head: [b, 3] whole numbers to [b, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.gru = nn.GRU(4, 3, batch_first=True, bidirectional=True)
        self.head = nn.Linear(6, 2)

    def forward(self, ids):
        words = self.words(ids.long())
        return self.head(self.gru(self.attention(words, words, words)[0])[0][:, -1])


MIXED = {
    "words": ("words.weight", (5, 4), 20),
    "attention.in_proj_weight": ("attention.in_proj_weight", (12, 4), 48 + 12),
    "attention.out_proj": ("attention.out_proj.weight", (4, 4), 16 + 4),
    "gru.weight_ih_l0": ("gru.weight_ih_l0", (9, 4), 36 + 9),
    "gru.weight_hh_l0": ("gru.weight_hh_l0", (9, 3), 27 + 9),
    "gru.weight_ih_l0_reverse": ("gru.weight_ih_l0_reverse", (9, 4), 36 + 9),
    "gru.weight_hh_l0_reverse": ("gru.weight_hh_l0_reverse", (9, 3), 27 + 9),
    "head": ("head.weight", (2, 6), 12 + 2),
}
"""Row -> its weight, shape and parameters with the bias."""


def test_a_layer_with_several_weight_matrices_has_a_row_for_each():
    model = seeded(Mixed)
    table = layer_table(model, torch.zeros(1, 3))
    assert {row.name: (row.param, row.shape, row.parameters) for row in table} == MIXED
    assert sum(row.parameters for row in table) == sum(p.numel() for p in model.parameters())
    assert all(row.why_not == "" for row in table)
    assert [(weight.name, weight.param) for weight in prunable_weights(model)] == [
        (name, param) for name, (param, _, _) in MIXED.items()
    ]


def test_the_macs_of_a_layer_are_split_among_its_matrices_by_their_size():
    rows = {row.name: row.macs for row in layer_table(seeded(Mixed), torch.zeros(1, 3))}
    # three steps, three gates of three units: 4 inputs each, 3 states each
    assert (rows["gru.weight_ih_l0"], rows["gru.weight_hh_l0"]) == (3 * 9 * 4, 3 * 9 * 3)
    assert rows["head"] == 12


def test_the_rows_of_a_module_that_is_the_model_itself_have_names():
    assert [weight.name for weight in prunable_weights(nn.LSTM(2, 3))] == ["weight_ih_l0", "weight_hh_l0"]


def test_a_layer_called_under_two_names_is_not_shared_and_a_tied_weight_is():
    twice = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    twice.append(twice[0])
    assert shared_parameters(twice) == {}
    assert shared_parameters(seeded(Tied)) == {"first.weight": "second.weight", "second.weight": "first.weight"}


def two_parents() -> nn.Module:
    """Two blocks, each with a layer of its own and one that is the same module in both."""
    both = nn.Linear(2, 2)
    return nn.Sequential(nn.Sequential(nn.Linear(2, 2), both), nn.Sequential(nn.Linear(2, 2), both))


def test_a_module_with_two_parents_has_two_paths_and_lies_outside_of_each_of_them():
    model = two_parents()
    assert every_path(model)["1.1.weight"] == every_path(model)["0.1.weight"] == ["0.1.weight", "1.1.weight"]
    assert shared_parameters(model) == {}
    assert shared_outside(model, model[0]) == {"0.1.weight": "1.1.weight", "0.1.bias": "1.1.bias"}
    assert shared_outside(model, model[1]) == {"1.1.weight": "0.1.weight", "1.1.bias": "0.1.bias"}
    assert (
        shared_outside(model, model) == shared_outside(model, model[0][1]) == shared_outside(model, model[0][0]) == {}
    )


def test_a_tensor_without_values_is_shared_with_nobody():
    assert every_path(nn.ParameterList([torch.empty(0), torch.empty(0)])) == {}


def test_weights_that_hold_units_together_must_all_be_free():
    model = two_parents()
    assert why_kept_whole(model, model[0], ["0.0.weight"], ["0.0.bias"]) == ""
    assert why_kept_whole(model, model[1], ["1.0.weight", "1.1.weight"]) == (
        "its units own a part of 1.1.weight, which is shared with 0.1.weight: they always stay"
    )
    assert why_kept_whole(model, model[0], ["0.0.weight"], ["0.1.bias"]) == (
        "its units own a part of 0.1.bias, which is shared with 1.1.bias: they always stay"
    )
    assert why_kept_whole(model, model[0][1], ["0.1.weight"]) == ""  # the module itself is one in both places
    model[0][0].requires_grad_(False)
    assert why_kept_whole(model, model[0], ["0.0.weight"]).startswith(
        "its units own a part of 0.0.weight, which is froz"
    )
    assert why_kept_whole(model, model[0], [], ["0.0.bias"]) == ""


def test_a_tensor_twice_within_a_module_is_shared_too():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
    model[0][1].weight = model[0][0].weight
    assert shared_outside(model, model[0]) == {}
    assert "shared with 0.1.weight" in why_kept_whole(model, model[0], ["0.0.weight"])


def test_the_macs_of_a_transformer_layer_worked_out_by_hand():
    encoder = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    model = seeded(lambda: nn.Sequential(encoder, nn.Flatten(), nn.Linear(40, 3)))
    fast = torch.backends.mha.get_fastpath_enabled()
    macs = {row.name: row.macs for row in layer_table(model, torch.zeros(1, 5, 8))}
    # five tokens of eight: 24 rows for queries, keys and values and 8 for the output; two heads compare every pair of
    # tokens by four numbers and add up four numbers for each; a quarter of that goes with the output's weight, by size
    rows, output, heads = 5 * 8 * 24, 5 * 8 * 8, 2 * (2 * 5 * 5 * 4)
    assert macs["0.self_attn.in_proj_weight"] == rows + heads * 3 / 4
    assert macs["0.self_attn.out_proj"] == output + heads / 4
    assert macs["0.linear1"] == macs["0.linear2"] == 5 * 8 * 12 and macs["2"] == 120
    assert sum(macs.values()) == model_macs(model, torch.zeros(1, 5, 8))
    assert torch.backends.mha.get_fastpath_enabled() is fast
