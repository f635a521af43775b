"""A recipe to start from: valid JSON whose comments say, from the tables, what else could stand there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pruning.model.layer_types import is_a
from pruning.options.docstrings import first_paragraph
from pruning.recipe.catalog import CHOICES
from pruning.recipe.recipe import Recipe, to_dict
from pruning.recipe.reference import FieldInfo, field_infos
from pruning.recipe.serialization import to_plain
from pruning.selection.amounts import Sparsity
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning

if TYPE_CHECKING:
    from torch import nn


def starting_recipe(name: str, model: nn.Module) -> Recipe:
    """Five rounds of two epochs; 90 % of the weights where all layers are Linear, else 80 %."""
    from pruning.model.layer_table import prunable_weights

    dense_layers = all(is_a(layer, ("Linear",)) for _, _, layer in prunable_weights(model))
    return Recipe(name, amount=Sparsity(0.9 if dense_layers else 0.8), schedule=Polynomial(), tuning=Tuning())


def commented(recipe: Recipe, model: nn.Module) -> str:
    """The recipe's JSON, indented, with a comment before every field."""
    from pruning.model.layer_table import prunable_weights

    layers = ", ".join(name for name, _, _ in prunable_weights(model))
    about = {
        "version": "The version of this form.",
        "workload": "The model and its data; `run --workload FILE.py:NAME` takes one's own.",
        **{field: {"about": choice.question, **_kinds(choice.rows)} for field, choice in CHOICES.items()},
        "tuning": {"about": first_paragraph(Tuning), **_fields(Tuning)},
        "keep_whole": f"Names of layers that lose nothing, of {layers}.",
        "seed": "A whole number from 0. Equal recipes with equal seeds give equal files on a CPU.",
    }
    how = "Carry out: python -m pruning run THIS_FILE --out DIR. Keys that start with // are comments and are skipped."
    out: dict[str, Any] = {"//": how}
    # a recipe without a repair says nothing of it: here a reader sees that there could be one
    unsaid = {field: to_plain(getattr(recipe, field)) for field in CHOICES}
    for field, value in {**to_dict(recipe), **unsaid}.items():
        out |= {f"// {field}": about[field], field: value}
    return json.dumps(out, indent=2, ensure_ascii=False, allow_nan=False)


def _kinds(rows: Mapping[str, type[Any]]) -> dict[str, str]:
    """What each kind is and takes, a line each."""
    return {f"kind {kind}": " ".join([first_paragraph(made), *_fields(made).values()]) for kind, made in rows.items()}


def _fields(made: type[Any]) -> dict[str, str]:
    """Field -> its name, the values it takes, its default, and what it means."""
    return {f.name: f"{f.name}: {f.takes}{_default(f)}. {f.about}".strip() for f in field_infos(made)}


def _default(field: FieldInfo) -> str:
    return f", by default {json.dumps(field.default)}" if field.has_default else ""
