"""The example of LeNets on MNIST, on a file of few random digits: what the literature's names and sizes hang on."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from pruning.cli.workload_file import load_workload
from pruning.errors import WorkloadError
from pruning.reporting.literature import published
from tests.docs.pages import ROOT

EXAMPLE = ROOT / "examples" / "mnist_lenet.py"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    random = np.random.default_rng(0)
    sizes = {"train": 240, "test": 50}
    arrays = {f"x_{split}": random.integers(0, 256, (n, 28, 28), dtype=np.uint8) for split, n in sizes.items()}
    labels = {f"y_{split}": np.sort(random.integers(0, 10, n, dtype=np.uint8)) for split, n in sizes.items()}
    np.savez(tmp_path / "mnist.npz", **arrays, **labels)
    monkeypatch.setenv("PRUNING_MNIST", str(tmp_path / "mnist.npz"))
    spec = importlib.util.spec_from_file_location("mnist_lenet", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mnist_lenet", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "EPOCHS", 1)
    yield module


@pytest.mark.parametrize("make, parameters", [("lenet_300_100", 266_610), ("lenet_5", 431_080)])
def test_names_and_sizes_are_those_of_the_published_results(example: ModuleType, make: str, parameters: int) -> None:
    workload = getattr(example, make)()
    assert sum(value.numel() for value in workload.build().parameters()) == parameters
    assert (workload.name, parameters) in {(result.workload, result.parameters) for result in published()}
    assert (len(workload.train), len(workload.validation), len(workload.test)) == (220, 20, 50)
    # of a copy that is sorted by digit, too
    assert len(workload.validation.targets.unique()) > 5 and len(workload.train.targets.unique()) == 10
    images, labels = workload.test.batch(torch.arange(3), torch.device("cpu"))
    assert images.shape == (3, 1, 28, 28) and labels.dtype == torch.int64
    assert workload.build()(images).shape == (3, 10)


def test_it_is_trained_once_and_its_weights_are_kept_beside_the_data(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = example.lenet_300_100().build().state_dict()
    assert (tmp_path / "mnist_lenet_300_100.safetensors").is_file()
    monkeypatch.setattr(example, "trained", None)
    again = example.lenet_300_100()
    assert all(torch.equal(value, first[name]) for name, value in again.build().state_dict().items())
    initial = again.checkpoints["initial"]()
    assert initial.keys() == first.keys() and not torch.equal(initial["1.weight"], first["1.weight"])


def test_the_command_line_opens_it_and_says_where_mnist_is_missing(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    example.lenet_5()  # trained for one epoch here, and not for twelve by the file as it is
    assert load_workload(f"{EXAMPLE}:lenet_5").name == "mnist_lenet_5"
    monkeypatch.setenv("PRUNING_MNIST", "/nowhere/mnist.npz")
    with pytest.raises(WorkloadError, match=r"/nowhere/mnist.npz: no such file; set PRUNING_MNIST to your copy"):
        example.lenet_5()
