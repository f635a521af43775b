"""`sensitivity`: the map, its files and the suggestion; bad options are a sentence; Ctrl-C keeps what there is."""

import csv
import json
import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pruning.__main__ import command_line
from pruning.cli import sensitivity as command
from pruning.cli.sensitivity import read_levels
from pruning.evaluation.estimate import Estimate
from pruning.layer_sensitivity.result import LEVELS, Sensitivity, SensitivityCell, SensitivityRow
from pruning.recipe.recipe import from_json
from pruning.selection.amounts import PerLayer
from tests.cli.test_bad_input import refused
from tests.cli.test_commands import invoke
from tests.own_workload import write_own


def sensed(folder: Path, *more: str) -> Any:
    out = folder / "out"
    return invoke("sensitivity", write_own(folder), "--out", str(out), *more)


def test_exact_maps_agree_in_the_last_line_the_files_and_the_table(tmp_path: Path) -> None:
    result = sensed(tmp_path, "--exact", "--json", "--levels", "0.9,0.5,0.5", "--max-drop", "5")
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["workload"] == "own" and last["done"] and last["levels"] == [0.5, 0.9] and last["max_drop"] == 0.05
    assert [row["name"] for row in last["rows"]] == ["conv1", "conv2", "fc"]
    assert all(cell["estimate"]["samples"] == 300 for row in last["rows"] for cell in row["cells"])
    written = {kind: Path(path) for kind, path in last["artefacts"].items()}
    assert {path.name for path in written.values()} == {
        "sensitivity.json", "sensitivity.csv", "suggestion.recipe.json",
    }  # fmt: skip
    stored = json.loads(written["json"].read_text())
    assert stored == {key: last[key] for key in stored}
    with written["csv"].open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["layer"], float(line["level"]), float(line["change"])) for line in lines] == [
        (row["name"], cell["level"], cell["estimate"]["change"]) for row in last["rows"] for cell in row["cells"]
    ]
    table = sensed(tmp_path, "--exact", "--levels", "0.5,0.9", "--max-drop", "5").stdout
    worst = last["rows"][2]["cells"][1]["estimate"]["change"]
    assert f"{100 * abs(worst):.1f}" in table and "± 95 % intervals" in table and "?" not in table


def test_the_suggestion_is_a_recipe_that_runs_with_the_largest_cuts(tmp_path: Path) -> None:
    result = sensed(tmp_path, "--json", "--exact", "--granularity", "channels", "--criterion", "random")
    last = json.loads(result.stdout.splitlines()[-1])
    recipe = from_json(Path(last["artefacts"]["recipe"]).read_text())
    assert recipe == from_json(json.dumps(last["suggestion"]))
    assert recipe.amount == PerLayer(last["largest_cuts"]) and set(last["largest_cuts"]) == {"conv1", "conv2"}
    assert "output" in last["left_out"]["fc"]
    assert [cell["level"] for cell in last["rows"][0]["cells"]] == list(LEVELS)


def open_map() -> Sensitivity:
    """One layer at two levels: all of the 300 samples seen at the first, 60 at the second."""
    cells = (
        SensitivityCell(0.5, 54, 27, Estimate(0.8, 0.0, -0.02, 300, 300), True),
        SensitivityCell(0.9, 54, 49, Estimate(0.5, 0.12, -0.32, 60, 300), False),
    )
    return Sensitivity((SensitivityRow("conv1", ("conv1",), 54, cells),), (0.5, 0.9), 0.82, 300, 0.01, 360, 900, 0.1)


def test_ctrl_c_keeps_an_unfinished_map_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> Generator[Sensitivity, None, Sensitivity]:
        os.kill(os.getpid(), signal.SIGINT)
        yield open_map()
        raise AssertionError("it was asked for more after Ctrl-C")

    monkeypatch.setattr(command, "map_sensitivity", interrupted)
    before = signal.getsignal(signal.SIGINT)
    result = sensed(tmp_path, "--max-drop", "3")
    assert "Ctrl-C again aborts" in result.stderr and "unfinished" in result.stderr
    assert "−2.0" in result.stdout and "−32.0" in result.stdout and "±12.0?" in result.stdout
    assert signal.getsignal(signal.SIGINT) is before
    out = tmp_path / "out"
    assert json.loads((out / "sensitivity.json").read_text())["done"] is False
    text = (out / "suggestion.recipe.json").read_text()
    assert "UNFINISHED" in text and from_json(text).amount == PerLayer({"conv1": 0.5})


def test_ctrl_c_twice_aborts_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(*_: Any) -> Generator[Sensitivity, None, Sensitivity]:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        yield open_map()
        raise AssertionError

    monkeypatch.setattr(command, "map_sensitivity", impatient)
    result = CliRunner().invoke(command_line(), ["sensitivity", write_own(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 130 and "the map is not kept" in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--criterion", "magnitud"], ["criterion.kind", "magnitud", "taylor"]),
        (["--granularity", "rows"], ["granularity.kind", "rows", "channels"]),
        (["--criterion", "activation"], ["activation scores channels", "choose granularity channels"]),
        (["--levels", "0.5,half"], ["levels names 'half'", "such as 0.5"]),
        (["--levels", "1"], ["levels names '1'", "below 1"]),
        (["--levels", "nan"], ["levels names 'nan'"]),
        (["--levels", " , "], ["levels is empty"]),
        (["--max-drop", "0"], ["max-drop is 0", "above 0"]),
        (["--max-drop", "nan"], ["max-drop is nan"]),
        (
            ["--granularity", "heads"],
            ["no attention heads of own may be pruned", "choose another granularity", "conv1"],
        ),
        (["--device", "abacus"], ["device is 'abacus'", "use cpu"]),
    ],
)
def test_bad_options_are_a_sentence(tmp_path: Path, options: list[str], words: list[str]) -> None:
    sentence = refused("sensitivity", write_own(tmp_path), "--out", str(tmp_path / "out"), *options)
    assert all(word in sentence for word in words), sentence


def test_an_unknown_model_and_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    assert "'nosuch'" in refused("sensitivity", "nosuch", "--out", str(tmp_path))
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused("sensitivity", write_own(tmp_path), "--out", str(tmp_path / "file"))


def test_levels_are_sorted_and_each_taken_once() -> None:
    assert read_levels("0.9, 0.5,0.90") == (0.5, 0.9)
    assert read_levels(None) == LEVELS
