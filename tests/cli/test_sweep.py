"""`grid` and `sweep`: a file is made, its runs are carried out once, and what they came to is written."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pruning.__main__ import command_line
from pruning.events import Failed, Finished, StageMeasured, Started
from pruning.execution.store.store import Store
from pruning.sweeps.grid import grid_from_json
from tests.cli.test_bad_input import refused
from tests.cli.test_commands import invoke
from tests.own_workload import recipe_text, write_own
from tests.reporting.sweep_trials import DENSE, trial


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("PRUNING_HOME", str(tmp_path / "home"))
    store = Store(tmp_path / "home")
    yield store
    store.close()


def grid_file(folder: Path, *options: str, **changes: object) -> str:
    (folder / "recipe.json").write_text(recipe_text(**{"workload": "mlp_128", **changes}))
    file = folder / "grid.json"
    file.write_text(invoke("grid", str(folder / "recipe.json"), *options).stdout)
    return str(file)


def finish(store: Store, *scores: float) -> None:
    """Let the queued runs come to these scores, in their order."""
    for score in scores:
        lease = store.leases.claim("w")
        assert lease is not None
        tuned = StageMeasured("tuned", trial(score).tuned)
        store.leases.append(lease, Started("mlp_128", "cpu", 1, 1, ()), StageMeasured("dense", DENSE), tuned)
        store.leases.finish(lease, Finished(False, 3.0))


def last(result: Any) -> dict[str, Any]:
    return json.loads(result.stdout.splitlines()[-1])


def test_a_grid_is_made_of_a_recipe_and_options(tmp_path: Path) -> None:
    options = ("--criteria", "magnitude,geometric_median", "--amounts", "0.5,0.9", "--seeds", "2")
    file = grid_file(tmp_path, *options, "--vary", "tuning.epochs=[1, 2]", "--no-controls")
    text = Path(file).read_text()
    grid = grid_from_json(text)
    assert grid.vary == {
        "criterion": ({"kind": "magnitude"}, {"kind": "geometric_median"}),
        "amount.share": (0.5, 0.9), "tuning.epochs": (1, 2), "seed": (0, 1),
    }  # fmt: skip
    assert grid.controls == () and grid.base.workload == "mlp_128"
    assert json.loads(text)["//"].startswith("8 runs; 8 combinations do not go together")


def test_a_queued_sweep_is_left_to_the_server_and_queued_once(tmp_path: Path, store: Store) -> None:
    file, out = grid_file(tmp_path, "--seeds", "2"), str(tmp_path / "out")
    result = invoke("sweep", file, "--out", out, "--queue")
    assert "6 runs queued for the server" in result.stderr  # two seeds, dense and random
    assert len(store.queue()) == 6 and not Path(out).exists()
    assert "0 runs queued" in invoke("sweep", file, "--out", out, "--queue").stderr
    (kept,) = store.sweeps.all()
    assert grid_from_json(kept.grid_json) == grid_from_json(Path(file).read_text())


def test_results_are_written_and_printed_of_what_there_is(tmp_path: Path, store: Store) -> None:
    file, out = grid_file(tmp_path, "--criteria", "magnitude,geometric_median", "--seeds", "2"), tmp_path / "out"
    invoke("sweep", file, "--out", str(out), "--queue")
    finish(store, 0.8, 0.89, 0.4, 0.84)  # the grid's first seed, its controls, the second seed
    lease = store.leases.claim("w")
    assert lease is not None
    store.leases.finish(lease, Failed("no memory"))
    result = invoke("sweep", file, "--out", str(out), "--results", "--json")
    found = last(result)
    assert found["runs"] == {"finished": 4, "running": 0, "queued": 1, "failed": 1, "stopped": 0, "missing": 0}
    (grid, dense, random) = found["groups"]
    assert (grid["role"], grid["seeds"], round(grid["score"], 3)) == ("grid", 2, 0.82)
    assert dense["score"] == 0.89 and random["score"] == 0.4 and random["score_half_width"] is None
    assert found["refused"][0]["values"] == {"criterion": {"kind": "geometric_median"}}
    assert sorted(path.name for path in out.iterdir()) == sorted(found["artefacts"])
    assert "not run: criterion geometric_median: geometric_median scores channels" in result.stderr
    assert "failed: no memory" in result.stderr and "4 finished, 1 queued, 1 failed" in result.stderr
    table = invoke("sweep", file, "--out", str(out), "--results").stdout
    assert "82.00 ± 25.41" in table and "dense control" in table and "Student's t over up to 2 seeds" in table


def test_without_a_finished_run_nothing_is_written(tmp_path: Path, store: Store) -> None:
    result = invoke("sweep", grid_file(tmp_path), "--out", str(tmp_path / "out"), "--results")
    assert "no run is finished" in result.stdout and "3 missing" in result.stderr
    assert not (tmp_path / "out").exists()


def test_ones_own_model_is_swept_in_a_home_of_its_own_and_once(tmp_path: Path, store: Store) -> None:
    """The whole way: a worker process of its own, which knows the model."""
    reference, out = write_own(tmp_path), str(tmp_path / "out")
    file = grid_file(tmp_path, "--amounts", "0.5", "--no-controls", workload="anything", tuning={"epochs": 0})
    result = invoke("sweep", file, "--out", out, "--workload", reference, "--json")
    found = last(result)
    assert found["runs"]["finished"] == 1 and "1 runs, 1 of them new" in result.stderr
    assert store.runs() == [] and found["same"]["workload"] == "own" and found["same"]["amount.share"] == "0.5"
    again = invoke("sweep", file, "--out", out, "--workload", reference, "--json")
    assert "all 1 runs were there already" in again.stderr and last(again)["groups"] == found["groups"]


@pytest.mark.parametrize(
    "options, sentence",
    [
        (("--queue", "--results"), "--queue and --results are two things to do instead of running; choose one"),
        (("--queue", "--workload", "own.py:make"), "--queue leaves the runs to a server, which knows the sample"),
    ],
)
def test_options_that_do_not_go_together(tmp_path: Path, store: Store, options: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused("sweep", grid_file(tmp_path), "--out", str(tmp_path / "out"), *options)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (None, "no such file; `python -m pruning grid RECIPE.json --seeds 3 > GRID.json` writes one"),
        ({"version": 7}, "grid.json: version is 7"),
        ({"vary": {"workload": ["mlp_128", "alexnet"]}}, "workload is 'alexnet'; use one of"),
        ({"vary": {"amount.shrae": [0.5]}}, "no combination of the grid can be run: amount.shrae 0.5"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, store: Store, changes: dict[str, Any] | None, sentence: str) -> None:
    file = Path(grid_file(tmp_path))
    if changes is None:
        file.unlink()
    else:
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    assert sentence in refused("sweep", str(file), "--out", str(tmp_path / "out"))


@pytest.mark.parametrize(
    "option, sentence",
    [
        (("--vary", "seed=3"), "vary is 'seed=3'; write PATH=[VALUE, ...] in JSON"),
        (("--amounts", "half"), "amounts names 'half'; give numbers separated by commas"),
        (("--criteria", "magic"), "criterion.kind is"),
    ],
)
def test_options_of_a_grid_that_make_no_sense(tmp_path: Path, option: tuple[str, ...], sentence: str) -> None:
    (tmp_path / "recipe.json").write_text(recipe_text())
    assert sentence in refused("grid", str(tmp_path / "recipe.json"), *option)


def test_help_says_how_to_go_on() -> None:
    assert "the same command goes on" in " ".join(
        CliRunner().invoke(command_line(), ["sweep", "--help"]).output.split()
    )
