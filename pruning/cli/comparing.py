"""`compare`: the same cut by several criteria, without tuning."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from pruning.cli.catalogue import Catalogue
from pruning.cli.console import for_terminal, table
from pruning.cli.running import read_recipe
from pruning.errors import RecipeError
from pruning.metric import ACCURACY, Metric
from pruning.pipeline.comparison import Agreement, Compared, candidates
from pruning.pipeline.criteria_comparison import compare_all
from pruning.recipe.recipe import Recipe
from pruning.reporting.formatting import capitalised, change_text, count, score_text
from pruning.workload import metric_of


def compare(
    catalogue: Catalogue,
    recipe_file: Path,
    criteria: str | None,
    own: str | None,
    device: torch.device,
    as_json: bool,
) -> None:
    recipe = read_recipe(recipe_file)
    workload = catalogue.open(own) if own else catalogue.find(recipe.workload)
    recipe = replace(recipe, workload=workload.name)
    metric = metric_of(workload.task)
    dense, rows, agreement = compare_all(workload, chosen(recipe, criteria), device)
    if as_json:
        found: dict[str, Any] = {"metric": asdict(metric), "dense": dense, "criteria": [asdict(row) for row in rows]}
        if agreement is not None:
            matrices = {"ranks": _plain(agreement.ranks), "overlap": _plain(agreement.overlap)}
            found["agreement"] = {"kinds": agreement.kinds, **matrices}
        print(json.dumps(found, allow_nan=False))
        return
    console = Console()
    made = table("criterion", "pruned", metric.name, "change", "scored in", "forward", "backward")
    for row in rows:
        made.add_row(row.kind, *_cells(row, metric))
    console.print(made)
    for row in rows:
        if row.problem:
            console.print(for_terminal(f"{row.kind}: {row.problem}"), markup=False, highlight=False, soft_wrap=True)
    console.print(f"dense: {score_text(dense, metric)}. {_of_validation(metric)}", highlight=False)
    if agreement is not None:
        _print_agreement(agreement, console)


def chosen(recipe: Recipe, criteria: str | None) -> Mapping[str, Recipe]:
    """Kind -> the recipe with that criterion. RecipeError names one that there is not or that does not fit."""
    there = candidates(recipe)
    if criteria is None:
        return there
    kinds = [kind.strip() for kind in criteria.split(",") if kind.strip()]
    if not kinds:
        raise RecipeError(f"criteria is empty; for {recipe.granularity.unit} use of {', '.join(there)}")
    for kind in kinds:
        if kind not in there:
            raise RecipeError(f"criteria names {kind!r}; for {recipe.granularity.unit} use of {', '.join(there)}")
    return {kind: there[kind] for kind in kinds}


def _plain(matrix: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> list[list[float | None]]:
    """The matrix for JSON, which knows no NaN: null where nothing is pruned."""
    return [[None if value != value else value for value in row] for row in matrix.tolist()]


def _of_validation(metric: Metric) -> str:
    if metric == ACCURACY:
        return "Accuracies are on the validation split."
    return f"{capitalised(metric.name)} is on the validation split; {metric.better} is better."


def _cells(row: Compared, metric: Metric) -> tuple[str, ...]:
    if row.estimate is None or row.effort is None:
        return ("", "", "", "", "", "")
    effort = row.effort
    return (
        f"{count(row.pruned)} of {count(row.units)}",
        score_text(row.estimate.score, metric),
        change_text(row.estimate.change, metric),
        f"{effort.seconds:.2f} s",
        count(effort.forward),
        count(effort.backward),
    )


def _print_agreement(agreement: Agreement, console: Console) -> None:
    for title, values in (
        ("rank agreement (Spearman)", agreement.ranks),
        ("overlap of what is pruned (row's share that the column takes too)", agreement.overlap),
    ):
        made = table(title, *(str(number) for number in range(1, len(agreement.kinds) + 1)))
        for number, (kind, row) in enumerate(zip(agreement.kinds, values, strict=True), start=1):
            made.add_row(f"{number} {kind}", *(f"{value:.2f}" for value in row))
        console.print(made)
