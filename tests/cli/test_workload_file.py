from pathlib import Path

import pytest

from pruning.cli.workload_file import is_reference, load_workload
from pruning.errors import WorkloadError
from pruning.workload import Workload
from tests.own_workload import SOURCE, write_own


@pytest.mark.parametrize("name", ["make", "ready"])
def test_a_workload_and_a_function_that_returns_one_are_taken(tmp_path: Path, name: str) -> None:
    workload = load_workload(write_own(tmp_path, name=name))
    assert isinstance(workload, Workload) and workload.name == "own"


def test_the_file_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_the_workload.py").write_text("NAME = 'neighbour'\n")
    source = SOURCE.replace('"own"', "NAME") + "\n"
    load_workload(write_own(tmp_path, "from beside_the_workload import NAME\n" + source))


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    load_workload(write_own(tmp_path))
    assert load_workload(write_own(tmp_path, SOURCE.replace('"own"', '"newer"'))).name == "newer"


RAISES = SOURCE.replace("def make():\n", "def make():\n    1 / 0\n").replace("ready = make()", "")
NAN = SOURCE.replace(
    "return Small().eval()",
    "model = Small().eval()\n        model.fc.weight.data[0] = float('nan')\n        return model",
)
BROKEN = SOURCE.replace("return Small().eval()", "return Small(no_such=1)")


@pytest.mark.parametrize(
    ("source", "name", "sentences"),
    [
        (SOURCE, "nosuch", ["there is no nosuch in it", "build, make, ready"]),
        (SOURCE, "number", ["number gives a int", "pruning.workload.Workload"]),
        (SOURCE, "build", ["build gives a Small"]),
        (SOURCE, "split", ["split() failed with TypeError", "seed"]),
        ("x = 1\nraise OSError('no disk')\n", "make", ["own.py, line 2", "OSError: no disk"]),
        ("def f(:\n", "make", ["own.py, line 1", "SyntaxError"]),
        ("import sys\nsys.exit(3)\n", "make", ["own.py, line 2", "SystemExit"]),
        ("import nosuchmodule\n", "make", ["own.py, line 1", "nosuchmodule"]),
        ("", "make", ["neither a Workload nor a function"]),
        (RAISES, "make", ["own.py, line", "make() failed with ZeroDivisionError"]),
        (NAN, "make", ["own.py", "fc.weight", "NaN"]),
        (BROKEN, "make", ["own.py, line", "no_such"]),
    ],
)
def test_what_is_wrong_is_one_sentence_that_names_the_file(
    tmp_path: Path, source: str, name: str, sentences: list[str]
) -> None:
    reference = write_own(tmp_path, source, name)
    with pytest.raises(WorkloadError) as caught:
        load_workload(reference)
    said = str(caught.value)
    assert "own.py" in said and "\n" not in said
    for sentence in sentences:
        assert sentence in said


@pytest.mark.parametrize("reference", ["own.py", "own.py:", ":make", "nosuch.py:make", "folder:make", "own.txt:make"])
def test_a_reference_that_names_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_own(tmp_path)
    with pytest.raises(WorkloadError, match=r"FILE.py:NAME"):
        load_workload(reference)


def test_a_model_is_said_from_a_file() -> None:
    assert is_reference("own.py:make") and is_reference("own.py") and not is_reference("fashion_cnn")
