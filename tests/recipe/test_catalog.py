"""The tables in words: everything that can be chosen, what it takes, and the page of documentation made from it."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_type_hints

import pytest
from typer.testing import CliRunner

from pruning.cli.app import make_app
from pruning.recipe.catalog import CHOICES
from pruning.recipe.recipe import Recipe
from pruning.recipe.reference import as_json, field_infos, markdown, tables

ROOT = Path(__file__).parents[2]


def test_the_tables_are_the_recipes():
    assert list(CHOICES) == [
        *("criterion", "granularity", "scope", "amount", "schedule", "repair", "distillation"),
        *("start", "rewind", "regulariser"),
    ]
    assert get_type_hints(Recipe).items() >= {name: choice.protocol for name, choice in CHOICES.items()}.items()
    shown = {name: [kind.kind for kind in kinds] for name, kinds in tables().items()}
    assert shown == {name: list(choice.rows) for name, choice in CHOICES.items()}
    assert all(choice.question.partition("?")[1] for choice in CHOICES.values())


@pytest.mark.parametrize("choice", CHOICES)
def test_every_field_of_every_kind_says_what_it_takes_and_means(choice):
    for row in tables()[choice]:
        made = CHOICES[choice].rows[row.kind]
        assert row.about.endswith((".", ")")) and len(row.about) > 20
        assert [field.name for field in row.fields] == [f.name for f in fields(made)]
        assert all(field.takes and len(field.about) > 10 for field in row.fields)


def test_ranges_and_words_are_said():
    by_kind = {row.kind: row for row in tables()["criterion"]}
    assert by_kind["magnitude"].fields[0].takes == "1 or 2"
    (of,) = (row.fields[0] for row in tables()["scope"] if row.kind == "blocks")
    assert (of.takes, of.default) == ("a whole number from 2 to 64", 4)
    (rest,) = (f for row in tables()["amount"] if row.kind == "per_layer" for f in row.fields if f.name == "rest")
    assert rest.takes == "an object of kind sparsity or threshold or relative_threshold or zeros or budget"
    assert rest.default == {"kind": "sparsity", "share": 0.0}


def test_the_command_prints_the_tables_and_the_same_as_json():
    def printed(*options: str) -> str:
        result = CliRunner().invoke(make_app(dict, lambda *_: None), ["choices", *options])  # type: ignore[arg-type]
        assert result.exit_code == 0
        return result.stdout

    words = printed()
    assert all(kind.kind in words for kinds in tables().values() for kind in kinds)
    assert json.loads(printed("--json")) == json.loads(json.dumps(as_json()))


def test_the_page_of_choices_is_the_one_that_the_code_gives():
    """`make docs` writes it."""
    assert (ROOT / "docs" / "reference" / "choices.md").read_text(encoding="utf-8") == markdown()


def test_what_a_row_does_not_say_is_an_empty_text():
    (sparsity,) = (row for row in as_json()["amount"] if row["kind"] == "sparsity")
    assert [sparsity[name] for name in ("formula", "source", "cost", "unit")] == [""] * 4


@dataclass(frozen=True)
class Halved:
    by: float = 2
    """How often."""


def test_a_default_is_shown_as_its_field_has_it():
    (by,) = field_infos(Halved)
    assert (by.takes, json.dumps(by.default)) == ("a number", "2.0")
