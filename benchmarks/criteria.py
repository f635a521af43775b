"""Accuracy after the cut, untuned, for every criterion with every setting of its own, on two sample models."""

import math
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
from pruning.evaluation.accuracy import evaluate_all
from pruning.granularities import GRANULARITIES
from pruning.model.devices import default_device
from pruning.model.preparation import open_model
from pruning.model.surgery import cut_out
from pruning.pipeline.criteria_comparison import timed_scores
from pruning.pipeline.eligibility import chosen_groups
from pruning.recipe.compatibility import fits
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from pruning.selection.ranking import rank, select
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
    figures: dict[str, float] = {}
    device = default_device()
    for granularity, scope in SCOPE.items():
        cells: dict[str, dict[str, str]] = {}
        for name in NAMES:
            workload = MODELS[name]()
            for label, criterion in variants(granularity):
                recipe = Recipe(name, criterion, GRANULARITIES[granularity](), scope)
                try:
                    accuracies, seconds = _accuracies(workload, recipe, device)
                except PruningError as error:
                    print(f"{name}, {granularity}, {label}: {error}")
                    continue
                figures[f"{name}, {granularity}, {label}: scored in (s)"] = round(seconds, 2)
                for level, values in accuracies.items():
                    centre, width = _interval(values, len(workload.validation))
                    where = f"{name}, {granularity}, {label}, {100 * level:g} %"
                    figures |= {f"{where}: accuracy (%)": centre, f"{where}: +- (points)": width}
                    cells.setdefault(label, {})[f"{name} {100 * level:g} %"] = f"{centre:.1f} ± {width:.1f}"
                print(f"{name}, {granularity}, {label}: {cells[label]}", flush=True)
        print(_markdown(granularity, cells))
    return Report(figures)


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


def _accuracies(workload: Workload, recipe: Recipe, device: torch.device) -> tuple[dict[float, list[float]], float]:
    """Level -> accuracy for each seed, and the seconds that scoring took with the first."""
    model = open_model(workload, device)
    example = workload.example.to(device)
    groups = chosen_groups(workload, recipe, model)
    found: dict[float, list[float]] = {level: [] for level in LEVELS}
    masks_seen: dict[float, list[bytes]] = {level: [] for level in LEVELS}
    seconds = 0.0
    for seed in SEEDS:
        scores, effort = timed_scores(recipe.criterion, model, groups, Calibration(workload, device, seed))
        seconds = seconds or effort.seconds
        for level in LEVELS:
            keep = select(rank(groups, scores, recipe.scope, Sparsity(level)), Sparsity(level))
            mark = b"".join(stays.numpy().tobytes() for stays in keep.values())
            if mark in masks_seen[level]:  # most criteria do not depend on the seed: the same cut scores the same
                found[level].append(found[level][masks_seen[level].index(mark)])
            else:
                cut = cut_out(model, example, groups, keep, recipe.granularity.removable)
                evaluated, _ = evaluate_all(cut, workload.validation, workload.task, device)
                found[level].append(float(evaluated.double().mean()))
            masks_seen[level].append(mark)
    return found, seconds


def _interval(values: list[float], samples: int) -> tuple[float, float]:
    """Mean and 95 % half-width, in percent: of the seeds and of the samples that were evaluated, added in
    quadrature.
    """
    centre = mean(values)
    seeds = T_OF_TWO * stdev(values) / math.sqrt(len(values))
    sampled = Z * math.sqrt(centre * (1 - centre) / samples)
    return 100 * centre, 100 * math.hypot(seeds, sampled)


def _markdown(granularity: str, cells: dict[str, dict[str, str]]) -> str:
    heads = [f"{name} {100 * level:g} %" for name in NAMES for level in LEVELS]
    lines = [f"| {granularity} | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    lines += [
        f"| `{label}` | " + " | ".join(row.get(head, "–") for head in heads) + " |" for label, row in cells.items()
    ]
    return "\n".join(lines)
