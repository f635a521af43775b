"""`choices`: all tables, and the fields of tuning."""

import json

from rich.console import Console
from rich.markup import escape

from pruning.cli.console import table
from pruning.errors import RecipeError
from pruning.options.docstrings import first_paragraph
from pruning.recipe.catalog import CHOICES
from pruning.recipe.reference import KindInfo, as_json, field_infos, markdown, tables
from pruning.training.tuning import Tuning


def choices(json_: bool, markdown_: bool) -> None:
    if json_ and markdown_:
        raise RecipeError("--json and --markdown are two ways to print the same; choose one")
    if json_ or markdown_:
        print(json.dumps(as_json(), ensure_ascii=False) if json_ else markdown(), end="\n" if json_ else "")
        return
    console = Console()
    for choice, kinds in tables().items():
        console.print(f"[bold]{choice}[/bold]: {CHOICES[choice].question}")
        made = table("kind", "what", "takes", left=3)
        for kind in kinds:
            made.add_row(kind.kind, _what(kind), escape("\n".join(f"{f.name}: {f.takes}" for f in kind.fields)))
        console.print(made)
    console.print(f"[bold]tuning[/bold]: {first_paragraph(Tuning)}")
    made = table("field", "takes", "what", left=3)
    for field in field_infos(Tuning):
        made.add_row(field.name, escape(field.takes), escape(field.about))
    console.print(made)


def _what(kind: KindInfo) -> str:
    """The formula with its source and cost, else the first sentences of the description."""
    if kind.formula:
        return f"{escape(kind.formula)}\n[dim]{escape(f'{kind.source}; {kind.cost}')}[/dim]"
    return escape(kind.about)  # texts hold shapes in brackets, which rich would take for markup
