"""Every bad input is one sentence that names the thing, exit code 2, and no traceback."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from pruning.__main__ import command_line
from pruning.cli.workload_file import load_workload
from pruning.exporters import export
from tests.exporters.records import record
from tests.own_workload import SOURCE, recipe_text, write_own


def refused(*arguments: str) -> str:
    """The sentence."""
    result = CliRunner().invoke(command_line(), arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == "", "stdout is for results"
    (sentence,) = result.stderr.strip().splitlines()
    assert sentence.startswith("error: ")
    return sentence


def run_refused(folder: Path, text: str, *more: str) -> str:
    path = folder / "given.json"
    path.write_text(text)
    own = [] if more else ["--workload", write_own(folder)]
    return refused("run", str(path), "--out", str(folder / "out"), *own, *more)


@pytest.mark.parametrize(
    "command", [["inspect", "nosuch"], ["recipe", "nosuch"], ["score", "x.pt", "--workload", "nosuch"]]
)
def test_an_unknown_model(command: list[str]) -> None:
    sentence = refused(*command)
    assert "'nosuch'" in sentence and "fashion_cnn" in sentence


def test_an_unknown_workload_in_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    path.write_text(recipe_text(workload="nosuch"))
    sentence = refused("run", str(path), "--out", str(tmp_path / "out"))
    assert "'nosuch'" in sentence and "fashion_cnn" in sentence and "--workload" in sentence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sparsity": 1}, ["sparsity is not a field", "amount"]),
        ({"criterion": {"kind": "magnitud"}}, ["criterion.kind", "magnitud", "taylor"]),
        ({"criterion": {"kind": "magnitude", "p": 3}}, ["criterion.p is 3", "1, 2"]),
        ({"criterion": {"kind": "magnitude", "q": 1}}, ["criterion.q is not a field"]),
        ({"amount": {"kind": "sparsity", "share": 1.5}}, ["amount.share is 1.5", "between 0 and 1"]),
        ({"amount": {"kind": "sparsity", "share": -0.1}}, ["amount.share is -0.1"]),
        ({"amount": {"kind": "threshold", "value": "low"}}, ["amount.value is", "low", "a number"]),
        ({"amount": {"kind": "threshold", "value": float("inf")}}, ["amount.value is Infinity", "a number"]),
        ({"amount": {"kind": "relative_threshold", "share": 2}}, ["amount.share is 2", "between 0 and 1"]),
        (
            {"amount": {"kind": "budget", "of": "macs"}},
            ["budget of MACs", "single weights", "choose granularity channels"],
        ),
        ({"amount": {"kind": "budget", "share": 0.001}}, ["amount.share is 0.001 of the parameters", "ask for more"]),
        ({"scope": {"kind": "blocks", "of": 1}}, ["scope.of is 1", "between 2 and 64"]),
        (
            {"scope": {"kind": "row"}, "granularity": {"kind": "channels"}},
            ["scope row", "channels lie in no rows", "scope global or layer"],
        ),
        ({"granularity": {"kind": "heads"}}, ["attention heads", "choose another granularity"]),
        (
            {"schedule": {"kind": "polynomial_decay", "end_step": 1000}},
            ["schedule.end_step is 1000", "tuning takes 6 optimiser steps", "raise tuning.epochs"],
        ),
        ({"amount": {"kind": "per_layer", "shares": {"nosuch": 0.5}}}, ["amount.shares names nosuch"]),
        ({"version": 2}, ["version is 2", "version 1"]),
        ({"keep_whole": ["nosuch"]}, ["keep_whole names nosuch", "conv1"]),
        (
            {"criterion": {"kind": "activation"}},
            ["activation scores channels, not single weights", "choose granularity channels"],
        ),
        ({"tuning": {"epochs": -1}}, ["tuning.epochs is -1"]),
    ],
)
def test_what_is_wrong_in_a_recipe(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    sentence = run_refused(tmp_path, recipe_text(**changes))
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"{", "not JSON"),
        (b"[1]", "JSON object"),
        (b"\xff\xfe{\x00", "UTF-8"),
        (b"[" * 100_000, "brackets too deep"),
        (b"", "not JSON"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    sentence = refused("run", str(path), "--out", str(tmp_path / "out"))
    assert "bad.json" in sentence and word in sentence


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.json")
    assert "missing.json: no such file" in refused("run", missing, "--out", str(tmp_path))
    assert str(tmp_path) in refused("run", str(tmp_path), "--out", str(tmp_path))


def test_a_teacher_that_cannot_teach(tmp_path: Path) -> None:
    weights = export("pt", record(), tmp_path)
    sentence = run_refused(tmp_path, recipe_text(), "--workload", write_own(tmp_path), "--teacher", str(weights))
    assert "distillation none takes none but the dense network: choose distillation logits or outputs" in sentence
    learning = recipe_text(distillation={"kind": "logits"})
    sentence = run_refused(tmp_path, learning, "--workload", write_own(tmp_path), "--teacher", str(weights))
    assert "model.pt cannot teach own: the file and own differ in the tensors" in sentence
    sentence = run_refused(tmp_path, learning, "--workload", write_own(tmp_path), "--teacher", "missing.pt")
    assert "missing.pt: no such file; check the path" in sentence


def test_no_write_access_to_the_output(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    path = tmp_path / "given.json"
    path.write_text(recipe_text())
    for out in (tmp_path / "taken", tmp_path / "taken" / "below"):
        sentence = refused("run", str(path), "--workload", write_own(tmp_path), "--out", str(out))
        assert str(out) in sentence and "choose another output folder" in sentence


NAN = "model = Small().eval()\n        model.fc.weight.data[0, 0] = float('nan')\n        return model"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("x = 1\nraise ValueError('oops')\n", ["own.py, line 2", "ValueError: oops"]),
        (SOURCE.replace("return Small().eval()", NAN), ["own.py", "fc.weight", "NaN"]),
        ("make = 3\n", ["make gives a int"]),
    ],
)
def test_a_workload_file_that_is_no_good(tmp_path: Path, source: str, words: list[str]) -> None:
    reference = write_own(tmp_path, source)
    path = tmp_path / "given.json"
    path.write_text(recipe_text())
    sentences = [
        refused("run", str(path), "--workload", reference, "--out", str(tmp_path / "out")),
        refused("inspect", reference),
    ]
    for sentence in sentences:
        assert all(word in sentence for word in words), sentence
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:100],
        lambda content: b"",
        lambda content: b"no weights at all, but long enough to look like a file of weights",
        lambda content: content.replace(b"fc.bias", b"fc.bios"),
    ],
    ids=["cut", "empty", "garbage", "renamed"],
)
@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_a_corrupted_weights_file(tmp_path: Path, kind: str, damage: Any) -> None:
    path = own_weights(tmp_path, kind)
    path.write_bytes(damage(path.read_bytes()))
    assert path.name in refused("score", str(path), "--workload", write_own(tmp_path), "--json")


def test_weights_that_are_not_there_or_not_finite(tmp_path: Path) -> None:
    reference = write_own(tmp_path)
    assert "missing.pt: no such file" in refused("score", str(tmp_path / "missing.pt"), "--workload", reference)
    path = own_weights(tmp_path, "safetensors")
    tensors = load_file(path)
    tensors["fc.weight"][0, 0] = float("nan")
    save_file(tensors, path)
    sentence = refused("score", str(path), "--workload", reference)
    assert "fc.weight" in sentence and "NaN" in sentence and path.name in sentence


def test_weights_of_another_network(tmp_path: Path) -> None:
    path = export("safetensors", record(), tmp_path)
    assert "differ in the tensors" in refused("score", str(path), "--workload", write_own(tmp_path))


def test_a_device_that_this_machine_does_not_have(tmp_path: Path) -> None:
    for device in ("cuda:99", "nosuch"):
        sentence = run_refused(tmp_path, recipe_text(), "--workload", write_own(tmp_path), "--device", device)
        assert repr(device) in sentence and "use cpu" in sentence


@pytest.mark.parametrize("arguments", [[], ["nosuch"], ["run"], ["run", "x.json"], ["score", "x.pt"]])
def test_wrong_usage_leaves_with_code_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(command_line(), arguments).exit_code == 2


def own_weights(folder: Path, kind: str) -> Path:
    workload = load_workload(write_own(folder))
    return export(kind, replace(record(), workload=workload, model=workload.build()), folder)


def test_a_name_does_not_steer_the_terminal(tmp_path: Path) -> None:
    """Neither one from the command line nor one from a file."""
    assert "␛[2J" in refused("inspect", "\x1b[2Jnosuch") or "\\x1b" in refused("inspect", "\x1b[2Jnosuch")
    sentence = run_refused(tmp_path, '{"\\u001b[2J\\u202e": 1, "version": 1}')
    assert "[2J" in sentence and "\x1b" not in sentence and "\u202e" not in sentence
    path = tmp_path / "\x1b]0;title\x07.json"
    assert "\x1b" not in refused("run", str(path), "--out", str(tmp_path / "out"), "--workload", write_own(tmp_path))
