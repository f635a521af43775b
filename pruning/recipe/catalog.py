"""The five tables as plain values: what each kind is, where it comes from, what it costs and what it takes."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pruning.criteria import ANY, CRITERIA
from pruning.granularities import GRANULARITIES
from pruning.options.constraints import ranges
from pruning.options.docstrings import field_docs, first_paragraph
from pruning.recipe.recipe import TABLES, to_plain
from pruning.selection.amounts import AMOUNTS
from pruning.selection.scopes import SCOPES
from pruning.training.schedules import SCHEDULES

CHOICES: dict[str, tuple[str, Mapping[str, type[Any]]]] = {
    "criterion": ("How important is a unit? The least important are pruned.", CRITERIA),
    "granularity": ("What lives or dies together?", GRANULARITIES),
    "scope": ("Who competes with whom?", SCOPES),
    "amount": ("How much is pruned?", AMOUNTS),
    "schedule": ("In how many rounds, along which curve, how often?", SCHEDULES),
}


@dataclass(frozen=True)
class FieldInfo:
    """A field of a kind: `takes` says which values in words, `default` is JSON-able, None where there is none."""

    name: str
    takes: str
    default: Any
    about: str


@dataclass(frozen=True)
class KindInfo:
    """A row of a table. Criteria say their formula, source, cost and what they score, granularities their units."""

    kind: str
    about: str
    fields: tuple[FieldInfo, ...]
    formula: str = ""
    source: str = ""
    cost: str = ""
    scores: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    unit: str = ""
    removable: bool | None = None


def tables() -> dict[str, list[KindInfo]]:
    """Every table, in the order of the recipe's fields."""
    return {choice: [_kind(kind, made) for kind, made in table.items()] for choice, (_, table) in CHOICES.items()}


def as_json() -> dict[str, Any]:
    """As `tables`, of plain dicts."""
    return {choice: [asdict(kind) for kind in kinds] for choice, kinds in tables().items()}


def _kind(kind: str, made: type[Any]) -> KindInfo:
    fits: tuple[str, ...] = getattr(made, "fits", ())
    return KindInfo(
        kind=kind,
        about=first_paragraph(made),
        fields=tuple(_field(made, f.name) for f in fields(made)),
        formula=getattr(made, "formula", ""),
        source=getattr(made, "source", ""),
        cost=getattr(made, "cost", ""),
        scores=tuple(GRANULARITIES) if fits == ANY else fits,
        layers=getattr(made, "layers", ()),
        unit=getattr(made, "unit", ""),
        removable=getattr(made, "removable", None),
    )


def _field(made: type[Any], name: str) -> FieldInfo:
    f = next(f for f in fields(made) if f.name == name)
    default: Any = (
        f.default if f.default is not MISSING else f.default_factory() if callable(f.default_factory) else None
    )
    return FieldInfo(name, takes(made, name), _plain(default), field_docs(made).get(name, ""))


def _plain(value: Any) -> Any:
    return to_plain(value) if is_dataclass(value) or isinstance(value, Mapping) else value


def takes(made: type[Any], name: str) -> str:
    """The values that a field takes, in words."""
    limits = ranges(made).get(name)
    hint = get_type_hints(made)[name]
    range_ = f" {limits}" if limits else ""
    if hint in TABLES:
        return "an object of kind " + " or ".join(TABLES[hint])
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if get_origin(hint) is Mapping:
        return f"an object with a number{range_} for each layer"
    options = [option for option in get_args(hint) if option is not type(None)]
    words = {int: "a whole number", float: "a number", str: "a text"}
    return f"{words[options[0]]}{range_} or null" if options else f"{words[hint]}{range_}"


def markdown() -> str:
    """The five tables as a page of documentation."""
    parts = [
        "# Choices",
        "What a recipe can say, read from the code by `python -m pruning choices --markdown`. In JSON a choice is an "
        'object with its kind and fields: `{"kind": "magnitude", "p": 2}`.',
    ]
    for choice, kinds in tables().items():
        parts += [f"## {choice}", CHOICES[choice][0]]
        parts += [_section(kind) for kind in kinds]
    return "\n\n".join(parts) + "\n"


def _section(kind: KindInfo) -> str:
    lines = [f"### `{kind.kind}`", kind.about]
    facts = {
        "formula": kind.formula,
        "source": kind.source,
        "cost": kind.cost,
        "scores": "every granularity" if kind.scores == tuple(GRANULARITIES) else ", ".join(kind.scores),
        "layers": ", ".join(kind.layers),
        "units": kind.unit,
        "pruned units": {True: "removed: the network gets smaller", False: "set to zero", None: ""}[kind.removable],
    }
    lines += ["\n".join(f"- {name}: {fact}" for name, fact in facts.items() if fact)]
    cells = ((f"`{f.name}`", f.takes, f"`{json.dumps(f.default)}`", f.about.replace("|", r"\|")) for f in kind.fields)
    rows = [f"| {' | '.join(row)} |" for row in cells]
    if rows:
        lines += ["\n".join(["| field | takes | default | |", "|---|---|---|---|", *rows])]
    return "\n\n".join(line for line in lines if line)
