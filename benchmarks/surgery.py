"""The properties of surgery on networks that grow at random, many more of them than the tests take."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from benchmarks.grown_networks import grown, planned, shrunk
from benchmarks.history import ROOT
from benchmarks.report import Report, Target
from benchmarks.surgery_checks import checked, drawn_keep, inputs_for, written_with_lines
from pruning.granularities import Channels
from pruning.model.surgery import remove_units

NETWORKS = 2_000
IN_A_PROCESS = 20
"""Networks whose file is loaded by the printed lines in a process of its own."""
SHOWN = 3
"""Failures of a kind that are shown with the smallest network that fails so."""


def measure() -> Report:
    """Every property on 2 000 networks and all granularities. What fails is printed with its smallest network."""
    start = time.monotonic()
    grouped, refused, failures = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    failing = removed = in_a_process = 0
    for seed in range(NETWORKS):
        plan = planned(seed)
        found = checked(plan)
        removed += found.removed
        grouped.update(found.grouped)
        refused.update({name: len(reasons) for name, reasons in found.refused.items()})
        failing += bool(found.failures)
        for failure in found.failures:
            failures[failure.granularity, failure.violated] += 1
            if failures[failure.granularity, failure.violated] <= SHOWN:
                smallest = shrunk(plan, failure.recurs)
                print(f"seed {seed}: {failure}\n    smallest: {smallest}", file=sys.stderr, flush=True)
        if found.removed and in_a_process < IN_A_PROCESS:
            in_a_process += 1
            failing += not loads_in_a_process(seed) and not found.failures
    rows = [
        {
            "granularity": name,
            "rows in groups": grouped[name],
            "rows refused": refused[name],
            "failures": sum(count for (granularity, _), count in failures.items() if granularity == name),
        }
        for name in grouped
    ]
    figures = {
        "networks": NETWORKS,
        "networks that fail": failing,
        "units removed": removed,
        "minutes": (time.monotonic() - start) / 60,
    }
    return Report(figures, {"networks that fail": Target(at_most=0)}, rows)


def loads_in_a_process(seed: int) -> bool:
    """Whether the printed lines give the smaller network's output in a fresh process, beside its file."""
    plan = planned(seed)
    model, inputs = grown(plan), inputs_for(plan)
    groups, _ = Channels().sorted_out(model, inputs[:1])
    smaller = remove_units(model, inputs[:1], groups, drawn_keep(groups, seed))
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        lines = written_with_lines(plan, model, smaller, Path(folder))
        torch.save((inputs, smaller(inputs)), Path(folder, "samples.pt"))
        program = PROGRAM.format(seed=seed, lines=lines)
        ended = subprocess.run([sys.executable, "-c", program], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return ended.returncode == 0


PROGRAM = """
import torch
from benchmarks.grown_networks import grown, planned
plan = planned({seed})
given, expected = torch.load("samples.pt")
{lines}
with torch.no_grad():
    assert torch.allclose(model(given), expected, rtol=1e-9, atol=1e-9)
"""
