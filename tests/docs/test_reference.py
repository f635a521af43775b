"""The reference is complete and invents nothing: variables, commands and errors are compared with the code."""

import ast
import re
from collections.abc import Iterator

import pytest
import typer

import pruning.errors
from pruning.__main__ import command_line
from pruning.errors import PruningError
from tests.docs.pages import REFERENCE, ROOT, headings, sections

VARIABLE = re.compile(r"PRUNING_[A-Z_]+|RAY_ADDRESS|OMP_NUM_THREADS")
SOURCES = [*ROOT.glob("*.py"), ROOT / "tests" / "browser" / "chromium.py"] + [
    file for folder in ("pruning", "views", "sample_models", "benchmarks") for file in (ROOT / folder).rglob("*.py")
]


def texts(tree: ast.AST) -> Iterator[str]:
    """All strings of the code; what an f-string inserts is an ellipsis."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)


@pytest.fixture(scope="module")
def strings() -> list[str]:
    return [text for file in SOURCES for text in texts(ast.parse(file.read_text(encoding="utf-8")))]


def test_every_variable_that_the_code_names_has_a_heading_and_no_other(strings: list[str]) -> None:
    read = {text for text in strings if VARIABLE.fullmatch(text)}
    described = {name for name in headings(REFERENCE / "environment.md") if VARIABLE.fullmatch(name)}
    assert "PRUNING_HOME" in read and described == read


def parameters(command: typer.core.TyperCommand) -> set[str]:  # type: ignore[name-defined]
    """What a person types: options by their long names, arguments by their metavars."""
    return {
        max(parameter.opts, key=len) if parameter.opts[0].startswith("-") else parameter.metavar.rstrip(".")
        for parameter in command.params
    }


def test_every_command_has_a_section_that_lists_its_options_and_no_other() -> None:
    commands = typer.main.get_command(command_line()).commands  # type: ignore[attr-defined]
    described = sections(REFERENCE / "commands.md", 2)
    assert commands.keys() <= described.keys()
    for name, command in commands.items():
        listed = set(re.findall(r"^\| `([^`]+)` \|", described[name], re.MULTILINE))
        assert listed == parameters(command), name
        assert f"python -m pruning {name}" in described[name]


def test_every_class_of_errors_has_a_section() -> None:
    ours = {
        name for name, made in vars(pruning.errors).items() if isinstance(made, type) and issubclass(made, PruningError)
    }
    assert ours <= sections(REFERENCE / "errors.md", 2).keys()


def test_every_error_that_is_explained_is_one_that_the_code_says(strings: list[str]) -> None:
    """The pieces between the ellipses stand in one string of the code, in that order."""
    said = [" ".join(text.split()) for text in strings]
    for symptom in sections(REFERENCE / "errors.md", 3):
        wanted = re.compile(".*".join(map(re.escape, symptom.split("…"))))
        assert any(map(wanted.search, said)), symptom


def test_every_error_says_its_cause_and_the_way_out() -> None:
    for symptom, below in sections(REFERENCE / "errors.md", 3).items():
        assert "- **Cause:**" in below and "- **Way out:**" in below, symptom
