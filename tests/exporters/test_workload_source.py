"""A fresh process gets the workload by a function, or as it is: also a model that was typed into a notebook."""

import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pruning.cli.workload_file import source_of
from pruning.errors import ExportError, WorkloadError
from pruning.exporters.verification import score_file, score_files_afresh
from pruning.exporters.workload_source import (
    Called,
    WorkloadSource,
    from_message,
    open_source,
    pickled,
    to_message,
)
from pruning.model.costs import file_bytes
from pruning.workload import Workload
from tests.networks import CPU, tiny
from tests.own_workload import SOURCE, write_own


def typed_in() -> Workload:
    """The workload of `SOURCE`, its class and functions made as in a notebook: in no module that can be imported."""
    notebook = ModuleType("typed_into_a_notebook")
    exec(SOURCE, vars(notebook))
    return notebook.make()


def written(workload: Workload, folder: Path) -> Path:
    file = folder / "model.safetensors"
    file.write_bytes(file_bytes(workload.build().state_dict()))
    return file


def test_a_fresh_process_scores_a_model_that_was_typed_into_a_notebook(tmp_path: Path) -> None:
    workload = typed_in()
    file = written(workload, tmp_path)
    (again,) = score_files_afresh([file], workload, CPU, 100.0)
    here = score_file(file, workload, CPU)
    assert (again.stage, again.fingerprint) == (here.stage, here.fingerprint)


def test_a_fresh_process_calls_an_importable_function(tmp_path: Path) -> None:
    file = written(tiny("mlp"), tmp_path)
    (again,) = score_files_afresh([file], Called("tests.networks", "tiny", ("mlp",)), CPU, 100.0)
    assert again.stage == score_file(file, tiny("mlp"), CPU).stage


def test_training_samples_and_checkpoints_are_not_sent() -> None:
    found = open_source(from_message(None, pickled(tiny("mlp"))))
    assert torch.equal(found.test.inputs, tiny("mlp").test.inputs)  # type: ignore[attr-defined]
    assert torch.equal(found.train.inputs, found.validation.inputs)  # type: ignore[attr-defined]
    assert found.checkpoints == {}


@pytest.mark.parametrize("source", [Called("a.b", "make", ("x", "y")), Called("a", "make")])
def test_a_source_arrives_as_it_was_sent(source: WorkloadSource) -> None:
    assert from_message(*to_message(source)) == source


def test_what_cannot_be_pickled_is_named() -> None:
    lock = threading.Lock()
    workload = replace(tiny("mlp"), build=lambda: lock)  # type: ignore[arg-type, return-value]
    with pytest.raises(ExportError, match=r"mlp: its model or data .*lock.*keep what cannot be pickled"):
        pickled(workload)


def test_without_cloudpickle_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(ExportError, match="pip install cloudpickle"):
        pickled(tiny("mlp"))


def test_a_function_that_gives_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="found a Sequential instead of a Workload"):
        open_source(Called("tests.networks", "mlp"))


def test_what_the_fresh_process_complains_of_is_passed_on(tmp_path: Path) -> None:
    reference = write_own(tmp_path)
    with pytest.raises(ExportError, match=r"missing\.pt: no such file"):
        score_files_afresh([tmp_path / "missing.pt"], source_of(reference), CPU, 100.0)


def test_what_the_workload_prints_does_not_disturb(tmp_path: Path) -> None:
    reference = write_own(tmp_path, SOURCE + "\nprint('loading ...')\n")
    file = written(open_source(source_of(reference)), tmp_path)
    (found,) = score_files_afresh([file], source_of(reference), CPU, 100.0)
    assert found.file == str(file)


def test_no_message_and_no_module_names_the_command_line() -> None:
    """The library never calls its own command line."""
    root = Path(score_file.__code__.co_filename).parent
    assert [file.name for file in root.glob("*.py") if "pruning.cli" in file.read_text()] == []
