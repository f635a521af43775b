"""`halve`: the best setting of a grid is found, written and printed."""

import json
from pathlib import Path

import pytest

from pruning.recipe.recipe import from_json
from pruning.selection.amounts import Sparsity
from tests.cli.test_bad_input import refused
from tests.cli.test_commands import invoke
from tests.cli.test_sweep import grid_file, last
from tests.own_workload import write_own


def test_the_best_setting_of_ones_own_model_is_found_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """The whole way: a worker process of its own, which knows the model."""
    reference, out = write_own(tmp_path), tmp_path / "out"
    file = grid_file(
        tmp_path, "--amounts", "0.1,0.95", "--no-controls", workload="anything",
        tuning={"epochs": 1, "batch_size": 50},
    )  # fmt: skip
    options = ("--out", str(out), "--workload", reference, "--minutes", "2", "--rungs", "2", "--max-drop", "100")
    result = invoke("halve", file, *options, "--json")
    found = last(result)
    assert found["state"] == "over" and found["sentence"] == "done; 2 of 2 settings were tried"
    assert found["best"]["values"] == {"amount.share": 0.95}  # anything may be lost, so what saves most wins
    recipe = from_json((out / "found.recipe.json").read_text())
    assert recipe.amount == Sparsity(0.95) and recipe.tuning.images_per_epoch is None and recipe.workload == "own"
    assert json.loads((out / "halving.json").read_text())["best"] == found["best"]
    again = invoke("halve", file, *options)
    assert "Best: amount.share 0.95" in again.stdout and "done; 2 of 2" in again.stdout
    assert len(list((out / "runs" / "runs").iterdir())) == sum(len(each["scores"]) for each in found["entries"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--cost", "latency", "--budget", "0.5"), "use parameters, bytes or macs"),
        (("--budget", "1.5"), "goal.budget is 1.5"),
    ],
)
def test_what_cannot_win_is_refused(tmp_path: Path, options: tuple[str, ...], sentence: str) -> None:
    file = grid_file(tmp_path, "--amounts", "0.1,0.95")
    assert sentence in refused("halve", file, "--out", str(tmp_path / "out"), *options)


def test_a_grid_of_seeds_is_refused(tmp_path: Path) -> None:
    file = grid_file(tmp_path, "--amounts", "0.1,0.95", "--seeds", "2")
    assert "the luckiest one" in refused("halve", file, "--out", str(tmp_path / "out"))
