"""Who teaches, where a person says it beside the recipe: a network, or a file with weights.

A recipe names its teacher and never says where a file lies: files are read only for who starts the run.
"""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pruning.errors import RecipeError, WorkloadError
from pruning.exporters.loading import load_network
from pruning.exporters.reading import read_network
from pruning.files.shown import shown
from pruning.model.preparation import copied
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from pruning.training.distillation import DISTILLATIONS
from pruning.training.distillation.distillation import DENSE
from pruning.workload import Workload

Teacher = nn.Module | str | Path
"""A trained network for the same inputs, a file with weights for the workload's own, or the name of a teacher that the
workload has."""

GIVEN = "teacher"
"""What a recipe calls a network that was given as an object; one of a file has the file's name without its ending."""


def with_teacher(workload: Workload, recipe: Recipe, teacher: Teacher) -> tuple[Workload, Recipe]:
    """The workload with this teacher among its own, and the recipe that learns from it.

    RecipeError where the recipe's distillation chooses no teacher, WorkloadError where the file does not fit.
    """
    if not _chooses(recipe.distillation):
        kinds = " or ".join(kind for kind, made in DISTILLATIONS.items() if _chooses(made))
        raise RecipeError(
            f"a teacher is given, and distillation {kind_of(recipe.distillation)} takes none but the dense network: "
            f"choose distillation {kinds}, or give no teacher"
        )
    if isinstance(teacher, str) and teacher in (DENSE, *workload.teachers):
        name = teacher
    else:
        name, network = _network(workload, teacher)
        if name in (DENSE, *workload.teachers):
            raise WorkloadError(f"{teacher}: a teacher of {workload.name} is called {name} already; rename the file")
        workload = replace(workload, teachers={**workload.teachers, name: lambda: network})
    chosen: Any = recipe.distillation
    return workload, replace(recipe, distillation=replace(chosen, teacher=name))


def _chooses(distillation: Any) -> bool:
    """Whether a distillation, or a class of them, has a field that says who teaches."""
    return "teacher" in (field.name for field in fields(distillation))


def _network(workload: Workload, teacher: Teacher) -> tuple[str, nn.Module]:
    """The teacher's name and the network itself, on the CPU and in eval mode: nobody else's object."""
    if isinstance(teacher, nn.Module):
        return GIVEN, copied(teacher).cpu().eval()
    if not isinstance(teacher, str | Path):  # type: ignore[redundant-expr]
        raise WorkloadError(f"teacher is a {type(teacher).__name__}; give an nn.Module, or a file with its weights")
    path = Path(teacher).expanduser()
    if isinstance(teacher, str) and not path.suffix and not path.exists():
        known = ", ".join([DENSE, *sorted(workload.teachers)])
        raise WorkloadError(
            f"teacher is {teacher!r}, which is no file and no teacher of {workload.name}: use one of {known}, or give "
            "a file with weights (.safetensors, .pt)"
        )
    tensors, sizes = read_network(path)
    try:
        return path.stem, load_network(workload, tensors, torch.device("cpu"), sizes)
    except WorkloadError as error:
        raise WorkloadError(
            f"{shown(path.name)} cannot teach {workload.name}: {error}, or let a network of another class teach by "
            f"Workload(teachers={{{path.stem!r}: its maker}})"
        ) from error
