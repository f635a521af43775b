"""Text that is not ours is shown as the letters that it is: helper, pages, and the source of all pages."""

import ast
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from streamlit.testing.v1 import AppTest

from pruning.recipe.recipe import to_json
from pruning.reporting.plots_runs import Drawn, score_size_figure
from tests.views.conftest import InProcess
from tests.views.test_runs_page import QUICK, clean, finished, listed, opened, said
from views.shared.plain_text import plain, shown

VIEWS = Path(__file__).parents[2] / "views"
HOSTILE = (
    "![x](https://evil.example/a.png) [sign in](https://evil.example) www.evil.example a@evil.example <b>b</b> "
    ":red[r] :material/home: :smile: $x^2$ `c` **b** ~~s~~ &lt; \x1b[2J\u202e"
)
PARSER = MarkdownIt("gfm-like", {"linkify": False, "html": True})
LINKS = re.compile(r"https?://|www\.[-\w]|[-.\w+]+@[-\w]+\.", re.IGNORECASE)
"""What is made a link when the escapes are gone: GFM's autolinks, as the library of the pages looks for them."""
SIGNS = re.compile(r":\+1:|:-1:|:[\w-]+:|:\w+/\w+:|:[\w-]+\[")
"""Emojis, icons and colours, likewise."""


def read(markdown: str) -> str:
    """The text of one paragraph that has nothing but letters in it."""
    opened_, inline, closed = PARSER.parse(markdown)
    assert (opened_.type, closed.type) == ("paragraph_open", "paragraph_close")
    assert inline.children is not None and {child.type for child in inline.children} <= {"text", "text_special"}
    return "".join(child.content for child in inline.children)


@given(st.text(st.characters(max_codepoint=0x2100), min_size=1) | st.text("!\\[]()*_`<>$~|&#+-=.:/w@ a1", min_size=1))
def test_all_that_comes_of_a_text_is_its_letters(text: str) -> None:
    if not plain(text):
        return
    found = read(plain(text))
    assert found == shown(plain(text)).replace("\u2060", "") or found.replace("\u2060", "") == shown(plain(text))
    assert not LINKS.search(found) and not SIGNS.search(found)
    assert not any(unicodedata.category(letter) == "Cc" for letter in found)


def test_what_is_no_markdown_stays_as_it_is() -> None:
    for sentence in (
        "tuning.batch_size is 3; use one of mlp_128, fashion_cnn (0 to 1), or leave it out: 5 % of 'fc1.weight'",
        "8 of your runs are queued or running and 8 is the most at once; wait until one is over, or stop one",
    ):
        assert plain(sentence) == sentence


def test_what_is_long_is_cut_in_its_middle() -> None:
    assert plain("a" * 500 + "b" * 500, 9) == "aaaa…bbbb" and len(plain("x" * 10**6)) < 2000


def test_a_hostile_link_shows_its_letters_in_our_error_box(app: AppTest, backend: InProcess) -> None:
    app.query_params["recipe"] = to_json(replace(QUICK, workload=HOSTILE))
    clean(app.run())
    (box,) = app.error
    assert "evil.example" in box.value
    assert not re.search(r"(?<!\\)!?\[|(?<!\\)<|https?://|\x1b|\u202e", box.value)


def test_a_run_of_the_url_that_is_not_there_is_named_as_text(app: AppTest, backend: InProcess) -> None:
    finished(backend)
    app.query_params["run"] = HOSTILE
    opened(app)
    box = next(box.value for box in app.info if "any more" in box.value)
    assert not re.search(r"(?<!\\)!?\[|(?<!\\)<|https?://|\x1b|\u202e", box)


def test_a_title_is_text_in_the_list_the_heading_and_the_figures(app: AppTest, backend: InProcess) -> None:
    run = finished(backend)
    title = "[a](https://evil.example)\x1b\u202e"
    backend.store.rename(run, title)
    opened(app, run)
    (name,) = [row["name"] for row in listed(app)]
    assert "\x1b" not in name and "\u202e" not in name
    assert "](https://" not in said(app) and "https:\u2060//evil.example" in said(app)


def test_a_name_in_a_figure_is_no_link_of_its_library() -> None:
    figure = score_size_figure([Drawn("<a href='https://evil.example'>x</a>", None, ())], "nonzero")  # type: ignore[arg-type]
    names = [trace.name for trace in figure.data if trace.name]
    assert names and not any("<a" in name for name in names)


CALLS = frozenset(
    {
        "button", "caption", "checkbox", "download_button", "error", "expander", "header", "info", "markdown",
        "multiselect", "number_input", "popover", "progress", "segmented_control", "selectbox", "slider", "subheader",
        "success", "text_input", "title", "toast", "toggle", "warning", "write",
    }
)  # fmt: skip
"""Streamlit's functions that take Markdown, by their last names."""
NAMES = frozenset({"error", "problem", "reason", "refused", "sentence", "title", "why", "zeroed", "at_chance", "gone"})
"""What text that is not ours is called in the pages. `why` of a person's rights is made of plain text already."""


def foreign(source: str) -> Iterator[str]:
    """What the source passes to Markdown that may not be ours, without `plain`."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in CALLS
            and ast.unparse(node.func.value) not in ("log", "file")
        ):
            texts = [*node.args[:2], *(each.value for each in node.keywords if each.arg in ("help", "label", "text"))]
            for text in texts:
                yield from (f"{node.lineno}: {found}" for found in _foreign(text))


def _foreign(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if name == "plain":
            return
        if name in ("str", "name_of", "shown_name"):
            yield ast.unparse(node)
            return
    if isinstance(node, ast.Name) and node.id in NAMES - {"title", "why"}:
        yield node.id
    if isinstance(node, ast.Attribute) and node.attr in NAMES and not isinstance(node.value, ast.Call):
        yield ast.unparse(node)
    for child in ast.iter_child_nodes(node):
        if not isinstance(node, ast.Attribute):
            yield from _foreign(child)


@pytest.mark.parametrize("file", sorted(VIEWS.rglob("*.py")), ids=lambda file: str(file.relative_to(VIEWS)))
def test_no_page_passes_foreign_text_to_markdown(file: Path) -> None:
    assert list(foreign(file.read_text(encoding="utf-8"))) == []


def test_foreign_text_is_found() -> None:
    for wrong in (
        "st.error(str(error))", "st.error(problem)", "left.caption(_('x {a}').format(a=row.sentence))",
        "st.subheader(_('Run {name}').format(name=name_of(row)))", "st.button('x', help=row.title)",
        "st.progress(0.5, state.problem)", "st.error(f'{error}')",
    ):  # fmt: skip
        assert len(list(foreign(wrong))) == 1, wrong
    right = "st.error(plain(error))\nst.caption(_('x {a}').format(a=plain(row.sentence)))\nstate.problem = str(error)"
    assert list(foreign(right)) == []
