"""`search` and `latency`: their files and lines; bad options are a sentence; Ctrl-C keeps what there is."""

import json
import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pruning.__main__ import command_line
from pruning.cli import searching as command
from pruning.level_search.latency.table import read_table
from pruning.level_search.result import FrontPoint, Searched
from pruning.recipe.recipe import Recipe, from_json
from pruning.selection.amounts import PerLayer
from pruning.selection.goal import Goal
from pruning.selection.scopes import WithinLayer
from tests.cli.test_bad_input import refused
from tests.cli.test_commands import invoke
from tests.own_workload import write_own

POINTS = (
    FrontPoint({"conv1": 0.5}, 0.6, 0.03, 0.01, "estimated"),
    FrontPoint({"conv1": 0.25}, 0.8, 0.012, 0.0, "measured"),
)


def searched(folder: Path, *more: str) -> Any:
    return invoke("search", write_own(folder), "--out", str(folder / "out"), *more)


def found(best: FrontPoint | None) -> Searched:
    return Searched(
        Goal("macs", budget=0.9), Recipe("own"), "groups together", POINTS, best, True, 7, 20, 0.8, 1e6, 3.0
    )


def test_the_recipe_that_was_found_runs_and_its_file_says_what_the_last_line_says(tmp_path: Path) -> None:
    result = searched(tmp_path, "--cost", "parameters", "--budget", "0.8", "--repair", "bias", "--json")
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["met"] and last["best"]["cost"] <= 0.8 and last["best"]["provenance"] == "measured"
    written = {kind: Path(path) for kind, path in last["artefacts"].items()}
    stored = json.loads(written["json"].read_text())
    assert stored == {key: last[key] for key in stored}
    recipe = from_json(written["recipe"].read_text())
    assert recipe.scope == WithinLayer() and recipe.amount == PerLayer(last["best"]["shares"])
    assert recipe == from_json(json.dumps(last["best"]["recipe"]))


def test_the_table_says_what_is_estimated_and_what_is_measured(tmp_path: Path, monkeypatch: Any) -> None:
    def made(*_: Any) -> Generator[Searched, None, Searched]:
        yield from ()
        return found(POINTS[1])

    monkeypatch.setattr(command, "searched", made)
    result = searched(tmp_path, "--budget", "0.9")
    assert "−3.00 ± 1.00" in result.stdout and "−1.20" in result.stdout
    assert "estimated" in result.stdout and "measured" in result.stdout
    said = result.stdout.replace("\u202f", " ")
    assert "Best: 80.0 % of the macs left" in said and "within what was asked" in said
    assert "conv1 25.0 %" in said and "7 cuts in 3.0 s" in said


def test_ctrl_c_keeps_what_is_known(tmp_path: Path, monkeypatch: Any) -> None:
    def interrupted(*_: Any) -> Generator[Searched, None, Searched]:
        os.kill(os.getpid(), signal.SIGINT)
        yield found(None)
        raise AssertionError("it was asked for more after Ctrl-C")

    monkeypatch.setattr(command, "searched", interrupted)
    result = searched(tmp_path, "--budget", "0.9")
    assert "Ctrl-C again aborts" in result.stderr
    recipe = from_json((tmp_path / "out" / "found.recipe.json").read_text())
    assert recipe.amount == PerLayer({"conv1": 0.25})  # of the points, the one that loses least


def test_ctrl_c_before_anything_is_known_is_a_sentence(tmp_path: Path, monkeypatch: Any) -> None:
    def interrupted(*_: Any) -> Generator[Searched, None, Searched]:
        os.kill(os.getpid(), signal.SIGINT)
        yield Searched(
            Goal("macs", budget=0.9), Recipe("own"), "each group alone", (), None, False, 1, 20, 0.8, 1e6, 3.0
        )
        raise AssertionError

    monkeypatch.setattr(command, "searched", interrupted)
    result = CliRunner().invoke(command_line(), ["search", write_own(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2 and "the search was stopped before it knew anything" in result.stderr


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--cost", "speed"], "cost is 'speed'; use one of parameters, bytes, macs, latency"),
        (["--budget", "1.5"], "goal.budget is 1.5; it lies above 0 and at most 1"),
        (["--max-drop", "-1"], "max-drop is -1"),
        (["--criterion", "nosuch"], "criterion.kind"),
        (["--granularity", "weights", "--cost", "latency"], "makes no dense kernel faster"),
        (["--latencies", "nosuch.json"], "cannot be read"),
    ],
)
def test_bad_options_are_a_sentence(tmp_path: Path, options: list[str], sentence: str) -> None:
    assert sentence in refused("search", write_own(tmp_path), "--out", str(tmp_path / "out"), *options)


def test_half_of_the_cost_is_asked_for_where_nothing_is_said() -> None:
    from pruning.metric import ACCURACY, Metric

    assert command.goal_of("macs", None, None, ACCURACY) == Goal("macs", budget=0.5)
    assert command.goal_of("macs", None, 1.0, ACCURACY) == Goal("macs", max_drop=0.01)
    assert command.goal_of("latency", 0.5, 2.0, Metric("MSE", better="lower")) == Goal("latency", 0.5, 2.0)


def test_latencies_are_written(tmp_path: Path) -> None:
    file = tmp_path / "device.json"
    from pruning.level_search.latency import timed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(timed, "MOST_ERROR", 1e9)  # whatever else the machine does meanwhile
        result = invoke("latency", write_own(tmp_path), "--out", str(file), "--batch", "2")
    assert "ms (cpu" in result.stdout and "batch 2" in result.stdout
    assert read_table(file).batch == 2 and set(read_table(file).ladder) == {"conv1", "conv2"}
