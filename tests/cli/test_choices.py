"""`choices` tells the tables as they are: what stands there can be written into a recipe."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from pruning.__main__ import command_line
from pruning.criteria import ANY
from pruning.granularities import GRANULARITIES
from pruning.options.constraints import ranges
from pruning.recipe.catalog import CHOICES
from pruning.recipe.recipe import from_dict, to_dict
from pruning.recipe.reference import field_infos
from pruning.training.tuning import Tuning


def reported(*options: str) -> str:
    result = CliRunner().invoke(command_line(), ["choices", *options], catch_exceptions=False)
    assert result.exit_code == 0 and result.stderr == "", result.output
    return result.stdout


@pytest.fixture(scope="module")
def tables() -> dict[str, list[dict[str, Any]]]:
    return json.loads(reported("--json"))


def test_json_holds_every_row_of_every_table(tables: dict[str, list[dict[str, Any]]]) -> None:
    assert {choice: [row["kind"] for row in rows] for choice, rows in tables.items()} == {
        name: list(choice.rows) for name, choice in CHOICES.items()
    }


def test_every_kind_with_its_defaults_is_what_a_recipe_reads(tables: dict[str, list[dict[str, Any]]]) -> None:
    for choice, rows in tables.items():
        for row in rows:
            plain = {"kind": row["kind"], **{field["name"]: field["default"] for field in row["fields"]}}
            # a criterion that scores no single weights, a scope that needs rows: with a granularity that they fit
            fitting = {"granularity": {"kind": (row["scores"] or ["weights"])[0]}} if choice == "criterion" else {}
            fitting |= {"start": {"kind": "scratch"}} if choice == "rewind" else {}
            recipe = from_dict({"version": 1, "workload": "m", **fitting, choice: plain})
            # a switch that is off is not written, nor a later choice as it is by default: older files keep their names
            written = to_dict(recipe).get(choice, plain)
            assert written == {field: value for field, value in plain.items() if value is not False}


def test_ranges_are_said_as_they_are_checked(tables: dict[str, list[dict[str, Any]]]) -> None:
    for choice, rows in tables.items():
        for row in rows:
            made = CHOICES[choice].rows[row["kind"]]
            for field in row["fields"]:
                assert field["about"] and field["takes"]
                if limits := ranges(made).get(field["name"]):
                    assert str(limits) in field["takes"]


def test_what_a_criterion_scores_is_what_the_rules_say(tables: dict[str, list[dict[str, Any]]]) -> None:
    for row in tables["criterion"]:
        fits = CHOICES["criterion"].rows[row["kind"]].fits
        assert row["scores"] == (list(GRANULARITIES) if fits == ANY else list(fits))
        assert row["formula"] and row["source"] and row["cost"] and row["layers"]
    for row in tables["granularity"]:
        assert row["unit"] and row["removable"] is GRANULARITIES[row["kind"]].removable


def test_the_page_of_documentation_has_a_section_for_each(tables: dict[str, list[dict[str, Any]]]) -> None:
    page = reported("--markdown")
    headings = [line for line in page.splitlines() if line.startswith("#")]
    expected = ["# Choices"]
    for choice, rows in tables.items():
        expected += [f"## {choice}", *(f"### `{row['kind']}`" for row in rows)]
    assert headings == [*expected, "## tuning"]
    tuning = page.split("## tuning")[1]
    assert all(f"| `{field.name}` | {field.takes} |" in tuning for field in field_infos(Tuning))
    for rows in tables.values():
        for row in rows:
            assert row["about"] in page and all(
                f"| `{field['name']}` | {field['takes']} |" in page for field in row["fields"]
            )
    for line in page.splitlines():  # a stray pipe, as in |a|, would tear the table
        assert not line.startswith("|") or line.replace(r"\|", "").count("|") == 5, line


def test_people_read_all_kinds_as_tables(tables: dict[str, list[dict[str, Any]]]) -> None:
    read = reported()
    for choice, rows in tables.items():
        assert f"{choice}: {CHOICES[choice].question}" in read
        assert all(row["kind"] in read for row in rows)
    assert "tuning: " in read and all(field.name in read for field in field_infos(Tuning))
