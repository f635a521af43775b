"""What a .pt file may be. Each refusal names what is wrong and what to do, and torch has seen nothing of the file."""

import io
import math
import re
import stat
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from benchmarks.hostile_pickles import (
    archived,
    call,
    listed,
    mapping,
    name,
    number,
    ordered,
    pickled,
    state_dict,
    storage,
    tensor,
    text,
    vector,
    zipped,
)
from pruning.errors import WorkloadError
from pruning.files.preflight import pickle_steps
from pruning.files.preflight import state_dict as format
from pruning.files.preflight.limits import HEADER_BYTES, TENSORS
from pruning.files.preflight.state_dict import StateDict, write_anew
from pruning.files.preflight.tensors import SIZES, Declared
from pruning.files.preflight.weights import looked_through, opened

ONE = {"0": bytes(8)}
WEIGHT = tensor(storage("0", 2), [2], [1])


def look(content: bytes, folder: Path) -> StateDict:
    path = folder / "model.pt"
    path.write_bytes(content)
    with opened(path) as file:
        found = looked_through(file)
    assert isinstance(found, StateDict)
    return found


def refusal(content: bytes, folder: Path) -> str:
    with pytest.raises(WorkloadError) as caught:
        look(content, folder)
    sentence = str(caught.value)
    assert "; " in sentence and "\n" not in sentence and len(sentence) < 400 and str(folder) not in sentence
    return sentence


def saved(value: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **how)
    return buffer.getvalue()


def of(pickle: bytes, storages: dict[str, bytes] = ONE) -> bytes:
    return archived(pickle, storages)


class _Net(nn.Module):
    """Convolutions, statistics, a tie, and a parameter that is not contiguous."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        self.same = self.layers
        self.turned = nn.Parameter(torch.zeros(2, 3).t())


def test_what_torch_saves_is_told_and_written_anew(tmp_path: Path):
    for tensors in (
        _Net().state_dict(),
        dict(_Net().named_parameters()),
        _Net().to(memory_format=torch.channels_last).state_dict(),
    ):
        found = look(saved(tensors), tmp_path)
        assert found.tensors == {
            key: Declared(str(t.dtype).removeprefix("torch."), tuple(t.shape)) for key, t in tensors.items()
        }
        with opened(tmp_path / "model.pt") as file:
            write_anew(file, found, tmp_path / "anew.pt")
        again = torch.load(tmp_path / "anew.pt", weights_only=True)
        assert (
            all(torch.equal(again[key], tensor) for key, tensor in tensors.items()) and again.keys() == tensors.keys()
        )
        assert getattr(again, "_metadata", None) == getattr(tensors, "_metadata", None)


@pytest.mark.parametrize("dtype", SIZES)
def test_every_dtype_is_known(tmp_path: Path, dtype: str):
    found = look(saved({"a": torch.zeros(3, 2).to(getattr(torch, dtype))}), tmp_path)
    assert found.tensors == {"a": Declared(dtype, (3, 2))}


def test_only_what_was_looked_through_is_written_anew(tmp_path: Path):
    members = {"data.pkl": state_dict({"a": WEIGHT}), "data/0": bytes(8), "data/1": bytes(4), "code/x.py": b"1"}
    found = look(zipped([(f"m/{key}", raw) for key, raw in members.items()]), tmp_path)
    with opened(tmp_path / "model.pt") as file:
        write_anew(file, found, tmp_path / "anew.pt")
    names = zipfile.ZipFile(tmp_path / "anew.pt").namelist()
    assert names == [f"state_dict/{each}" for each in ("data.pkl", "byteorder", "version", "data/0")]


EAGER = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"w": torch.zeros(2, 2).to_sparse()}, "w is sparse, and weights are plain tensors; save tensor.to_dense"),
        ({"w": torch.zeros(2, 2).to_sparse_csr()}, "w is sparse"),
        ({"w": torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint8)}, "w is quantised, .* the float model"),
        ({"w": torch.zeros(2, dtype=torch.complex64)}, "w holds complex values, and weights are real numbers"),
        ({"w": torch.empty(2, device="meta")}, "w is on the meta device, without values"),
        ({"w": torch.zeros(1).expand(10**6, 10**6)}, "w shows values several times .*4000000000000 bytes .*of 4 that"),
        ({"w": torch.zeros(2).expand(2, 2)}, "w shows values several times .* save tensor.contiguous"),
        ({"w": torch.zeros(4).as_strided((3, 2), (1, 1))}, "w shows values several times"),
        ({1: torch.zeros(2)}, "a key of it is the number 1 and not the name of a tensor"),
        ({(1, 2): torch.zeros(2)}, "a key of it is neither a name nor a number"),
        ({"w": 3}, "not a state dict of names and tensors: its entry w is no tensor"),
        ({"model": {"w": torch.zeros(2)}, "epoch": 3}, "its entry model has entries of its own; save model.state_dict"),
        ({"model": {}, "opt": torch.optim.Adam(EAGER.parameters()).state_dict()}, "its entry model has entries of"),
        ([torch.zeros(2)], "not a state dict of names and tensors but a list or a tuple"),
        (torch.zeros(2), "not a state dict of names and tensors but a pickled torch._utils._rebuild_tensor_v2"),
        (EAGER, "it holds a pickled torch.nn.modules.linear.Linear, and no code is run to read weights; save model"),
        ({"w": EAGER}, "it holds a pickled torch.nn.modules.linear.Linear"),
    ],
    ids=str,
)  # fmt: skip
def test_what_torch_saves_besides_state_dicts_is_refused_in_a_sentence(tmp_path: Path, value: Any, words: str):
    assert re.search(words, refusal(saved(value), tmp_path))


def test_tensors_with_attributes_and_of_other_classes_are_refused(tmp_path: Path):
    named = torch.zeros(2)
    named.shape_hidden = (3,)  # type: ignore[attr-defined]
    assert "w is of a class or with attributes of its own" in refusal(saved({"w": named}), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # once in a process: that their interface may change
        nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(1)])
    assert "w is nested" in refusal(saved({"w": nested}), tmp_path)


def test_other_ways_to_save_are_refused_with_the_way_out(tmp_path: Path):
    weights = EAGER.state_dict()
    assert "before PyTorch 1.6" in refusal(saved(weights, _use_new_zipfile_serialization=False), tmp_path)
    assert "pickled by protocol 4" in refusal(saved(weights, pickle_protocol=4), tmp_path)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(EAGER), buffer)
    assert "it is TorchScript, whose code would be run; save model.state_dict()" in refusal(buffer.getvalue(), tmp_path)
    program = zipped([("m/archive_format", b"pt2"), ("m/models/model.json", b"{}")])
    assert "it is a program of torch.export, whose code would be run" in refusal(program, tmp_path)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=np.zeros(3))
    assert "NumPy arrays; save them with safetensors.numpy.save_file" in refusal(buffer.getvalue(), tmp_path)
    assert "that torch.save did not write" in refusal(zipped([("a.png", b"")]), tmp_path)


@pytest.mark.parametrize(
    "payload",
    [
        call(name("os", "system"), text("touch x")),
        call(name("posix", "system"), text("touch x")),
        call(name("builtins", "eval"), text("1")),
        call(name("builtins", "getattr"), name("torch", "Size"), text("__class__")),
        call(name("__builtin__", "exec"), text("1")),
        call(name("torch.hub", "load"), text("x")),
        call(name("torch._utils", "_rebuild_wrapper_subclass"), name("torch", "Tensor")),
        call(name("torch", "FloatTensor"), number(10**12)),
        call(name("builtins", "bytearray"), number(2**40)),
        call(name("collections", "Counter"), text("abc")),
        call(name("_codecs", "encode"), text("a"), text("latin1")),
        name("os", "system") + b")\x81",
    ],
)
@pytest.mark.parametrize("where", ["itself", "entry", "key", "metadata", "dropped"])
def test_nothing_but_tensors_is_ever_called(tmp_path: Path, payload: bytes, where: str):
    pickle = {
        "itself": pickled(payload),
        "entry": state_dict({"w": payload}),
        "key": pickled(mapping([(payload, WEIGHT)])),
        "metadata": pickled(ordered() + mapping([(text("_metadata"), payload)]) + b"b"),
        "dropped": pickled(payload + b"q\x00" + mapping([(text("w"), WEIGHT)])),
    }[where]
    assert "; save " in refusal(of(pickle), tmp_path)


def deep(levels: int) -> bytes:
    """A tuple of the same tuple twice, and so on: few bytes, and its hash takes 2^levels steps."""
    return number(1) + b"\x85" + b"q\x01h\x01\x86" * levels


@pytest.mark.parametrize(
    ("pickle", "words"),
    [
        (pickled(mapping([(deep(50), number(1))])), "tuples in tuples, more than 8 deep"),
        (pickled(mapping([(deep(3), number(1))])), "neither a name nor a number"),
        (pickled(ordered() + mapping([(text("keys"), number(1))]) + b"b"), "gives attributes to what it holds"),
        (pickled(WEIGHT + mapping([(text("shape"), number(1))]) + b"b"), "gives attributes to what it holds"),
        (pickled(mapping([(text("a"), WEIGHT), (text("a"), WEIGHT)])), "a is in it twice"),
        (state_dict({"a": tensor(storage("0", 2), [3], [1])}), "a reaches beyond its 2"),
        (state_dict({"a": tensor(storage("0", 2), [2], [1], offset=1)}), "a reaches beyond its 2"),
        (state_dict({"a": tensor(storage("0", 2), [2, 1], [1])}), "a is not described as torch.save does it"),
        (state_dict({"a": tensor(storage("0", 10**12), [10**12], [1])}), "3.73e.03 GiB of values"),
        (state_dict({"a": tensor(storage("0", 10**8), [10**8], [1])}), "asks for 400000000 bytes of archive/data/0"),
        (state_dict({"a": tensor(storage("1", 2), [2], [1])}), "it lacks archive/data/1"),
        (state_dict({"a": tensor(storage("../0", 2), [2], [1])}), "a is not described as torch.save does it"),
        (state_dict({"a": tensor(number(3), [2], [1])}), "a is not described as torch.save does it"),
        (
            state_dict({"a": WEIGHT, "b": tensor(storage("0", 4, "HalfStorage"), [4], [1])}),
            "bytes of another tensor for",
        ),
        (state_dict({"a": WEIGHT, "b": tensor(storage("0", 1), [1], [1])}), "takes the bytes of another tensor"),
        (pickled(vector("0", 2) + b"0" + mapping([])), "its pickle has the step POP"),
        (pickled(storage("0", 2) + mapping([])), "asks for bytes that no tensor shows"),
        (pickled(vector("0", 2) + mapping([])), "makes something that is not in the state dict"),
        (state_dict({"a": WEIGHT})[:-1], "its pickle: "),
        (pickled(b"h\x05"), "its pickle: a value is missing"),
        (pickled(b"u"), "its pickle: "),
        (pickled(b"\xff"), "its pickle: "),
        (pickled(number(1) + number(2) + b"R"), "what is called is no function"),
        (pickled(listed(number(1)) + number(2) + number(3) + b"s"), "a value is put where nothing can be put"),
        (b"\x80\x05" + mapping([]) + b".", "pickled by protocol 5"),
        (pickled(mapping([(text("\ud800\x1b[2J"), number(1))])), r"its entry \?\?\[2J is no tensor"),
    ],
)
def test_what_no_library_writes_is_refused_in_a_sentence(tmp_path: Path, pickle: bytes, words: str):
    assert re.search(words, refusal(of(pickle), tmp_path))


def test_a_pickle_of_too_many_steps_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pickle_steps, "STEPS", 100)
    assert "its pickle takes more than 100 steps" in refusal(of(b"(" * 101), tmp_path)


def test_many_views_of_one_storage_are_counted_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(format, "STATE_DICT_BYTES", 100)
    pickle = state_dict({str(number): WEIGHT for number in range(13)})
    assert "GiB of values, and .pt files are read up to" in refusal(of(pickle), tmp_path)
    assert len(look(of(state_dict({str(number): WEIGHT for number in range(12)})), tmp_path).tensors) == 12


def test_too_many_entries_are_refused_by_their_number(tmp_path: Path):
    pickle = pickled(mapping([(text(str(key)), b"N") for key in range(TENSORS + 1)]))
    assert f"it has {TENSORS + 1} entries, and files are read up to {TENSORS}" in refusal(of(pickle), tmp_path)


def test_a_pickle_of_many_megabytes_is_not_read(tmp_path: Path):
    assert "its pickle is larger than 8 MB" in refusal(of(bytes(HEADER_BYTES + 1)), tmp_path)


def link(name: str) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = (stat.S_IFLNK | 0o777) << 16
    return made


GOOD = [("m/data.pkl", state_dict({"a": WEIGHT})), ("m/data/0", bytes(8))]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped(GOOD, zipfile.ZIP_DEFLATED), "is compressed, which torch.save never does"),
        (zipped([*GOOD, GOOD[1]]), "its member m/data/0 is there twice"),
        (zipped([*GOOD, ("../../x", b"")]), r"its member ../../x names a place outside of the archive"),
        (zipped([*GOOD, ("/etc/passwd", b"")]), "its member /etc/passwd names a place outside of the archive"),
        (zipped([*GOOD, ("C:\\x", b"")]), "names a place outside of the archive"),
        (zipped([*GOOD, (link("m/data/1"), b"/etc/passwd")]), "its member m/data/1 is a folder or a link"),
        (zipped([*GOOD, ("m/data/", b"")]), "its member m/data/ is a folder or a link"),
        (zipped(GOOD)[:-1], "it is cut off, or bytes were added"),
        (zipped(GOOD) + b"x", "it is cut off, or bytes were added"),
        (zipped(GOOD)[:40], "it is cut off, or bytes were added"),
        (zipped([*GOOD, ("n/data.pkl", b"")]), "that torch.save did not write"),
        (zipped([*GOOD, ("m/byteorder", b"none")]), "its byte order is neither little nor big"),
        (zipped(GOOD).replace(state_dict({"a": WEIGHT}), bytes(len(GOOD[0][1]))), "it is damaged: Bad CRC-32"),
        (zipped([(str(number), b"") for number in range(TENSORS + 101)]), "it is a zip archive of 20101 members"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_an_archive_that_torch_does_not_write_is_refused(tmp_path: Path, content: bytes, words: str):
    assert words in refusal(content, tmp_path)


def test_members_that_lie_over_one_another_are_refused(tmp_path: Path):
    """The table names one stretch of bytes many times: a file of kilobytes that unpacks to gigabytes."""
    content = zipped([("m/data/0", bytes(50_000)), *((f"m/data/{number}", b"") for number in range(1, 40)), GOOD[0]])
    table = content.index(b"PK\1\2")
    entries = bytearray(content)
    first = content[table : table + 46]
    at = table + 46 + len("m/data/0")
    while entries[at : at + 4] == b"PK\1\2":
        entries[at + 16 : at + 28] = first[16:28]  # checksum and sizes
        entries[at + 42 : at + 46] = first[42:46]  # place
        at += 46 + int.from_bytes(entries[at + 28 : at + 30], "little")
    assert "its members overlap" in refusal(bytes(entries), tmp_path)


def test_a_flipped_value_is_noticed_when_it_is_written_anew(tmp_path: Path):
    content = bytearray(saved({"w": torch.arange(8.0)}))
    content[content.index(torch.arange(8.0).numpy().tobytes()) + 4] ^= 1
    found = look(bytes(content), tmp_path)
    with opened(tmp_path / "model.pt") as file, pytest.raises(WorkloadError, match="it is damaged: Bad CRC-32"):
        write_anew(file, found, tmp_path / "anew.pt")


@given(st.data())
def test_a_damaged_file_is_read_as_it_was_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    folder, whole = tmp_path_factory.getbasetemp(), saved({"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3)})
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.sampled_from([len(content), math.ceil(len(content) / 2)]))]
    try:
        found = look(bytes(content), folder)
        with opened(folder / "model.pt") as file:
            write_anew(file, found, folder / "anew.pt")
        again = torch.load(folder / "anew.pt", weights_only=True)
    except WorkloadError:
        return
    assert {key: tuple(t.shape) for key, t in again.items()} == {key: each.shape for key, each in found.tensors.items()}
    assert sorted(float(value) for t in again.values() for value in t.flatten()) == [0, 1, 1, 1, 1, 2, 3, 4, 5]


def test_the_check_needs_no_torch():
    code = "import sys; import pruning.files.preflight.weights; "
    subprocess.run([sys.executable, "-c", code + "sys.exit('torch' in sys.modules)"], check=True)
