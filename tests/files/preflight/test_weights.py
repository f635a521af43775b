"""Whatever somebody names as a file with weights: what it is, told by its first bytes."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pruning.errors import WorkloadError
from pruning.files.preflight.weights import looked_through, opened


def refusal(path: Path) -> str:
    with pytest.raises(WorkloadError) as caught, opened(path) as file:
        looked_through(file)
    return str(caught.value)


def test_a_file_is_what_its_bytes_say_and_not_its_name(tmp_path: Path):
    save_file({"a": torch.zeros(2)}, tmp_path / "model.pt")
    torch.save({"a": torch.zeros(2)}, tmp_path / "model.safetensors")
    for name in ("model.pt", "model.safetensors"):
        with opened(tmp_path / name) as file:
            assert list(looked_through(file).tensors) == ["a"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file; load it where it was made and save model.state_dict()"),
        (b"GGUF\3\0\0\0", "it is a GGUF file"),
        (b"\x1f\x8b\x08", "it is compressed; unpack it"),
        (b"\x93NUMPY\1\0", "it is a NumPy array; save"),
        (b"\x80\x04\x95", "it is pickled as before PyTorch 1.6, or by pickle itself"),
        (b"\x08\x07\x12\x07pytorch", "it is an ONNX model; save model.state_dict()"),
        (b"not weights at all", "not a readable weights file (it begins as neither .safetensors nor .pt does)"),
        (b"", "not a readable weights file (it begins as neither .safetensors nor .pt does)"),
    ],
)
def test_other_kinds_of_files_are_named_with_the_way_out(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "model.pt").write_bytes(content)
    assert words in refusal(tmp_path / "model.pt")


def test_what_is_no_file_is_refused_and_nobody_waits_for_it(tmp_path: Path):
    assert refusal(tmp_path).endswith("is a folder, a pipe or a device; name a file with weights")
    os.mkfifo(tmp_path / "pipe.pt")
    assert refusal(tmp_path / "pipe.pt").startswith("pipe.pt is a folder, a pipe or a device")
    assert refusal(Path("/dev/zero")).startswith("zero is a folder, a pipe or a device")
    assert "check the path" in refusal(tmp_path / "x" / "none.pt")
    assert refusal(tmp_path / "a\0b.pt").startswith("a?b.pt cannot be read (no file can have this name)")
    assert "cannot be read (File name too long)" in refusal(tmp_path / ("x" * 300))


def test_a_path_that_is_not_there_is_shown_as_text(tmp_path: Path):
    sentence = refusal(Path("no\x1b[31m\nsuch.pt"))
    assert sentence == "no?[31m?such.pt: no such file; check the path"
