"""An exported file needs nothing of this project: torch, safetensors and the model's class score it to the digit."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from pruning.__main__ import command_line
from pruning.run import experiment as runs
from sample_models import MODELS, mlp_128
from tests.own_workload import rescore_here

SCRIPT = """
from __future__ import annotations

import sys
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

{classes}

file, data = sys.argv[1:]
model = MLP.fitting(load_file(file))
samples = load_file(data)
with torch.no_grad():
    right = [model(part).argmax(dim=1) for part in samples["images"].split(500)]
print(float((torch.cat(right) == samples["labels"]).double().mean()))
assert not [name for name in sys.modules if name.split(".")[0] in ("pruning", "sample_models")]
"""


def test_a_plain_script_scores_the_file_to_the_same_digit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workload = MODELS[mlp_128.NAME]()
    monkeypatch.setattr(runs, "score_files_afresh", rescore_here)
    recipe = tmp_path / "given.json"
    recipe.write_text(
        '{"version": 1, "workload": "mlp_128", "granularity": {"kind": "channels"}, "scope": {"kind": "layer"},'
        ' "amount": {"kind": "sparsity", "share": 0.25}, "tuning": {"epochs": 0}}'
    )
    arguments = ["run", str(recipe), "--out", str(tmp_path / "out"), "--json", "--device", "cpu"]
    result = CliRunner().invoke(command_line(), arguments, catch_exceptions=False)
    last = json.loads(result.stdout.splitlines()[-1])

    images, labels = workload.test.batch(torch.arange(len(workload.test)), torch.device("cpu"))
    save_file({"images": images, "labels": labels}, tmp_path / "test.safetensors")
    script = tmp_path / "plain.py"
    script.write_text(SCRIPT.replace("{classes}", "\n\n".join(map(inspect.getsource, mlp_128.SOURCES))))
    command = [sys.executable, "-I", str(script), last["artefacts"]["safetensors"], str(tmp_path / "test.safetensors")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    dense, exported = last["stages"]["dense"], last["stages"]["exported"]
    assert float(done.stdout) == exported["score"]
    assert exported["parameters"] < dense["parameters"] and exported["macs"] < dense["macs"]
    assert exported["bytes"] == Path(last["artefacts"]["safetensors"]).stat().st_size
