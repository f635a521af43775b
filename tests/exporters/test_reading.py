"""Anybody's file becomes plain tensors or one sentence; a .pt file is followed by torch only in a limited child."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pruning.errors import WorkloadError
from pruning.exporters import export, reading
from pruning.exporters.reading import read_network, read_own_network
from pruning.files.child import Answer, ChildError, Limits
from pruning.model.module_sizes import NO_SIZES
from tests.exporters.records import record
from tests.networks import tiny

BOTH = pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
READERS = pytest.mark.parametrize("read", [read_network, read_own_network])


def write(tensors: Any, path: Path, **metadata: str) -> Path:
    save_file(tensors, path, metadata) if path.suffix == ".safetensors" else torch.save(tensors, path)
    return path


def refusal(path: Path, read: Any = read_network) -> str:
    with pytest.raises(WorkloadError) as caught:
        read(path)
    return str(caught.value)


def test_both_ways_to_read_give_what_was_exported(tmp_path: Path):
    run = record()
    for kind in ("safetensors", "pt"):
        path = export(kind, run, tmp_path)
        own, strangers = read_own_network(path), read_network(path)
        assert own[1] == strangers[1] == run.sizes
        assert own[0].keys() == strangers[0].keys() == run.model.state_dict().keys()
        for name, tensor in run.model.state_dict().items():
            assert torch.equal(strangers[0][name], tensor) and torch.equal(own[0][name], tensor)


def test_values_survive_the_child_bitwise_with_ties_views_and_sizes(tmp_path: Path):
    whole = torch.randn(4, 3)
    tensors: Any = torch.nn.Linear(1, 1).state_dict()
    tensors.clear()
    tensors.update(
        {
            "whole": whole, "tied": whole, "turned": whole.t(), "part": whole[1:, ::2], "none": torch.zeros(0, 3),
            "one": torch.tensor(3), "half": whole.bfloat16(), "code": whole.to(torch.float8_e5m2), "yes": whole > 0,
            "wanted": torch.nn.Parameter(whole),
            "last": whole.reshape(1, 2, 2, 3).to(memory_format=torch.channels_last),
        }
    )  # fmt: skip
    tensors._metadata[""] = {"version": 1, "sizes": json.dumps({"0": {"heads": 2}})}
    torch.save(tensors, tmp_path / "model.pt")
    found, sizes = read_network(tmp_path / "model.pt")
    assert list(found) == sorted(found) or found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and type(found[name]) is Tensor
        assert torch.equal(found[name].float(), tensor.detach().float()), name
    assert sizes.numbers == {"0": {"heads": 2}}


@BOTH
@READERS
def test_a_broken_file_is_refused(tmp_path: Path, suffix: str, read: Any):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"not weights at all")
    sentence = refusal(path, read)
    assert sentence.startswith(f"broken{suffix}: not a readable weights file (") and "; export it again" in sentence


@BOTH
@READERS
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, read: Any):
    path = write(tiny("conv").build().state_dict(), tmp_path / f"whole{suffix}")
    path.write_bytes(path.read_bytes()[:-200])
    assert "not a readable weights file" in refusal(path, read)


@READERS
def test_a_missing_file_is_named(tmp_path: Path, read: Any):
    assert refusal(tmp_path / "none.pt", read).endswith("none.pt: no such file; check the path")


@READERS
@pytest.mark.parametrize("content", [[1, 2], {"model": {"0.weight": torch.zeros(2)}}, torch.zeros(3)])
def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path, content: Any, read: Any):
    torch.save(content, tmp_path / "odd.pt")
    assert "not a state dict of names and tensors" in refusal(tmp_path / "odd.pt", read)


@READERS
@BOTH
def test_nan_weights_are_refused_by_file_and_tensor(tmp_path: Path, read: Any, suffix: str):
    path = write({"0.weight": torch.tensor([1.0, torch.nan])}, tmp_path / f"nan{suffix}")
    assert refusal(path, read).startswith(f"nan{suffix}: the tensor 0.weight holds 1 values that are NaN or infinite")


@pytest.mark.parametrize("text", ["{", "[1]", '{"": 3}', '{"": {"half": "os.system"}}', "[" * 10**5])
@READERS
def test_a_file_that_says_something_else_of_sizes_is_refused(tmp_path: Path, text: str, read: Any):
    path = write({"a": torch.zeros(1)}, tmp_path / "odd.safetensors", sizes=text)
    assert refusal(path, read).startswith("odd.safetensors: what it says of the modules' sizes cannot be read; export")


def test_no_refusal_shows_a_path_or_what_steers_a_terminal(tmp_path: Path):
    path = tmp_path / "\x1b[31mred.pt"
    for content in (b"", b"PK\3\4", torch.zeros(1).numpy().tobytes()):
        path.write_bytes(content)
        sentence = refusal(path)
        assert str(tmp_path) not in sentence and "\x1b" not in sentence and sentence.startswith("?[31mred.pt: ")


def test_torch_reads_no_strangers_pickle_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write({"a": torch.zeros(2)}, tmp_path / "model.pt")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch.load was called"))
    assert torch.equal(read_network(path)[0]["a"], torch.zeros(2))
    refusal(write_bytes(tmp_path / "bad.pt", path.read_bytes()[:-1]))


def write_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ChildError("time"), "reading it takes longer than 10 s; save it as .safetensors"),
        (ChildError("memory", "RuntimeError: x"), "reading it takes over 3 GiB of memory; save it as .safetensors"),
        (ChildError("space", "x"), "the folder for temporary files cannot hold it (disk full"),
        (ChildError("death", "signal 11"), "not a readable weights file (torch.load ends with signal 11); export"),
        (
            ChildError("fault", "KeyError: /tmp/secret"),
            "not a readable weights file (torch.load ends with KeyError); exp",
        ),
        (ChildError("start", "exit code 1"), "the limited process that reads .pt files does not start here; save"),
        (ChildError("refused", "w is sparse\x1b; save w"), "w is sparse?; save w"),
        (OSError(28, "No space left on device"), "cannot hold it (No space left on device); make room there"),
    ],
)
def test_every_way_in_which_a_child_ends_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
):
    def ends(*_: object) -> None:
        raise error

    monkeypatch.setattr(reading, "run", ends)
    sentence = refusal(write({"a": torch.zeros(2)}, tmp_path / "model.pt"))
    assert sentence.startswith("model.pt: ") and words in sentence and "/tmp" not in sentence


def test_what_the_child_gives_back_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    made: dict[str, Any] = {}

    def forged(task: Any, given: Path, folder: Path, limits: Limits) -> Answer:
        save_file(made, folder / "tensors.safetensors")
        if "junk" in made:
            (folder / "tensors.safetensors").write_bytes(b"\xff" * 100)
        return Answer(None, ())

    monkeypatch.setattr(reading, "run", forged)
    path = write({"a": torch.zeros(2)}, tmp_path / "model.pt")
    for other in ({"a": torch.zeros(3)}, {"a": torch.zeros(2).int()}, {"b": torch.zeros(2)}, {}):
        made.clear()
        made.update(other)
        assert "is read as another tensor" in refusal(path)
    made["junk"] = torch.zeros(1)
    with monkeypatch.context() as patched:
        patched.setattr(reading, "safe_open", lambda *_: pytest.fail("the library read it"))
        assert "not a readable weights file" in refusal(path)
    made.clear()
    made["a"] = torch.ones(2)
    assert read_network(path)[1] == NO_SIZES


def test_the_temporary_copies_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "folder"))
    read_network(write({"a": torch.zeros(2)}, tmp_path / "model.pt"))
    assert list((tmp_path / "folder").iterdir()) == []
