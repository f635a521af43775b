"""Accuracy after the cut, untuned, for every criterion with every setting of its own, on two sample models."""

import math
import sys
from collections.abc import Iterator
from dataclasses import fields
from itertools import product
from statistics import mean, stdev
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from benchmarks.report import Report
from pruning.criteria import CRITERIA, Criterion
from pruning.criteria.calibration import Calibration
from pruning.errors import PruningError
from pruning.evaluation.accuracy import Evaluator
from pruning.granularities import GRANULARITIES
from pruning.model.costs import cost_model
from pruning.model.devices import default_device
from pruning.model.preparation import open_model
from pruning.pipeline.criteria_comparison import timed_scores
from pruning.pipeline.eligibility import chosen_groups
from pruning.pipeline.one_shot import rank_units
from pruning.recipe.compatibility import fits
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from pruning.selection.scopes import Global, Scope, WithinLayer
from pruning.workload import Workload
from sample_models import MODELS

NAMES = ("fashion_cnn", "lenet_300_100")
SCOPE: dict[str, Scope] = {"weights": Global(), "channels": WithinLayer()}
LEVELS = (0.5, 0.8, 0.9, 0.95)
SEEDS = (0, 1, 2)
T_OF_TWO = 4.303  # Student's t for a 95 % interval of a mean of three
Z = 1.96


def measure() -> Report:
    """Mean validation accuracy (%) over three calibration seeds, ± a 95 % interval of seeds and samples."""
    device = default_device()
    workloads = {name: MODELS[name]() for name in NAMES}
    rows: dict[tuple[str, str], dict[str, str | float]] = {}
    for granularity, scope in SCOPE.items():
        for name, workload in workloads.items():
            for label, criterion in variants(granularity):
                recipe = Recipe(name, criterion, GRANULARITIES[granularity](), scope)
                try:
                    accuracies = _accuracies(workload, recipe, device)
                except PruningError as error:
                    print(f"{name}, {granularity}, {label}: {error}", file=sys.stderr)
                    continue
                row = rows.setdefault((granularity, label), _empty_row(granularity, label))
                for level, values in accuracies.items():
                    centre, width = _interval(values, len(workload.validation))
                    row[_column(name, level)] = f"{centre:.1f} ± {width:.1f}"
                print(f"{name}: {row}", file=sys.stderr, flush=True)
    dense = {f"{name}: dense accuracy (%)": _dense(workload, device) for name, workload in workloads.items()}
    return Report(dense, rows=list(rows.values()))


def _column(name: str, level: float) -> str:
    return f"{name} {100 * level:g} %"


def _empty_row(granularity: str, label: str) -> dict[str, str | float]:
    """A row of the table: a dash where a criterion cannot score the network."""
    cells = {_column(name, level): "–" for name in NAMES for level in LEVELS}
    return {"granularity": granularity, "criterion": label, **cells}


def _dense(workload: Workload, device: torch.device) -> float:
    """Validation accuracy of the network as it is, in percent."""
    return 100 * Evaluator(workload.validation, workload.task, device).score(open_model(workload, device))


def variants(granularity: str) -> Iterator[tuple[str, Criterion]]:
    """Every criterion that can score such units, for each way to set the fields that choose between a few words."""
    for kind, made in CRITERIA.items():
        if not fits(made, granularity):
            continue
        hints = get_type_hints(made)
        few = {f.name: get_args(hints[f.name]) for f in fields(made) if get_origin(hints[f.name]) is Literal}  # type: ignore[arg-type]
        for values in product(*few.values()):
            chosen: dict[str, Any] = dict(zip(few, values, strict=True))
            yield " ".join([kind, *(f"{name}={value}" for name, value in chosen.items())]), made(**chosen)


def _accuracies(workload: Workload, recipe: Recipe, device: torch.device) -> dict[float, list[float]]:
    """Level -> accuracy for each seed."""
    model = open_model(workload, device)
    example = workload.example.to(device)
    groups, cost = chosen_groups(workload, recipe, model), cost_model(model, example)
    found: dict[float, list[float]] = {level: [] for level in LEVELS}
    masks_seen: dict[float, list[bytes]] = {level: [] for level in LEVELS}
    for seed in SEEDS:
        scores, _ = timed_scores(recipe.criterion, model, groups, Calibration(workload, device, seed))
        ranked = rank_units(recipe, groups, scores, cost)
        for level in LEVELS:
            decision = ranked.decide(Sparsity(level))
            mark = b"".join(stays.numpy().tobytes() for stays in decision.keep.values())
            if mark in masks_seen[level]:  # most criteria do not depend on the seed: the same cut scores the same
                found[level].append(found[level][masks_seen[level].index(mark)])
            else:
                pruned = decision.pruned_copy(model, example)
                found[level].append(Evaluator(workload.validation, workload.task, device).score(pruned))
            masks_seen[level].append(mark)
    return found


def _interval(values: list[float], samples: int) -> tuple[float, float]:
    """Mean and 95 % half-width, in percent: of the seeds and of the samples that were evaluated, added in
    quadrature.
    """
    centre = mean(values)
    seeds = T_OF_TWO * stdev(values) / math.sqrt(len(values))
    sampled = Z * math.sqrt(centre * (1 - centre) / samples)
    return 100 * centre, 100 * math.hypot(seeds, sampled)
