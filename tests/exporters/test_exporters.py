import os
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from pruning.errors import ExportError
from pruning.exporters import EXPORTERS, export, require_writable
from pruning.files.atomic_write import write_whole
from pruning.model.costs import costs
from pruning.recipe.recipe import from_json
from tests.exporters.records import record


@pytest.mark.parametrize("kind", EXPORTERS)
def test_every_exporter_writes_one_whole_file(kind: str, tmp_path: Path) -> None:
    path = export(kind, record(), tmp_path)
    assert path == tmp_path / EXPORTERS[kind].file
    assert [file.name for file in tmp_path.iterdir()] == [EXPORTERS[kind].file]
    assert path.stat().st_size > 0


@pytest.mark.parametrize("kind", EXPORTERS)
def test_every_exporter_says_where_it_cannot_write(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    with pytest.raises(ExportError, match=r"cannot be written to .* choose another output folder") as caught:
        export(kind, record(), folder)
    assert str(folder) in str(caught.value)


def test_no_two_exporters_write_the_same_file() -> None:
    assert len({exporter.file for exporter in EXPORTERS.values()}) == len(EXPORTERS)


@pytest.mark.parametrize("channels", [False, True])
def test_safetensors_is_the_file_whose_bytes_a_stage_counts(channels: bool, tmp_path: Path) -> None:
    run = record(channels=channels)
    written = export("safetensors", run, tmp_path).read_bytes()
    assert len(written) == costs(run.model, run.workload.example, run.sizes).bytes
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert ("sizes" in file.metadata()) == channels


@pytest.mark.parametrize("channels", [False, True])
def test_both_weights_files_hold_the_network(channels: bool, tmp_path: Path) -> None:
    run = record(channels=channels)
    tensors = load_file(export("safetensors", run, tmp_path))
    loaded = torch.load(export("pt", run, tmp_path), weights_only=True)
    assert isinstance(loaded, dict)
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensors[name], tensor) and torch.equal(loaded[name], tensor)


def test_pt_takes_no_more_along_than_it_names(tmp_path: Path) -> None:
    run = record()
    whole = torch.zeros(1_000_000)
    run.model.get_parameter("0.bias").data = whole[:4]
    assert export("pt", run, tmp_path).stat().st_size < 100_000


def test_the_recipe_reads_back(tmp_path: Path) -> None:
    run = record()
    text = export("recipe", run, tmp_path).read_text(encoding="utf-8")
    assert from_json(text) == run.recipe
    assert text.count("\n") > 10


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "file", b"old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match="No space left on device"):
        write_whole(tmp_path / "file", b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"old")]


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    stray, fresh = tmp_path / ".model.pt.1234.part", tmp_path / ".model.pt.5678.part"
    stray.touch()
    fresh.touch()
    os.utime(stray, (time.time() - 7200,) * 2)
    require_writable(tmp_path)
    assert list(tmp_path.iterdir()) == [fresh]
