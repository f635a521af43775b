"""Every text of the pages goes through `_()`: a literal given to Streamlit as a label cannot be translated."""

import ast
from gettext import NullTranslations
from pathlib import Path

import pytest

from views.shared import language

VIEWS = Path(__file__).parents[2] / "views"
LABELLED = {
    "button", "caption", "checkbox", "download_button", "error", "expander", "info", "markdown", "number_input",
    "progress", "segmented_control", "selectbox", "slider", "subheader", "success", "text", "title", "warning", "write",
}  # fmt: skip


def bare_texts(source: str) -> list[str]:
    """Literals that calls such as `st.button("...")` are given as their first argument or as `help`."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LABELLED:
            if ast.unparse(node.func.value) == "log":  # for whoever runs the server
                continue
            texts = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "help")]
            found += [ast.unparse(text) for text in texts if isinstance(text, ast.JoinedStr) or _is_text(text)]
    return found


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@pytest.mark.parametrize("file", sorted(VIEWS.rglob("*.py")), ids=lambda file: str(file.relative_to(VIEWS)))
def test_texts_can_be_translated(file: Path) -> None:
    allowed = {"f'{made.formula} · {made.source} · {made.cost}'"}  # formulas and names of papers
    assert set(bare_texts(file.read_text(encoding="utf-8"))) <= allowed


def test_a_bare_text_is_found() -> None:
    assert bare_texts('st.button("Run", help=f"{x}")') == ["'Run'", "f'{x}'"]
    assert bare_texts('st.button(_("Run"))') == []


@pytest.mark.parametrize("locale", ["../../../../tmp", "de\x00", "d" * 10_000, "", None, "de_AT", "x" * 9])
def test_what_a_browser_says_its_language_is_names_no_file(locale: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does each such text stay in memory."""
    asked: list[list[str]] = []
    language._catalogue.cache_clear()
    monkeypatch.setattr(
        "gettext.translation", lambda name, folder, tags, fallback: asked.append(tags) or NullTranslations()
    )
    assert language.catalogue(locale).gettext("Lab") == "Lab"
    assert asked == [["en", "en"]]
    language._catalogue.cache_clear()
