"""The sensitivity map against the loop that everybody writes: how much sooner, and whether it says the same."""

import copy
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.report import Direction, Report, Target
from pruning.layer_sensitivity.analysis import map_sensitivity
from pruning.layer_sensitivity.result import LEVELS, Sensitivity
from pruning.model.devices import default_device
from pruning.recipe.recipe import Recipe
from pruning.workload import Workload
from sample_models import MODELS

NETWORKS = ("fashion_cnn", "lenet_300_100", "fashion_resnet")
REPEATS = 3
WIDTH = 0.01
LOADED_AT_ONCE = 256  # what course notebooks hand to a DataLoader

Cells = dict[tuple[str, float], float]


def measure() -> Report:
    """Magnitude of single weights, 11 levels, 10 000 validation samples; medians of three, but one loop.

    The loop: copy the network, prune one layer with torch.nn.utils.prune, evaluate all samples from a DataLoader over
    prepared tensors. Its rival is given nothing else: opening, scoring, evaluating the dense network and tracing count.
    """
    figures: dict[str, float] = {}
    for name in NETWORKS:
        figures |= _compare(name)
        print(f"{name}: done", file=sys.stderr)
    every = {f"{name}: {target}": bound for name in NETWORKS for target, bound in TARGETS.items()}
    better: dict[str, Direction] = {f"{name}: {figure}": "less" for name in NETWORKS for figure in SECONDS}
    return Report(figures, every, better=better)


TARGETS = {
    "faster to ±1 point on every cell (x)": Target(at_least=15.0),
    "exact map faster (x)": Target(at_least=1.8),
    "cells unlike the loop's in the exact map": Target(at_most=0.0),
    "first coarse map (s)": Target(at_most=1.5),
    "widest half-width (points)": Target(at_most=1.0),
}

SECONDS = ("map to ±1 point (s)", "exact map (s)")


def _compare(name: str) -> dict[str, float]:
    device, work = default_device(), MODELS[name]()
    loop_s, loop = _timed(lambda: _loop(work, device, LEVELS))
    some = LEVELS[::5]
    some_s, _ = _timed(lambda: _loop(work, device, some, prepared=True))
    batches_s = some_s * len(LEVELS) / len(some)
    quick = [_sensed(work, WIDTH, device) for _ in range(REPEATS)]
    exact = [_sensed(work, 0.0, device) for _ in range(REPEATS)]
    found, last = quick[-1][2], exact[-1][2]
    errors = [abs(score - loop[cell]) for cell, score in _cells(found).items()]
    inside = [
        abs(c.estimate.score - loop[r.name, c.level]) <= c.estimate.half_width + 1e-12
        for r in found.rows
        for c in r.cells
    ]
    otherwise = sum(round(score * last.total) != round(loop[cell] * last.total) for cell, score in _cells(last).items())
    quick_s, exact_s = median(s for s, _, _ in quick), median(s for s, _, _ in exact)
    return {
        f"{name}: cells": float(len(loop)),
        f"{name}: loop (s)": loop_s,
        f"{name}: loop over batches kept in memory, by every fifth level (s)": batches_s,
        f"{name}: map to ±1 point (s)": quick_s,
        f"{name}: spread of three (s)": max(s for s, _, _ in quick) - min(s for s, _, _ in quick),
        f"{name}: faster to ±1 point on every cell (x)": loop_s / quick_s,
        f"{name}: faster than over batches in memory (x)": batches_s / quick_s,
        f"{name}: first coarse map (s)": median(s for _, s, _ in quick),
        f"{name}: samples through the network (% of the loop's)": 100 * found.spent / (len(loop) * found.total),
        f"{name}: widest half-width (points)": 100 * max(c.estimate.half_width for r in found.rows for c in r.cells),
        f"{name}: largest error (points)": 100 * max(errors),
        f"{name}: cells whose interval holds (%)": 100 * sum(inside) / len(inside),
        f"{name}: exact map (s)": exact_s,
        f"{name}: exact map faster (x)": loop_s / exact_s,
        f"{name}: exact map faster than over batches in memory (x)": batches_s / exact_s,
        f"{name}: cells unlike the loop's in the exact map": float(otherwise),
    }  # fmt: skip


def _timed(work: Callable[[], Cells]) -> tuple[float, Cells]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def _sensed(workload: Workload, half_width: float, device: torch.device) -> tuple[float, float, Sensitivity]:
    """Seconds to the whole map, seconds until every cell has been looked at, and the map."""
    start = time.perf_counter()
    first = None
    going_on = map_sensitivity(workload, Recipe(workload.name), LEVELS, half_width, device)
    rows = 0
    while True:
        try:
            coarse = next(going_on)
        except StopIteration as end:
            took = time.perf_counter() - start
            return took, first or took, end.value
        rows = max(rows, len(coarse.rows))
        if first is None and coarse.rows and all(c.estimate.samples for r in coarse.rows for c in r.cells):
            first = time.perf_counter() - start


def _cells(sensed: Sensitivity) -> Cells:
    return {(row.name, cell.level): cell.estimate.score for row in sensed.rows for cell in row.cells}


def _loop(workload: Workload, device: torch.device, levels: tuple[float, ...], prepared: bool = False) -> Cells:
    """Layer by layer, level by level: copy, prune, evaluate all. `prepared`: the loader's batches are kept in
    memory.
    """
    model = workload.build().to(device)
    inputs, targets = workload.validation.batch(torch.arange(len(workload.validation)), device)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=LOADED_AT_ONCE)
    batches = list(loader) if prepared else loader
    layers = [path for path, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    cells: Cells = {}
    for layer in layers:
        for level in levels:
            cut = copy.deepcopy(model)
            prune.l1_unstructured(cut.get_submodule(layer), "weight", level)
            cells[layer, level] = _accuracy(cut, batches)
    return cells


@torch.no_grad()
def _accuracy(model: nn.Module, batches: "DataLoader[tuple[Tensor, ...]] | list[tuple[Tensor, ...]]") -> float:
    right = total = 0
    for inputs, targets in batches:
        right += int((model(inputs).argmax(dim=1) == targets).sum())
        total += len(targets)
    return right / total
