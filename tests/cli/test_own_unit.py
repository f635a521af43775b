"""Every command with a workload that is scored by an error: in its own unit, and never in percent or points."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests import linear_regression
from tests.cli.test_bad_input import refused
from tests.cli.test_commands import invoke, quick  # noqa: F401  (a fixture)
from tests.own_workload import recipe_text

OWN = f"{linear_regression.__file__}:mse"
NEGATIVE = f"{linear_regression.__file__}:negative"


def mapped(tmp_path: Path, *more: str, model: str = OWN) -> Any:
    return invoke("sensitivity", model, "--out", str(tmp_path / "out"), "--levels", "0.25,0.5", *more)


def recipe(tmp_path: Path, **changes: object) -> str:
    path = tmp_path / "given.json"
    path.write_text(recipe_text(amount={"kind": "sparsity", "share": 0.5}, tuning={"epochs": 0}, **changes))
    return str(path)


def test_inspect_takes_it() -> None:
    assert "linear: 4 parameters" in invoke("inspect", OWN).stdout


def test_a_map_is_in_the_unit_of_the_score(tmp_path: Path) -> None:
    text = " ".join(mapped(tmp_path, "--exact", "--max-drop", "2").stdout.split())
    assert "+1.0 +5.0 25 %" in text
    assert "Changes of MSE (lower is better) on 320 validation samples" in text and "dense: 0.2500." in text
    assert "± 95 % intervals (asymptotic: MSE has no bounds)" in text and "costs at most 2 MSE" in text
    assert "point" not in text
    assert "costs it at most 2 MSE, alone" in (tmp_path / "out" / "suggestion.recipe.json").read_text()


def test_the_negative_error_gives_the_mirrored_map_and_the_same_cuts(tmp_path: Path) -> None:
    found = []
    for model in (OWN, NEGATIVE):
        result = mapped(tmp_path, "--exact", "--max-drop", "2", "--json", model=model)
        found.append(json.loads(result.stdout.splitlines()[-1]))
    lower, higher = ([cell["estimate"]["change"] for cell in each["rows"][0]["cells"]] for each in found)
    assert lower == [1.0, 5.0] and higher == [-1.0, -5.0]
    assert found[0]["largest_cuts"] == found[1]["largest_cuts"] == {"0": 0.25}
    assert found[0]["metric"]["better"] == "lower" and found[1]["metric"]["better"] == "higher"


def test_without_a_limit_it_is_a_small_part_of_the_dense_score(tmp_path: Path) -> None:
    last = json.loads(mapped(tmp_path, "--json").stdout.splitlines()[-1])
    assert last["max_drop"] == last["half_width"] == 0.01  # of 0.25


@pytest.mark.parametrize("limit", ["0", "-1", "inf", "nan"])
def test_a_limit_that_is_none_is_refused_in_the_unit_of_the_score(tmp_path: Path, limit: str) -> None:
    sentence = refused("sensitivity", OWN, "--out", str(tmp_path), "--max-drop", limit)
    assert "max-drop is" in sentence and "above 0, in the unit of MSE" in sentence


@pytest.mark.usefixtures("quick")
def test_a_run_its_report_and_its_file_are_in_the_unit_of_the_score(tmp_path: Path) -> None:
    result = invoke("run", recipe(tmp_path, schedule={"kind": "one_shot"}), "--workload", OWN, "--out", str(tmp_path))
    stages = " ".join(result.stdout.split())
    assert "0.2500 5.250 5.250 5.250" in stages and "+5.00 worse" in stages
    assert "dense: MSE 0.2500 test, 0.2500 validation" in result.stderr
    assert "verified: scored 5.250, the file in a fresh process 5.250 (test)" in result.stderr
    assert "point" not in result.stdout + result.stderr and "accuracy" not in result.stdout + result.stderr
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = report[report.index("</style>") : report.index("<h2>What was done</h2>")]
    words = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "MSE, test (lower is better)" in words and "scores 5.250 on the test split" in words
    assert "MSE and size" in words and "ccuracy" not in words and "points" not in words
    scored = invoke("score", str(tmp_path / "model.safetensors"), "--workload", OWN).stdout
    assert "MSE, test (lower is better)" in scored and "5.250 of 320" in scored


def test_criteria_are_compared_in_the_unit_of_the_score(tmp_path: Path) -> None:
    result = invoke("compare", recipe(tmp_path), "--workload", OWN, "--criteria", "magnitude,random")
    text = " ".join(result.stdout.split())
    assert (
        "5.250" in text
        and "+5.00" in text
        and "dense: 0.2500. MSE is on the validation split; lower is better." in text
    )
    assert "ccurac" not in text and "point" not in text
