"""All tables of choices as plain values: what each kind is, where it comes from, what it costs and what it takes."""

import json
from collections.abc import Sequence
from dataclasses import MISSING, Field, asdict, dataclass, fields
from typing import Any

from pruning.criteria import ANY
from pruning.granularities import GRANULARITIES
from pruning.options.constraints import field_types
from pruning.options.docstrings import field_docs, first_paragraph
from pruning.recipe.catalog import CHOICES, takes
from pruning.recipe.serialization import to_plain
from pruning.training.tuning import Tuning


@dataclass(frozen=True)
class FieldInfo:
    """A field of a kind: `takes` says which values in words, `default` is JSON-able, None where there is none too."""

    name: str
    takes: str
    default: Any
    has_default: bool
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
    return {name: [_kind(kind, made) for kind, made in choice.rows.items()] for name, choice in CHOICES.items()}


def as_json() -> dict[str, Any]:
    """As `tables`, of plain dicts."""
    return {choice: [asdict(kind) for kind in kinds] for choice, kinds in tables().items()}


def _kind(kind: str, made: type[Any]) -> KindInfo:
    fits: tuple[str, ...] = getattr(made, "fits", ())
    return KindInfo(
        kind=kind,
        about=first_paragraph(made),
        fields=field_infos(made),
        formula=getattr(made, "formula", ""),
        source=getattr(made, "source", ""),
        # what a search makes smaller is a choice, and not what the kind costs
        cost="" if any(f.name == "cost" for f in fields(made)) else getattr(made, "cost", ""),
        scores=tuple(GRANULARITIES) if fits == ANY else fits,
        layers=getattr(made, "layers", ()),
        unit=getattr(made, "unit", ""),
        removable=getattr(made, "removable", None),
    )


def field_infos(made: type[Any]) -> tuple[FieldInfo, ...]:
    """Every field of a choice, or of another part of a recipe."""
    hints, docs = field_types(made), field_docs(made)

    def info(f: Field[Any]) -> FieldInfo:
        default = f.default if f.default_factory is MISSING else f.default_factory()
        given = default is not MISSING
        plain = to_plain(default, hints[f.name]) if given else None
        return FieldInfo(f.name, takes(made, f.name), plain, given, docs.get(f.name, ""))

    return tuple(info(f) for f in fields(made))


def markdown() -> str:
    """All tables, and the fields of tuning, as a page of documentation."""
    parts = [
        "# Choices",
        "What a recipe can say, read from the code by `python -m pruning choices --markdown`. In JSON a choice is an "
        'object with its kind and fields: `{"kind": "magnitude", "p": 2}`.',
    ]
    for choice, kinds in tables().items():
        parts += [f"## {choice}", CHOICES[choice].question]
        parts += [_section(kind) for kind in kinds]
    parts += ["## tuning", first_paragraph(Tuning), _table(field_infos(Tuning))]
    return "\n\n".join(parts) + "\n"


def _section(kind: KindInfo) -> str:
    lines = [f"### `{kind.kind}`", kind.about]
    facts = {
        "formula": kind.formula,
        "source": kind.source,
        "cost": kind.cost,
        "scores": "every granularity" if kind.scores == tuple(GRANULARITIES) else ", ".join(kind.scores),
        "layers": "every type" if kind.layers == ANY else ", ".join(kind.layers),
        "units": kind.unit,
        "pruned units": {True: "removed: the network gets smaller", False: "set to zero", None: ""}[kind.removable],
    }
    lines += ["\n".join(f"- {name}: {fact}" for name, fact in facts.items() if fact)]
    lines += [_table(kind.fields)]
    return "\n\n".join(line for line in lines if line)


def _table(infos: Sequence[FieldInfo]) -> str:
    """The fields as a table of documentation; empty where there are none."""
    cells = ((f"`{f.name}`", f.takes, f"`{json.dumps(f.default)}`", f.about.replace("|", r"\|")) for f in infos)
    rows = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join(["| field | takes | default | |", "|---|---|---|---|", *rows]) if rows else ""
