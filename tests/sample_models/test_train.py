"""Training a sample model anew, in miniature."""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from pruning.files.atomic_write import write_whole
from pruning.workload import TensorSplit
from sample_models import card, fashion_cnn, fashion_lstm, fashion_mnist, fashion_resnet, fashion_vit, mlp_128, shipped
from sample_models.train import TRAININGS, RunningAverage, reproduce, train


@pytest.fixture
def same_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def slice_of(split: TensorSplit, count: int) -> TensorSplit:
    return TensorSplit(split.inputs[:count], split.targets[:count], split.prepare, split.augment)


@pytest.mark.usefixtures("same_threads")
def test_one_epoch_writes_weights_that_load_and_repeat(tmp_path: Path):
    part = slice_of(fashion_mnist.train(TRAININGS["mlp_128"].augment), 2048)
    lines: list[str] = []
    cards = [reproduce("mlp_128", 3, 1, tmp_path / run, part, lines.append) for run in ("first", "second")]
    assert cards[0].sha256 == cards[1].sha256
    assert card("mlp_128", tmp_path / "first") == cards[0]
    assert set(shipped.weights("mlp_128", mlp_128.MLP, tmp_path / "first")) == set(mlp_128.MLP().state_dict())
    assert (cards[0].train_size, cards[0].epochs, cards[0].seed) == (2048, 1, 3)
    assert cards[0].command == "python -m sample_models.train mlp_128 --seed 3 --epochs 1"
    assert cards[0].test_accuracy > 0.5
    assert "epoch 1/1" in lines[0]
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["mlp_128.json", "mlp_128.safetensors"]


@pytest.mark.parametrize("name", [fashion_cnn.NAME, fashion_resnet.NAME, fashion_lstm.NAME, fashion_vit.NAME])
def test_other_kinds_of_networks_train_too(name: str):
    part = slice_of(fashion_mnist.train(TRAININGS[name].augment), 1024)
    epochs = list(train(TRAININGS[name], part, seed=0, epochs=2))
    assert [epoch.number for epoch in epochs] == [1, 2]
    assert epochs[1].loss < epochs[0].loss
    assert not epochs[1].network.training


@pytest.mark.parametrize("name", list(TRAININGS))
def test_training_starts_from_the_initial_weights(name: str):
    still = dataclasses.replace(TRAININGS[name], peak=0.0)  # a learning rate of 0: what starts also ends
    (epoch,) = train(still, slice_of(fashion_mnist.train(), 8), card(name).seed, epochs=1)
    initial = shipped.initial_weights(name, TRAININGS[name].network)
    for key, parameter in epoch.network.named_parameters():
        assert torch.equal(parameter, initial[key]), key
    with torch.random.fork_rng():
        torch.manual_seed(card(name).seed)
        drawn = TRAININGS[name].network().state_dict()
    assert all(torch.equal(drawn[key], initial[key]) for key in drawn)


def test_another_seed_gives_other_weights():
    part = slice_of(fashion_mnist.train(), 256)
    digests = set()
    for seed in (0, 1):
        (epoch,) = train(TRAININGS["mlp_128"], part, seed, epochs=1)
        digests.add(hashlib.sha256(epoch.network.state_dict()["fc1.weight"].numpy().tobytes()).hexdigest())
    assert len(digests) == 2


def test_average_by_hand():
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(0.0)
        average = RunningAverage(network, decay=0.5)
        network.weight.fill_(11.0)
        average.update(network)  # step 1 keeps 1 / 11: 0 / 11 + 11 * 10 / 11
        assert average.state["weight"].item() == pytest.approx(10.0)
        average.steps = 100  # from here on 0.5 stays
        average.update(network)
    assert average.state["weight"].item() == pytest.approx(10.5)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "weights"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "text is not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [kept.name for kept in tmp_path.iterdir()] == ["weights"]
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
