"""What is written of a smaller grown network, loaded again: by the library, and by the lines that are printed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.grown_networks import Plan, grown, samples_of
from benchmarks.history import ROOT
from pruning.exporters import Record, export, kinds_of
from pruning.exporters.loading import load_network
from pruning.exporters.reading import read_own_network
from pruning.exporters.snippet import loading_snippet
from pruning.exporters.weights_safetensors import Safetensors
from pruning.model.module_sizes import sizes_between
from pruning.recipe.recipe import Recipe
from pruning.workload import Classification, TensorSplit, Workload

CPU = torch.device("cpu")


def record_of(plan: Plan, smaller: nn.Module) -> Record:
    """A run that left this network of the plan's."""
    dense, inputs = grown(plan), samples_of(plan, 4)
    with torch.no_grad():
        classes = dense(inputs[:1]).shape[1]
    split = TensorSplit(inputs, torch.arange(len(inputs)) % classes)
    task = Classification(tuple(str(number) for number in range(classes)))
    work = Workload("grown", lambda: grown(plan), inputs[:1], split, split, split, task)
    return Record(work, Recipe("grown"), smaller, "cpu", (), sizes_between(dense, smaller), work)


@torch.no_grad()
def check_loading(record: Record, inputs: Tensor) -> None:
    """AssertionError if the library makes another network of the file."""
    with _written(record) as folder:
        tensors, sizes = read_own_network(folder / Safetensors.file)
    again = load_network(record.workload, tensors, CPU, sizes)
    assert _same(again, record.model, inputs), "the loaded network computes something else"


@torch.no_grad()
def check_snippet(record: Record, plan: Plan, inputs: Tensor) -> None:
    """AssertionError if the printed lines, carried out beside the files, make another network."""
    space: dict[str, Any] = {"plan": plan, "grown": grown}
    with _written(record) as folder, chdir(folder):
        sys.path.insert(0, str(folder))
        try:
            exec(_lines(record), space)
        finally:
            sys.path.remove(str(folder))
            sys.modules.pop("narrow_layers", None)
    assert _same(space["model"], record.model, inputs), "the network of the printed lines computes something else"


@torch.no_grad()
def loads_in_a_process(record: Record, plan: Plan, inputs: Tensor) -> bool:
    """Whether the printed lines make the same network in a fresh process, beside the files."""
    with _written(record) as folder:
        torch.save((inputs, record.model(inputs)), folder / "samples.pt")
        (folder / "load.py").write_text(BEFORE.format(plan=_as_code(plan)) + _lines(record) + AFTER, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run([sys.executable, "load.py"], cwd=folder, env=environment, check=False)
    return ended.returncode == 0


BEFORE = """from benchmarks import grown_blocks
from benchmarks.grown_networks import Plan, Step, grown

blocks = {{block.__name__: block for block in grown_blocks.BLOCKS}}
plan = {plan}
"""
AFTER = """
inputs, expected = torch.load("samples.pt")
with torch.no_grad():
    assert (model(inputs) - expected).abs().max() <= 1e-12 * expected.abs().max()
"""


def _as_code(plan: Plan) -> str:
    steps = ", ".join(f"Step(blocks[{step.block.__name__!r}], {step.seed})" for step in plan.steps)
    return f"Plan({plan.takes!r}, ({steps},), {plan.seed})"


def _lines(record: Record) -> str:
    """The printed lines, with `grown(plan)` where a person makes the network."""
    return loading_snippet(record, record.workload.build()).replace("model = ...", "model = grown(plan)")


@contextmanager
def _written(record: Record) -> Generator[Path]:
    """A folder with the tensors and what is needed to load them, while the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds_of(record):
            if kind in ("safetensors", "narrow_layers"):
                export(kind, record, Path(folder))
        yield Path(folder)


def _same(first: nn.Module, second: nn.Module, inputs: Tensor) -> bool:
    """Up to the order of sums: weights of one network may lie channels last."""
    expected = second(inputs)
    return bool((first(inputs) - expected).abs().max() <= 1e-12 * expected.abs().max())
