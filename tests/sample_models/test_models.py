"""Every sample model: its size, its card, its accuracy, and what `fitting` builds."""

import hashlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import safetensors.torch
import torch
from torch import nn

from pruning.errors import WorkloadError
from pruning.model.layer_table import model_macs
from sample_models import (
    MODELS,
    card,
    cards,
    fashion_cnn,
    fashion_lstm,
    fashion_mnist,
    fashion_resnet,
    fashion_vit,
    lenet_300_100,
    mlp_128,
    shipped,
)
from sample_models.train import TRAININGS, accuracy

NAMES = list(MODELS)
MODULES = (fashion_cnn, lenet_300_100, mlp_128, fashion_resnet, fashion_lstm, fashion_vit)
FILES: dict[str, ModuleType] = {module.NAME: module for module in MODULES}
LEAST_TEST_ACCURACY = {
    "fashion_cnn": 0.915,
    "lenet_300_100": 0.89,
    "mlp_128": 0.87,
    "fashion_resnet": 0.93,
    "fashion_lstm": 0.88,
    "fashion_vit": 0.86,
}
MOST_PARAMETERS = {
    "fashion_cnn": 20_490,
    "lenet_300_100": 266_610,
    "mlp_128": 101_770,
    "fashion_resnet": 300_000,
    "fashion_lstm": 65_000,
    "fashion_vit": 65_000,
}
MOST_MACS = {
    "fashion_cnn": 1_100_000,
    "lenet_300_100": 270_000,
    "mlp_128": 105_000,
    "fashion_resnet": 15_000_000,
    "fashion_lstm": 1_700_000,
    "fashion_vit": 3_500_000,
}
ALONE = """
from collections.abc import Mapping, Sequence
from typing import Self
import torch
import torch.nn.functional as F
from torch import Tensor, nn
"""


def network_of(name: str) -> type[nn.Module]:
    return FILES[name].SOURCES[-1]


def narrowed(tensors: dict[str, torch.Tensor], cuts: dict[str, tuple[slice, ...]]) -> dict[str, torch.Tensor]:
    return {key: tensor[cuts.get(key, ())].clone() for key, tensor in tensors.items()}


def copied(name: str, folder: Path) -> Path:
    for ending in ("safetensors", "json"):
        (folder / f"{name}.{ending}").write_bytes((cards.FOLDER / f"{name}.{ending}").read_bytes())
    return folder


def sealed(name: str, folder: Path, packed: bytes) -> None:
    """Write weights together with a card whose checksum fits, so that the checks behind the checksum are reached."""
    facts = json.loads((cards.FOLDER / f"{name}.json").read_text())
    facts["sha256"] = hashlib.sha256(packed).hexdigest()
    (folder / f"{name}.safetensors").write_bytes(packed)
    (folder / f"{name}.json").write_text(json.dumps(facts))


def test_table_is_in_the_order_of_the_page():
    assert NAMES == ["fashion_cnn", "lenet_300_100", "mlp_128", "fashion_resnet", "fashion_lstm", "fashion_vit"]
    assert set(TRAININGS) == set(NAMES)


def test_importing_and_cards_read_no_data():
    script = (
        "import sys, pathlib\n"
        "read = pathlib.Path.read_bytes\n"
        "seen = []\n"
        "pathlib.Path.read_bytes = lambda path: seen.append(path.name) or read(path)\n"
        "import sample_models\n"
        "assert not seen, seen\n"
        "sample_models.card('fashion_cnn')\n"
        "assert seen == ['fashion_cnn.json'], seen\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("name", NAMES)
def test_workload_holds_together(name: str):
    workload = MODELS[name]()
    assert workload.name == name
    assert workload.example.shape == (1, 1, 28, 28)
    assert workload.task.classes == fashion_mnist.CLASSES
    model = workload.build()
    assert not model.training
    assert model(workload.example).shape == (1, 10)


@pytest.mark.parametrize("name", NAMES)
def test_size_is_within_limits_and_on_the_card(name: str):
    model, facts = network_of(name)(), card(name)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters == facts.parameters <= MOST_PARAMETERS[name]
    assert model_macs(model.eval(), torch.zeros(1, 1, 28, 28)) == facts.macs <= MOST_MACS[name]


def test_macs_of_recurrent_layers_and_of_attention_by_hand():
    # an LSTM makes four gates of its input and its state, at each of 28 rows in both directions
    first, second = 4 * 40 * (28 + 40), 4 * 40 * (2 * 40 + 40)
    assert card("fashion_lstm").macs == 28 * 2 * (first + second) + 2 * 40 * 10
    # attention makes query, key, value and output of each token, then compares and mixes each with each
    tokens, width, inner = 49, 48, 96
    attention = 4 * tokens * width**2 + 2 * tokens**2 * width
    blocks = 3 * (attention + 2 * tokens * width * inner)
    assert card("fashion_vit").macs == tokens * 16 * width + blocks + width * 10


@pytest.mark.parametrize("name", NAMES)
def test_scoring_repeats_and_leaves_the_images_alone(name: str):
    model = FILES[name].build()
    images, _ = fashion_mnist.test().batch(torch.arange(8), torch.device("cpu"))
    kept = images.clone()
    first = model(images)
    assert torch.equal(images, kept)
    assert torch.equal(model(images), first)


@pytest.mark.parametrize("name", NAMES)
def test_initial_weights_fit_the_trained_network(name: str):
    workload = MODELS[name]()
    trained, initial = workload.build().state_dict(), workload.checkpoints["initial"]()
    assert list(workload.checkpoints) == ["initial"]
    assert list(initial) == list(trained)
    assert {key: tensor.shape for key, tensor in initial.items()} == {key: t.shape for key, t in trained.items()}
    assert not any(torch.equal(initial[key], trained[key]) for key in trained if key.endswith("weight"))
    workload.build().load_state_dict(dict(initial))


def test_initial_weights_are_drawn_when_asked_and_draw_from_no_one_else():
    workload = MODELS["mlp_128"]()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second = (workload.checkpoints["initial"]() for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert first["fc1.weight"].data_ptr() != second["fc1.weight"].data_ptr()


def test_cnn_is_the_one_that_was_asked_for():
    assert card("fashion_cnn").parameters == 20_490


@pytest.mark.parametrize("name", NAMES)
def test_shipped_weights_score_what_the_card_says(name: str):
    model, facts = FILES[name].build(), card(name)
    test_accuracy = accuracy(model, fashion_mnist.test())
    assert test_accuracy == facts.test_accuracy
    assert test_accuracy >= LEAST_TEST_ACCURACY[name]


@pytest.mark.parametrize("name", NAMES)
def test_card_tells_how_the_weights_came_about(name: str):
    facts = card(name)
    assert (facts.train_size, facts.validation_size, facts.test_size) == (50_000, 10_000, 10_000)
    assert facts.name == name
    assert facts.command.startswith(f"python -m sample_models.train {name} --seed {facts.seed}")
    assert facts.recipe == str(TRAININGS[name])
    assert facts.epochs == TRAININGS[name].epochs
    assert facts.sha256 == hashlib.sha256((cards.FOLDER / f"{name}.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_copies_share_no_storage(name: str):
    first, second = FILES[name].build(), FILES[name].build()
    for tensor in first.state_dict().values():
        tensor.zero_()
    kept = shipped.weights(name, network_of(name))
    for key, tensor in second.state_dict().items():
        assert torch.equal(tensor, kept[key])
        assert tensor.data_ptr() != kept[key].data_ptr()
    assert any(tensor.any() for tensor in kept.values())


@pytest.mark.parametrize(
    ("smaller", "widths"),
    [
        (mlp_128.MLP(hidden=7), {"fc1.weight": 7}),
        (lenet_300_100.LeNet300100(first=31, second=5), {"fc1.weight": 31, "fc2.weight": 5}),
        (fashion_cnn.FashionCNN(first=3, second=11), {"conv1.weight": 3, "conv2.weight": 11}),
        (
            fashion_resnet.FashionResNet(stream=(5, 9, 13), inner=(2, 3, 4, 6, 8)),
            {"conv1.weight": 5, "block3.conv2.weight": 9, "block5.shortcut.0.weight": 13, "block4.conv1.weight": 6},
        ),
        (fashion_lstm.FashionLSTM(hidden=6), {"lstm.weight_ih_l1_reverse": 24}),
        (
            fashion_vit.FashionViT(width=12, inner=(5, 1, 9)),
            {"patches.weight": 12, "block1.fc1.weight": 5, "block2.fc1.weight": 1, "block3.fc1.weight": 9},
        ),
    ],
    ids=["mlp_128", "lenet_300_100", "fashion_cnn", "fashion_resnet", "fashion_lstm", "fashion_vit"],
)
def test_fitting_reads_the_widths_off_the_tensors(smaller: nn.Module, widths: dict[str, int]):
    tensors = smaller.eval().state_dict()
    built = type(smaller).fitting(tensors)  # type: ignore[attr-defined]
    images = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert not built.training
    assert {key: built.state_dict()[key].shape[0] for key in widths} == widths
    assert torch.equal(built(images), smaller(images))


def test_fitting_a_cut_network_leaves_the_other_channels_what_they_were():
    whole = fashion_cnn.build()
    with torch.no_grad():
        whole.conv1.weight[10:] = 0
        whole.conv1.bias[10:] = 0  # type: ignore[index]
    cuts = {
        "conv1.weight": (slice(10),),
        "conv1.bias": (slice(10),),
        "conv2.weight": (slice(None), slice(10)),
    }
    cut = fashion_cnn.FashionCNN.fitting(narrowed(whole.state_dict(), cuts))
    images, _ = fashion_mnist.test().batch(torch.arange(20), torch.device("cpu"))
    torch.testing.assert_close(cut(images), whole(images))


def test_fitting_a_transformer_with_fewer_neurons_leaves_the_others_what_they_were():
    whole = fashion_vit.build()
    with torch.no_grad():
        whole.block2.fc1.weight[30:] = 0
        whole.block2.fc1.bias[30:] = 0  # GELU of 0 is 0
    cuts = {
        "block2.fc1.weight": (slice(30),),
        "block2.fc1.bias": (slice(30),),
        "block2.fc2.weight": (slice(None), slice(30)),
    }
    cut = fashion_vit.FashionViT.fitting(narrowed(whole.state_dict(), cuts))
    images, _ = fashion_mnist.test().batch(torch.arange(20), torch.device("cpu"))
    torch.testing.assert_close(cut(images), whole(images))


def test_fitting_refuses_tensors_of_another_network():
    with pytest.raises(RuntimeError):
        mlp_128.MLP.fitting({**mlp_128.MLP().state_dict(), "extra": torch.zeros(1)})


@pytest.mark.parametrize("name", NAMES)
def test_sources_stand_on_their_own(name: str):
    sources = "\n".join(inspect.getsource(source) for source in FILES[name].SOURCES)
    space: dict[str, type[nn.Module]] = {}
    exec(ALONE + sources, space)
    rebuilt = space[network_of(name).__name__].fitting(shipped.weights(name, network_of(name)))  # type: ignore
    images, _ = fashion_mnist.test().batch(torch.arange(8), torch.device("cpu"))
    assert torch.equal(rebuilt(images), FILES[name].build()(images))


def test_damaged_weights_are_named_with_the_way_out(tmp_path: Path):
    folder = copied("mlp_128", tmp_path)
    content = bytearray((folder / "mlp_128.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "mlp_128.safetensors").write_bytes(content)
    with pytest.raises(WorkloadError) as caught:
        shipped.weights("mlp_128", mlp_128.MLP, folder)
    sentence = str(caught.value)
    assert sentence.startswith("sample_models/weights/mlp_128.safetensors has the SHA-256 ")
    assert "`git checkout -- sample_models/weights/mlp_128.safetensors`" in sentence
    assert "`python -m sample_models.train mlp_128`" in sentence
    assert str(tmp_path) not in sentence


@pytest.mark.parametrize("ending", ["safetensors", "json"])
def test_missing_file_is_named(ending: str, tmp_path: Path):
    folder = copied("mlp_128", tmp_path)
    (folder / f"mlp_128.{ending}").unlink()
    with pytest.raises(WorkloadError, match=rf"sample_models/weights/mlp_128\.{ending} is missing; restore it"):
        shipped.weights("mlp_128", mlp_128.MLP, folder)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"name": "mlp_128", "colour": "blue"}'])
def test_card_that_is_none_is_refused(content: str, tmp_path: Path):
    (tmp_path / "mlp_128.json").write_text(content)
    with pytest.raises(WorkloadError, match="is not a model card of this version"):
        card("mlp_128", tmp_path)


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path):
    sealed("mlp_128", tmp_path, b"no tensors here, only words")
    with pytest.raises(WorkloadError, match="is not a safetensors file"):
        shipped.weights("mlp_128", mlp_128.MLP, tmp_path)


def test_weights_of_another_size_are_refused(tmp_path: Path):
    sealed("mlp_128", tmp_path, safetensors.torch.save(mlp_128.MLP(hidden=64).state_dict()))
    with pytest.raises(WorkloadError, match=r"holds fc1\.bias as \(64,\) where the network has \(128,\)"):
        shipped.weights("mlp_128", mlp_128.MLP, tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path):
    tensors = mlp_128.MLP().state_dict()
    tensors["fc2.weight"][3, 4] = torch.nan
    sealed("mlp_128", tmp_path, safetensors.torch.save(tensors))
    with pytest.raises(WorkloadError, match=r"holds NaN or Inf in fc2\.weight"):
        shipped.weights("mlp_128", mlp_128.MLP, tmp_path)
