"""What the header of a .safetensors file may say. Each refusal names what is wrong and what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load, save

from pruning.errors import WorkloadError
from pruning.files.preflight import safetensors
from pruning.files.preflight.limits import HEADER_BYTES, TENSORS
from pruning.files.preflight.safetensors import DTYPES, Header
from pruning.files.preflight.tensors import SIZES, Declared
from pruning.files.preflight.weights import looked_through, opened

ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def file_of(header: object, data: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def look(content: bytes, folder: Path) -> Header:
    path = folder / "model.safetensors"
    path.write_bytes(content)
    with opened(path) as file:
        found = looked_through(file)
    assert isinstance(found, Header)
    return found


def test_what_the_library_writes_is_told(tmp_path: Path):
    tensors = {
        "a": torch.zeros(2, 3), "b": torch.zeros(0, 4), "c": torch.tensor(3), "d": torch.zeros(5, dtype=torch.bfloat16),
    }  # fmt: skip
    found = look(save(tensors, {"sizes": '{"a": [1]}'}), tmp_path)
    expected = {name: Declared(str(t.dtype).removeprefix("torch."), tuple(t.shape)) for name, t in tensors.items()}
    assert found.tensors == expected


@pytest.mark.parametrize("dtype", SIZES)
def test_every_dtype_is_known_by_its_name_and_size(tmp_path: Path, dtype: str):
    of_torch = getattr(torch, dtype)
    assert of_torch.itemsize == SIZES[dtype] and list(DTYPES.values()).count(dtype) == 1
    found = look(save({"a": torch.zeros(3).to(of_torch)}), tmp_path)
    assert found.tensors == {"a": Declared(dtype, (3,))}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (file_of({"a": ENTRY})[:-1], "has 7"),
        (file_of({"a": ENTRY}, bytes(9)), r"its tensors take 8 bytes, and it has 9"),
        (file_of({"a": ENTRY | {"shape": [10**6, 10**6]}}), "8 bytes, and its shape needs 4000000000000"),
        (file_of({"a": ENTRY, "b": ENTRY}), "the bytes of b begin at a wrong place"),
        (file_of({"a": ENTRY | {"data_offsets": [1, 9]}}, bytes(9)), "begin at a wrong place"),
        (file_of({"a": ENTRY | {"data_offsets": [8, 0]}}), "has -8 bytes"),
        (file_of({"a": ENTRY | {"dtype": "C64", "shape": [1]}}), r"values of type C64, and weights are real numbers"),
        (file_of({"a": ENTRY | {"shape": [-2]}}), "not made of whole numbers"),
        (file_of({"a": ENTRY | {"shape": [2.0]}}), "its header: "),
        (file_of({"a": ENTRY | {"shape": [0, 2**62], "data_offsets": [0, 0]}}, b""), "which no tensor has"),
        (file_of({"a": ENTRY | {"shape": [1] * 26 + [2]}}), "27 dimensions"),
        (file_of({"a": ENTRY | {"more": 1}}), "unknown field `more`"),
        (file_of({"a": ENTRY, "__metadata__": {"x": 1}}), "its header: "),
        (file_of({"a": 3}), "its header: "),
        (file_of(b'{"a":' + json.dumps(ENTRY).encode() + b',"a":' + json.dumps(ENTRY).encode() + b"}"), "occurs twice"),
        (file_of(b'{"a":' + b"[" * 100_000 + b"}"), "nested too deep"),
        (file_of(b"{" + b'"a":1,' * 10), "its header: "),
        (file_of(b'{"\xff":1}'), "its header: "),
        ((2**40).to_bytes(8, "little") + b"{}", "it ends before its header does"),
        (b"\x02\0\0\0\0\0\0\0{", "it ends before its header does"),
    ],
)
def test_a_wrong_header_is_refused_in_a_sentence(tmp_path: Path, content: bytes, words: str):
    with pytest.raises(WorkloadError, match=words) as caught:
        look(content, tmp_path)
    sentence = str(caught.value)
    assert "; " in sentence and "\n" not in sentence and len(sentence) < 400 and str(tmp_path) not in sentence


def test_a_header_of_many_megabytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    header = b'{"a":1' + b" " * HEADER_BYTES + b"}"
    monkeypatch.setattr(safetensors, "_entries", lambda header: pytest.fail("it was read"))
    with pytest.raises(WorkloadError, match=r"its header has 8\.0 MB"):
        look(file_of(header), tmp_path)


def test_too_many_tensors_are_refused_before_their_entries_are_read(tmp_path: Path):
    header: dict[str, Any] = {str(number): 0 for number in range(TENSORS + 1)}
    with pytest.raises(WorkloadError, match=f"it has {TENSORS + 1} tensors, and files are read up to {TENSORS}"):
        look(file_of(header), tmp_path)


def test_as_many_tensors_as_may_be_and_metadata_are_read(tmp_path: Path):
    empty = ENTRY | {"shape": [0], "data_offsets": [0, 0]}
    header = {"__metadata__": {"sizes": "{}"}} | {str(number): empty for number in range(TENSORS)}
    assert len(look(file_of(header, b""), tmp_path).tensors) == TENSORS


def test_entries_that_hide_behind_others_of_their_name_are_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(safetensors.json, "loads", lambda *_, **__: pytest.fail("they were built"))
    header = b'{"a":[' + b"[]," * 600_000 + b'[]],"a":' + json.dumps(ENTRY).encode() + b"}"
    with pytest.raises(WorkloadError, match="occurs twice"):
        look(file_of(header), tmp_path)


def test_a_name_is_shown_as_text(tmp_path: Path):
    with pytest.raises(WorkloadError) as caught:
        look(file_of({"\x1b[31mred" + "x" * 10**5: ENTRY | {"shape": [3]}}), tmp_path)
    assert "\x1b" not in str(caught.value) and "?[31mred" in str(caught.value) and len(str(caught.value)) < 300


_VALUES: Any = st.one_of(st.integers(-3, 20), st.sampled_from(["F32", "I8", "C64", ""]), st.none())


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "__metadata__"]),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "I8", "C64"]),
                "shape": st.lists(st.integers(-1, 3), max_size=2),
                "data_offsets": st.lists(st.integers(-1, 12), min_size=2, max_size=2),
            }
        )
        | _VALUES,
    ),
    st.integers(0, 12),
)
def test_what_passes_is_what_the_library_reads(tmp_path_factory: pytest.TempPathFactory, header: Any, length: int):
    content = file_of(header, bytes(length))
    try:
        found = look(content, tmp_path_factory.getbasetemp())
    except WorkloadError:
        return
    try:
        read = load(content)
    except SafetensorError as error:
        pytest.fail(f"the library refuses what passed: {error}")
    assert {name: tuple(tensor.shape) for name, tensor in read.items()} == {
        name: each.shape for name, each in found.tensors.items()
    }
