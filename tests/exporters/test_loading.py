import copy
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save_file
from torch import Tensor

from pruning.errors import WorkloadError
from pruning.exporters.loading import load_network, read_tensors
from pruning.granularities import Channels
from pruning.model.costs import file_bytes
from pruning.model.surgery import remove_units
from pruning.workload import Classification, TensorSplit, Workload
from tests.architectures import inputs_of, made
from tests.networks import CPU, NETWORKS, VECTOR, Tied, samples, seeded, tiny, workload


def write(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    path.write_bytes(file_bytes(tensors)) if path.suffix == ".safetensors" else torch.save(tensors, path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_smaller_network_is_rebuilt_from_its_file(tmp_path, name, suffix):
    work = tiny(name)
    groups = Channels().sorted_out(work.build(), work.example)[0]
    keep = {group.name: torch.arange(group.units) % 2 == 0 for group in groups}
    smaller = remove_units(work.build(), work.example, groups, keep)
    path = tmp_path / f"small{suffix}"
    write(smaller.state_dict(), path)
    loaded = load_network(work, read_tensors(path), CPU)
    inputs = samples(NETWORKS[name][1], 8, 0).inputs
    with torch.no_grad():
        assert torch.allclose(loaded(inputs), smaller(inputs), atol=1e-6)
    assert not loaded.training
    assert all(torch.equal(loaded.state_dict()[key], tensor) for key, tensor in smaller.state_dict().items())


def test_tensors_of_the_same_shape_are_loaded_as_they_are():
    work = tiny("residual")
    tensors = tiny("residual", seed=5).build().state_dict()
    loaded = load_network(work, tensors, CPU).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_tied_tensors_stay_tied():
    work = workload(lambda: seeded(Tied), VECTOR)
    tensors = load(file_bytes({name: tensor + 1 for name, tensor in work.build().state_dict().items()}))
    loaded = load_network(work, tensors, CPU)
    assert loaded.first.weight is loaded.second.weight and torch.equal(loaded.first.weight, tensors["first.weight"])


def test_tensors_of_another_network_are_refused_by_name():
    with pytest.raises(WorkloadError, match=r"differ in the tensors 0\.bias, .* choose its own workload"):
        load_network(tiny("residual"), tiny("mlp").build().state_dict(), CPU)


@pytest.mark.parametrize("shape", [(3, 9), (0, 4), ()])
def test_tensors_that_fit_no_cut_are_refused(shape):
    tensors = copy.copy(dict(tiny("mlp").build().state_dict()))
    tensors["2.weight"] = torch.zeros(shape)
    with pytest.raises(WorkloadError, match="do not fit mlp"):
        load_network(tiny("mlp"), tensors, CPU)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_broken_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"not weights at all")
    with pytest.raises(WorkloadError, match=r"not a readable weights file .* export it again"):
        read_tensors(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_truncated_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"whole{suffix}"
    write(tiny("conv").build().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WorkloadError, match="not a readable weights file"):
        read_tensors(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WorkloadError, match=r"none\.pt: no such file; check the path"):
        read_tensors(tmp_path / "none.pt")


@pytest.mark.parametrize("content", [[1, 2], {"model": {"0.weight": torch.zeros(2)}}, torch.zeros(3)])
def test_a_file_that_is_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(WorkloadError, match=r"not a state dict of names and tensors; save model\.state_dict\(\)"):
        read_tensors(tmp_path / "odd.pt")


def test_a_whole_pickled_model_is_refused(tmp_path):
    torch.save(tiny("mlp").build(), tmp_path / "model.pt")
    with pytest.raises(WorkloadError, match="not a readable weights file"):
        read_tensors(tmp_path / "model.pt")


def test_nan_weights_are_refused_by_file_and_tensor(tmp_path):
    save_file({"0.weight": torch.tensor([1.0, torch.nan])}, tmp_path / "nan.safetensors")
    with pytest.raises(WorkloadError, match=r"nan\.safetensors: the tensor 0\.weight holds 1 values that are NaN"):
        read_tensors(tmp_path / "nan.safetensors")


class Flattened(Classification):
    """Takes outputs of any shape: here nobody looks at a score."""

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return super().judge(output.flatten(1), target)


@pytest.mark.parametrize("name", ["grouped", "group_norm", "lstm", "language_model"])
def test_networks_with_groups_words_and_states_are_rebuilt_too(name):
    inputs = inputs_of(name)
    split = TensorSplit(inputs, torch.zeros(len(inputs), dtype=torch.long))
    work = Workload(name, lambda: made(name), inputs[:1], split, split, split, Flattened(("a", "b", "c")), "")
    groups = Channels().sorted_out(work.build(), work.example)[0]
    keep = {group.name: torch.arange(group.units) % 2 == 1 for group in groups}
    smaller = remove_units(work.build(), work.example, groups, keep)
    loaded = load_network(work, load(file_bytes(smaller.state_dict())), CPU)
    with torch.no_grad():
        assert torch.equal(loaded(inputs), smaller(inputs))
