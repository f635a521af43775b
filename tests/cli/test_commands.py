"""What the commands do when all is well. `test_bad_input.py` has the rest."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from pruning.__main__ import command_line
from pruning.cli.lines import event_line
from pruning.cli.workload_file import load_workload
from pruning.events import AmountFound, Masked, PrunedValues, Searching, TuningStep
from pruning.execution.store.store import Store
from pruning.metric import Metric
from pruning.recipe.recipe import Recipe, from_json
from pruning.reporting.formatting import THIN
from pruning.run import experiment as runs
from pruning.selection.amounts import Automatic
from pruning.training.distillation import Logits
from sample_models import MODELS
from tests.own_workload import SOURCE, recipe_text, rescore_here, write_own

ROOT = Path(__file__).parents[2]
STAGE_KEYS = ["score", "validation", "samples", "parameters", "nonzero", "macs", "bytes", "gzip_bytes", "latency_ms"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "score_files_afresh", rescore_here)


def invoke(*arguments: str) -> Any:
    result = CliRunner().invoke(command_line(), arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def recipe_file(folder: Path, **changes: object) -> str:
    path = folder / "given.json"
    path.write_text(recipe_text(**changes))
    return str(path)


def test_a_run_from_another_folder_ends_with_one_line_of_json(tmp_path: Path) -> None:
    """The whole way, as a person would go it: a process of its own, which starts another to score the files."""
    reference = write_own(tmp_path)
    recipe = recipe_file(tmp_path, granularity={"kind": "channels"})
    command = [sys.executable, "-m", "pruning", "run", recipe, "--workload", reference, "--out", "out", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert list(last) == ["run", "workload", "device", "metric", "stages", "artefacts"]
    assert last["run"] == from_json(Path(recipe).read_text()).name and last["workload"] == "own"
    assert list(last["stages"]) == ["dense", "pruned", "tuned", "exported"]
    assert all(list(stage) == STAGE_KEYS for stage in last["stages"].values())
    exported, tuned = last["stages"]["exported"], last["stages"]["tuned"]
    assert exported == tuned | {"latency_ms": exported["latency_ms"]} and exported["latency_ms"] > 0
    assert last["stages"]["tuned"]["parameters"] < last["stages"]["dense"]["parameters"]
    assert {kind: Path(path).is_file() for kind, path in last["artefacts"].items()} == {
        "safetensors": True, "pt": True, "recipe": True, "report": True,
    }  # fmt: skip
    assert "verified: scored" in done.stderr and "round 2:" in done.stderr


@pytest.mark.usefixtures("quick")
def test_without_json_the_stages_stand_on_stdout(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, keep_whole=["conv2"])
    result = invoke("run", recipe, "--workload", write_own(tmp_path), "--out", str(tmp_path / "out"))
    # 54 weights of conv1 and 216 of fc compete; with the 432 of conv2 and all biases there are 719 values
    part = "pruned: 50.0 % of 270 prunable parameters; 18.8 % of all 719 parameters"
    assert part in result.stdout.replace(THIN, " ") and "135 of 270 units pruned" in result.stderr.replace(THIN, " ")
    for word in ("dense", "pruned", "tuned", "exported", "accuracy, test", "accuracy, validation", "non-zeros"):
        assert word in result.stdout
    assert "finished after" in result.stderr and "finished after" not in result.stdout


@pytest.mark.usefixtures("quick")
def test_another_workload_makes_another_recipe(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, workload="fashion_cnn")
    out = tmp_path / "out"
    result = invoke("run", recipe, "--workload", write_own(tmp_path), "--out", str(out), "--json")
    written = from_json((out / "recipe.json").read_text())
    assert written.workload == "own"
    assert json.loads(result.stdout.splitlines()[-1])["run"] == written.name


@pytest.mark.usefixtures("quick")
def test_a_file_teaches_that_the_command_line_names(tmp_path: Path) -> None:
    reference = write_own(tmp_path)
    torch.save(load_workload(reference).build().state_dict(), tmp_path / "careful.pt")
    recipe = recipe_file(tmp_path, distillation={"kind": "logits", "share": 0.5})
    out = tmp_path / "out"
    invoke(
        "run", recipe, "--workload", reference, "--teacher", str(tmp_path / "careful.pt"), "--out", str(out), "--json"
    )
    assert from_json((out / "recipe.json").read_text()).distillation == Logits(share=0.5, teacher="careful")


@pytest.mark.usefixtures("quick")
def test_a_file_that_is_not_verified_makes_the_command_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "differences", lambda *_: ["model.pt holds other values"])
    arguments = ["run", recipe_file(tmp_path), "--workload", write_own(tmp_path), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(command_line(), arguments)
    assert result.exit_code == 1
    assert "not verified: model.pt holds other values" in result.stderr and "NOT verified" in result.stderr


@pytest.mark.usefixtures("quick")
def test_ctrl_c_keeps_the_partial_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = runs.prune

    def interrupted(*arguments: Any) -> Any:
        events = real(*arguments)
        try:
            while True:
                event = next(events)
                if isinstance(event, TuningStep) and event.step == 1:
                    os.kill(os.getpid(), signal.SIGINT)
                yield event
        except StopIteration as end:
            return end.value

    monkeypatch.setattr(runs, "prune", interrupted)
    before = signal.getsignal(signal.SIGINT)
    recipe = recipe_file(tmp_path, tuning={"epochs": 100, "batch_size": 50})
    result = invoke("run", recipe, "--workload", write_own(tmp_path), "--out", str(tmp_path / "out"), "--json")
    assert "stopped after" in result.stderr and "Ctrl-C again aborts" in result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["stages"]["exported"] is not None
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_twice_aborts(tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, tuning={"epochs": 10_000, "batch_size": 2})
    command = [sys.executable, "-m", "pruning", "run", recipe, "--workload", write_own(tmp_path), "--out", "out"]
    begin = "def forward(self, images):\n"
    wait = "        if self.training:\n            print('a step', file=sys.stderr, flush=True); time.sleep(3)\n"
    slow = "import sys, time\n" + Path(tmp_path / "own.py").read_text().replace(begin, begin + wait)
    write_own(tmp_path, slow)
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for reported in process.stderr:
        if reported.startswith("a step"):
            break
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert "aborted" in process.stderr.read()
    assert list((tmp_path / "out").iterdir()) == []


def test_models_are_listed_from_their_cards() -> None:
    listed = json.loads(invoke("models", "--json").stdout.splitlines()[-1])
    assert [model["name"] for model in listed] == list(MODELS)
    for model in listed:
        assert model["parameters"] > 0 and model["macs"] > 0 and model["data"]
        assert 0.5 < model["validation_accuracy"] < 1 and 0.5 < model["test_accuracy"] < 1
    reported = invoke("models").stdout
    assert all(name in reported for name in MODELS) and "accuracy, test" in reported


def test_inspect_says_what_may_be_pruned_and_why_not(tmp_path: Path) -> None:
    reference = write_own(tmp_path)
    found = json.loads(invoke("inspect", reference, "--json").stdout)
    channels = {row["name"]: (row["channels"], row["why_no_channels"]) for row in found["layers"]}
    assert channels["conv1"] == (6, "") and channels["conv2"] == (8, "")
    assert channels["fc"] == (0, "its units are the model's output: they always stay")
    assert found["parameters"] == sum(row["parameters"] for row in found["layers"])
    reported = invoke("inspect", reference).stdout
    assert "6 x 1 x 3 x 3" in reported and "fc: its units are the model's output" in reported


def test_inspect_says_how_much_can_be_pruned_where_that_is_not_nearly_all(tmp_path: Path) -> None:
    frozen = SOURCE.replace("second, 3, padding=1)", "second, 3, padding=1).requires_grad_(False)")
    part = "granularity weights can prune 270 of 719 parameters (37.6 %)"
    assert part in invoke("inspect", write_own(tmp_path, frozen)).stdout.replace(THIN, " ")
    assert "can prune" not in invoke("inspect", write_own(tmp_path)).stdout


def test_a_recipe_to_start_from_reads_back(tmp_path: Path) -> None:
    text = invoke("recipe", write_own(tmp_path)).stdout
    recipe = from_json(text)
    assert recipe == from_json(
        '{"version": 1, "workload": "own", "criterion": {"kind": "magnitude", "p": 1},'
        ' "granularity": {"kind": "weights"}, "scope": {"kind": "global"},'
        ' "amount": {"kind": "sparsity", "share": 0.8}, "schedule": {"kind": "polynomial", "rounds": 5, "power": 3},'
        ' "tuning": {"epochs": 2, "optimiser": "adamw", "learning_rate": 0.003, "batch_size": 128},'
        ' "keep_whole": [], "seed": 0}'
    )
    comments = {key: value for key, value in json.loads(text).items() if key.startswith("// ")}
    assert {key.removeprefix("// ") for key in comments} == json.loads(text).keys() - comments.keys() - {"//"}
    assert "conv1, conv2, fc" in comments["// keep_whole"]


@pytest.mark.usefixtures("quick")
def test_exported_files_can_be_scored_again(tmp_path: Path) -> None:
    reference, out = write_own(tmp_path), tmp_path / "out"
    ran = invoke("run", recipe_file(tmp_path), "--workload", reference, "--out", str(out), "--json")
    exported = json.loads(ran.stdout.splitlines()[-1])["stages"]["exported"]
    files = [str(out / "model.safetensors"), str(out / "model.pt")]
    for reported in invoke("score", *files, "--workload", reference, "--json").stdout.splitlines():
        again = json.loads(reported)
        same = [key for key in STAGE_KEYS if key != "latency_ms"]  # a clock reads otherwise each time
        assert {key: again[key] for key in same} == {key: exported[key] for key in same}
        assert again["latency_ms"] > 0 and exported["latency_ms"] > 0
        assert again["file"] in files and again["workload"] == "own"
    assert "300" in invoke("score", files[0], "--workload", reference).stdout


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, pruning.__main__ as m\nm.command_line()\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert "run" in invoke("--help").stdout


def test_only_steps_go_without_a_line() -> None:
    masked = Masked(0, 1.0, 5, 4, 8, {"fc": 0.5})
    assert event_line(masked) == f"round 1: 4 of 8 units pruned (50.0{THIN}%)"
    of_all = f"; 25.0{THIN}% of all 16 parameters"
    assert event_line(replace(masked, values=PrunedValues(4, 8, 16))) == event_line(masked) + of_all
    assert event_line(TuningStep(0, 0, 1, 1.0)) == ""


def test_a_search_says_its_phases_once_and_what_it_has_found() -> None:
    cut = Searching("each group alone", 3, 20, begins=False)
    assert event_line(cut) == ""
    assert event_line(replace(cut, begins=True)) == "searching for the amount: each group alone"
    found = AmountFound("macs", 0.498, 0.004, True, {"conv1": 0.2, "conv2": 0.0}, 20, 12.0)
    assert event_line(found).replace(THIN, " ") == (
        "found in 20 cuts, 12 s: 49.8 % of the MACs left, −0.40 points on validation before any tuning, within what "
        "was asked; pruned: conv1 20.0 %"
    )
    error = Metric("MSE", better="lower", low=0.0)
    words = event_line(replace(found, met=False, shares={}), error)
    assert "+0.00400 worse on validation" in words and words.endswith("NOT within what was asked; pruned: nothing")


@pytest.mark.usefixtures("quick")
def test_a_run_searches_for_its_amount_and_says_so(tmp_path: Path) -> None:
    amount = {"kind": "automatic", "cost": "macs", "budget": 0.7, "seconds": 5}
    recipe = recipe_file(tmp_path, amount=amount, granularity={"kind": "channels"})
    result = invoke("run", recipe, "--workload", write_own(tmp_path), "--out", str(tmp_path / "out"), "--json")
    lines = result.stderr.replace(THIN, " ").splitlines()
    searching = [place for place, line in enumerate(lines) if line.startswith("searching for the amount: ")]
    assert lines[searching[0]] == "searching for the amount: each group alone" and len(searching) < 4
    words = re.compile(r"found in \d+ cuts, .* of the MACs left, .* within what was asked; pruned: ")
    (found,) = [place for place, line in enumerate(lines) if words.match(line)]
    (cut,) = [place for place, line in enumerate(lines) if line.startswith("round 1: ")]
    assert searching[-1] < found < cut
    stages = json.loads(result.stdout.splitlines()[-1])["stages"]
    assert stages["tuned"]["macs"] <= 0.7 * stages["dense"]["macs"]
    assert from_json((tmp_path / "out" / "recipe.json").read_text()).amount == Automatic("macs", 0.7, seconds=5)


def test_runs_are_backed_up_and_brought_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRUNING_HOME", str(tmp_path / "home"))
    run = Store(tmp_path / "home").create(Recipe("mlp"), "s")
    target = str(tmp_path / "monday.tar")
    assert "backed up 1 runs, 1 files, " in invoke("backup", target).stdout
    refused = CliRunner().invoke(command_line(), ["restore", target])
    assert refused.exit_code == 2 and "holds something" in refused.stderr
    assert "what was there before is in " in invoke("restore", target, "--force").stdout
    assert Store(tmp_path / "home").run(run).state == "queued"
