"""What certain networks have to give: common transformers, and those whose channels are coupled in unusual ways."""

from dataclasses import dataclass

import pytest

pytest.importorskip("transformers", reason="strangers' networks: make test-zoo installs them")

from torch import nn

from pruning.granularities import Heads, Weights
from pruning.model.preparation import open_model
from tests.zoo.cuts import CPU, cut, differences_of_files, lost, workload


@dataclass(frozen=True)
class Transformer:
    """`attentions` attention layers, and the name that the layers end in which make the MLPs' units."""

    attentions: int
    mlp: str


TRANSFORMERS = {
    "transformers/bert": Transformer(2, "intermediate.dense"),
    "transformers/roberta": Transformer(2, "intermediate.dense"),
    "transformers/gpt2": Transformer(2, "mlp.c_fc"),
    "transformers/llama": Transformer(2, "mlp.up_proj"),
    "transformers/qwen2": Transformer(2, "mlp.up_proj"),
    "transformers/qwen3": Transformer(2, "mlp.up_proj"),
    "transformers/vit": Transformer(2, "mlp.fc1"),
    "transformers/whisper": Transformer(6, "fc1"),  # of two decoder layers each has two
}
MATRICES = 0.9
"""The share of a transformer's weight matrices that single weights are pruned in. Whisper's positions are frozen."""

EXPECTED = {
    "torchvision/shufflenet_v2": ("channels", 0.25),
    "transformers/convnext": ("channels", 0.25),
    "timm/convnext": ("channels", 0.25),
    "transformers/swin": ("channels", 0.25),
    "timm/swin": ("channels", 0.25),
    "ultralytics/c2f": ("channels", 0.25),
    "ultralytics/c2f_split": ("channels", 0.25),
    "torch/unet": ("channels", 0.25),
    "torch/lstm": ("rnn_units", 0.25),
    "torch/lstm_stacked": ("rnn_units", 0.25),
    "torch/gru": ("rnn_units", 0.25),
    "torch/gru_stacked_both_ways": ("rnn_units", 0.25),
}
"""Network -> its natural granularity, and the share of all parameters that goes when 30 % of these units go."""

each_transformer = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in TRANSFORMERS]
)
each_expected = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in EXPECTED]
)


@each_transformer
def test_nearly_all_weight_matrices_take_part(name):
    work = workload(name)
    model = open_model(work, CPU)
    groups, _ = Weights().sorted_out(model, work.example)
    taking_part = {param for group in groups for param in group.params}
    matrices = {param for param, values in model.named_parameters() if param.endswith("weight") and values.dim() >= 2}
    assert len(matrices & taking_part) >= MATRICES * len(matrices), matrices - taking_part


@each_transformer
def test_the_heads_of_every_attention_are_found(name):
    work = workload(name)
    groups, reasons = Heads().sorted_out(open_model(work, CPU), work.example)
    assert len(groups) == TRANSFORMERS[name].attentions, reasons


@each_transformer
def test_heads_are_removed_and_the_file_is_the_network(name, tmp_path):
    result = cut(name, "heads", 0.5)
    assert all(int(keep.sum()) == len(keep) // 2 for keep in result.keep.values())
    assert lost(result) > 0
    assert differences_of_files(result, tmp_path) == []


@each_transformer
def test_units_of_every_mlp_are_removed_and_the_file_is_the_network(name, tmp_path):
    result = cut(name, "channels", 0.3)
    before, after = _units(workload(name).build(), name), _units(result.model, name)
    assert before and after.keys() == before.keys()
    assert all(after[layer] == before[layer] - round(0.3 * before[layer]) for layer in before), (before, after)
    assert differences_of_files(result, tmp_path) == []


def _units(model: nn.Module, name: str) -> dict[str, int]:
    """Layer -> how many units it makes, for the first layer of every MLP; the weight of a Conv1D lies [in, out]."""
    layers = {path: layer for path, layer in model.named_modules() if path.endswith(TRANSFORMERS[name].mlp)}
    dim = 1 if name == "transformers/gpt2" else 0
    return {path: layer.weight.shape[dim] for path, layer in layers.items()}


@each_expected
def test_a_cut_of_its_natural_units_takes_its_share_of_the_network(name, tmp_path):
    granularity, share = EXPECTED[name]
    result = cut(name, granularity, 0.3)
    assert lost(result) >= share
    assert differences_of_files(result, tmp_path) == []
