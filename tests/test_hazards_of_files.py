"""What strangers' files did elsewhere, and what must happen here: a test for each known hazard of files.

Each goes the way of `score`, `pruning.load` and teachers, and none gets as far as a child: see the fixture.
"""

import io
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.hostile_pickles import (
    archived,
    call,
    mapping,
    name,
    number,
    ordered,
    pickled,
    state_dict,
    storage,
    tensor,
    text,
    zipped,
)
from pruning.errors import WorkloadError
from pruning.exporters import reading
from pruning.exporters.reading import read_network


@pytest.fixture(autouse=True)
def no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "run", lambda *_: pytest.fail("a child was started"))
    monkeypatch.setattr(reading, "safe_open", lambda *_: pytest.fail("the library read it"))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch read it"))


def refused(content: bytes, folder: Path, suffix: str = "pt") -> str:
    """The sentence: of the file's name, what is wrong, and after a semicolon what to do."""
    path = folder / f"strangers.{suffix}"
    path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(WorkloadError) as caught:
        read_network(path)
    assert time.process_time() - start < 30, "not a measurement: a bomb takes for ever"
    sentence = str(caught.value)
    assert sentence.startswith(f"strangers.{suffix}: ") and "; " in sentence
    assert "\n" not in sentence and str(folder) not in sentence and len(sentence) < 400
    return sentence


def saved(value: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **how)
    return buffer.getvalue()


def test_a_header_of_92_megabytes_and_too_many_tensors(tmp_path: Path):
    """It took 42 s to read."""
    header = b"{" + b" " * 92_000_000 + b"}"
    assert "its header has 92.0 MB" in refused(struct.pack("<Q", len(header)) + header, tmp_path, "safetensors")
    entry = b'{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = b"{" + b",".join(b'"%d":%b' % (number, entry) for number in range(20_001)) + b"}"
    sentence = refused(struct.pack("<Q", len(header)) + header, tmp_path, "safetensors")
    assert "it has 20001 tensors, and files are read up to 20000" in sentence


@pytest.mark.parametrize("made", ["FloatTensor", "FloatStorage", "DoubleTensor"])
def test_350_bytes_that_take_gigabytes(tmp_path: Path, made: str):
    content = archived(state_dict({"w": call(name("torch", made), number(10**9))}), {})
    assert len(content) < 1000 and "; save" in refused(content, tmp_path)


def test_6_megabytes_that_unpack_to_gigabytes(tmp_path: Path):
    pickle = state_dict({"w": tensor(storage("0", 10**7), [10**7], [1])})
    content = zipped([("m/data.pkl", pickle), ("m/data/0", bytes(4 * 10**7))], zipfile.ZIP_DEFLATED)
    assert len(content) < 10**5 and "is compressed, which torch.save never does" in refused(content, tmp_path)


def test_a_kilobyte_that_never_returns(tmp_path: Path):
    """A key of tuples in tuples: its hash takes 2^50 steps."""
    key = number(1) + b"\x85" + b"q\x01h\x01\x86" * 50
    assert "tuples in tuples" in refused(archived(pickled(mapping([(key, number(1))])), {}), tmp_path)


def test_573_bytes_that_are_a_million_times_a_million(tmp_path: Path):
    content = archived(state_dict({"w": tensor(storage("0", 1), [10**6, 10**6], [0, 0])}), {"0": bytes(4)})
    assert len(content) < 1000 and "4000000000000 bytes are asked for, of 4 that are there" in refused(
        content, tmp_path
    )


def test_a_tensor_without_values(tmp_path: Path):
    assert "on the meta device, without values" in refused(saved({"w": torch.empty(2, device="meta")}), tmp_path)


def test_attributes_that_hide_others(tmp_path: Path):
    pickle = pickled(ordered() + mapping([(text("items"), number(1))]) + b"b")
    assert "gives attributes to what it holds, which can hide its values" in refused(archived(pickle, {}), tmp_path)


def test_a_program_of_torch_export(tmp_path: Path):
    """Seven ways were found to run code when it is loaded."""
    members = ("archive_format", "models/model.json", "data/weights/weight_0", "data/sample_inputs/model.pt", "version")
    content = zipped([(f"m/{member}", b"pt2") for member in members])
    assert "it is a program of torch.export, whose code would be run" in refused(content, tmp_path, "pt2")


def test_torchscript_and_whole_models(tmp_path: Path):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(3, 2)), buffer)
    assert "it is TorchScript, whose code would be run; save model.state_dict()" in refused(buffer.getvalue(), tmp_path)
    sentence = refused(saved(nn.Linear(3, 2)), tmp_path)
    assert "a pickled torch.nn.modules.linear.Linear, and no code is run to read weights; save model.state" in sentence
    assert "; load it where you trust it" in refused(saved({}, _use_new_zipfile_serialization=False), tmp_path)


def test_onnx_is_not_read_at_all(tmp_path: Path):
    assert "it is an ONNX model; save model.state_dict()" in refused(b"\x08\x07\x12\x07pytorch", tmp_path, "onnx")


def test_arrays_of_numpy_are_not_unpacked(tmp_path: Path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, w=np.zeros(10**6))
    assert "it is an archive of NumPy arrays; save them with safe" in refused(buffer.getvalue(), tmp_path, "npz")
