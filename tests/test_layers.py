import pytest
import torch
from torch import nn

from pruning.layers import layer_macs, layer_table, model_macs, prunable_layers, shared_weights
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
    assert [name for name, _ in prunable_layers(model)] == ["0", "4"]


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_a_quantised_layer_says_why_it_cannot_be_pruned():
    model = seeded(NETWORKS["mlp"][0])
    model[2] = torch.ao.quantization.quantize_dynamic(nn.Sequential(model[2]), {nn.Linear}, dtype=torch.qint8)[0]
    assert "quantised" in reasons(model, 6)["2"]
    assert [name for name, _ in prunable_layers(model)] == ["0", "4"]


def test_norms_and_unknown_layers_say_why_they_cannot_be_pruned():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(5, 4)
            self.norm = nn.LayerNorm(4)
            self.head = nn.Linear(4, 2)

        def forward(self, ids):
            return self.head(self.norm(self.words(ids.long())).mean(1))

    why_not = reasons(Odd(), 3)
    assert "norm" in why_not["norm"] and "Embedding" in why_not["words"] and why_not["head"] == ""


def test_a_shared_weight_is_one_row_that_may_be_pruned():
    model = seeded(Tied)
    assert shared_weights(model) == {"first": "second", "second": "first"}
    assert [name for name, _ in prunable_layers(model)] == ["first", "head"]
    assert reasons(model, 6)["first"] == "" and "shares its weight with first" in reasons(model, 6)["second"]


def test_nothing_is_shared_in_a_plain_net():
    assert shared_weights(seeded(NETWORKS["residual"][0])) == {}
