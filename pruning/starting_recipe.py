"""A recipe to start from: valid JSON whose comments say, from the tables, what else could stand there."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from torch import nn

from pruning.amounts import AMOUNTS, Sparsity
from pruning.criteria import CRITERIA
from pruning.field_docs import field_docs, first_paragraph
from pruning.granularities import GRANULARITIES
from pruning.layers import prunable_layers
from pruning.recipe import TABLES, Recipe, to_dict
from pruning.schedules import SCHEDULES, Polynomial
from pruning.scopes import SCOPES
from pruning.tuning import Tuning

CHOICES: dict[str, tuple[str, Mapping[str, type[Any]]]] = {
    "criterion": ("How important is a unit? The least important fall.", CRITERIA),
    "granularity": ("What lives or dies together?", GRANULARITIES),
    "scope": ("Who competes with whom?", SCOPES),
    "amount": ("How much falls?", AMOUNTS),
    "schedule": ("In how many rounds, along which curve?", SCHEDULES),
}


def starting_recipe(name: str, model: nn.Module) -> Recipe:
    """Five rounds of two epochs; 90 % of the weights where all layers are Linear, else 80 %."""
    dense_layers = all(isinstance(layer, nn.Linear) for _, layer in prunable_layers(model))
    return Recipe(name, amount=Sparsity(0.9 if dense_layers else 0.8), schedule=Polynomial(), tuning=Tuning())


def commented(recipe: Recipe, model: nn.Module) -> str:
    """The recipe's JSON, indented, with a comment before every field."""
    layers = ", ".join(name for name, _ in prunable_layers(model))
    about = {
        "version": "The version of this form.",
        "workload": "The model and its data; `run --workload FILE.py:NAME` takes one's own.",
        **{field: {"about": question, **_kinds(table)} for field, (question, table) in CHOICES.items()},
        "tuning": {"about": first_paragraph(Tuning), **_fields(Tuning)},
        "keep_whole": f"Names of layers that lose nothing, of {layers}.",
        "seed": "A whole number from 0. Equal recipes with equal seeds give equal files on a CPU.",
    }
    how = "Carry out: python -m pruning run THIS_FILE --out DIR. Keys that start with // are comments and are skipped."
    out: dict[str, Any] = {"//": how}
    for field, value in to_dict(recipe).items():
        out |= {f"// {field}": about[field], field: value}
    return json.dumps(out, indent=2, ensure_ascii=False, allow_nan=False)


def _kinds(table: Mapping[str, type[Any]]) -> dict[str, Any]:
    """What each kind is and takes."""
    return {
        f"kind {kind}": {"about": _what(made), **_fields(made)} if fields(made) else _what(made)
        for kind, made in table.items()
    }


def _what(made: type[Any]) -> str:
    fits: tuple[str, ...] = getattr(made, "fits", ())
    return first_paragraph(made) + (f" For {' and '.join(fits)}." if fits else "")


def _fields(made: type[Any]) -> dict[str, str]:
    """Field -> the values it takes, its default, and what it means."""
    docs, hints = field_docs(made), get_type_hints(made)
    return {
        f.name: f"{_allowed(hints[f.name])}{_default(f.default)}. {docs.get(f.name, '')}".strip() for f in fields(made)
    }


def _allowed(hint: Any) -> str:
    if hint in TABLES:
        return "an object of kind " + " or ".join(TABLES[hint])
    if get_origin(hint) is Literal:
        return " or ".join(json.dumps(value) for value in get_args(hint))
    if get_origin(hint) is Mapping or hint is Mapping:
        return "an object {layer: share from 0 to 1}"
    options = [option for option in get_args(hint) if option is not type(None)]
    if options:
        return f"{_allowed(options[0])} or null"
    return {int: "a whole number", float: "a number", str: "a text"}.get(hint, str(hint))


def _default(value: Any) -> str:
    return "" if value is MISSING else f", by default {json.dumps(value)}"
