"""What outlives a run of a page's script is declared in a state class; `st.session_state` itself is for controls."""

import ast
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pruning.granularities import Channels
from pruning.recipe.catalog import CHOICES
from tests.views.conftest import InProcess
from tests.views.test_lab_page import QUICK, opened
from views.compare.state import CompareState
from views.lab.layer_panel import edit
from views.lab.state import LabState
from views.runs.state import RunsState
from views.sensitivity.state import SensitivityState
from views.shared.state import SharedState

VIEWS = Path(__file__).parents[2] / "views"
STATES: list[type[Any]] = [LabState, CompareState, SensitivityState, RunsState, SharedState]
FILES = sorted(VIEWS.rglob("*.py"))


def session_keys(source: str) -> set[str]:
    """The names that the file reads or writes in the session's state, where they stand in the source."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "st.session_state":
            found.add(node.attr)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "st.session_state":
            found |= {node.slice.value} if isinstance(node.slice, ast.Constant) else set()
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("st.session_state."):
            found |= {str(first.value) for first in node.args[:1] if isinstance(first, ast.Constant)}
            found |= {word.arg for word in node.keywords if word.arg}
        if isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "st.session_state":
            found |= {str(node.left.value)} if isinstance(node.left, ast.Constant) else set()
    return found - {"get", "pop", "setdefault", "update"}


def control_keys() -> set[str]:
    """Every key that a control is given in the source, and those of the choices, which `forms` draws."""
    keys = {key for file in FILES for key in re.findall(r"\bkey=\"(\w+)\"", file.read_text(encoding="utf-8"))}
    return keys | CHOICES.keys()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(VIEWS)))
def test_the_sessions_state_is_touched_for_controls_only(file: Path) -> None:
    keys = {key for key in session_keys(file.read_text(encoding="utf-8")) if "." not in key}
    assert keys <= control_keys()


def test_another_key_is_found() -> None:
    source = "st.session_state.a\nst.session_state['b'] = 1\nst.session_state.get('c')\nst.session_state.update(d=1)"
    assert session_keys(source + "\n'e' in st.session_state") == {"a", "b", "c", "d", "e"}
    assert "shown_run" not in control_keys()


@pytest.mark.parametrize("made", STATES)
def test_a_state_can_be_made_from_nothing_and_each_field_is_used_by_its_page(made: type[Any]) -> None:
    assert all(f.default is not MISSING or f.default_factory is not MISSING for f in fields(made))
    page = Path(__import__(made.__module__, fromlist=["x"]).__file__).parent
    own = page.parent if page.name == "shared" else page
    source = "".join(file.read_text(encoding="utf-8") for file in own.rglob("*.py"))
    app = (VIEWS / "app.py").read_text(encoding="utf-8")
    assert [f.name for f in fields(made) if not re.search(rf"\.{f.name}\b", source + app)] == []


def test_two_sessions_share_nothing() -> None:
    for made in STATES:
        one, two = made(), made()
        for f in fields(made):
            value = getattr(one, f.name)
            assert not isinstance(value, dict | list) or value is not getattr(two, f.name)


def test_rows_are_remembered_on_the_way_to_another_page_and_back(app: AppTest, backend: InProcess) -> None:
    opened(app, QUICK)
    app.session_state["SharedState"].overrides = {"fc1": 0.25}
    app.session_state["LabState"].heatmap_layer = "fc2"
    app.run()
    app.switch_page("views/runs/runs.py").run()
    app.switch_page("views/lab/lab.py").run()
    assert app.session_state["SharedState"].overrides == {"fc1": 0.25}
    assert any(text.value == "Importance of fc2" for text in app.subheader)
    # other units: what was set for single layers, and the part of the heatmap, were for the units before
    app.selectbox(key="granularity").set_value("channels").run()
    assert app.session_state["SharedState"].overrides == {}
    assert any(text.value == "Importance of fc1" for text in app.subheader)


def test_an_edit_of_a_row_replaces_what_was_set_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    state = SharedState(overrides={"a": 0.5, "b": 0.1}, whole=("b",))
    monkeypatch.setattr("views.lab.layer_panel.shared_state", lambda: state)
    edit({"layer": "b", "share": 1.5, "whole": False})
    assert (state.overrides, state.whole) == ({"a": 0.5, "b": 1.0}, ())
    edit({"layer": "a", "share": None, "whole": True})
    assert (state.overrides, state.whole) == ({"b": 1.0}, ("a",))


def test_the_heatmap_begins_anew_with_other_units_only() -> None:
    state = LabState()
    state.forget_heatmap_of_others(QUICK)
    state.heatmap_layer, state.heatmap_window = "fc2", (0, 4, 0, 8)
    state.forget_heatmap_of_others(QUICK)
    assert (state.heatmap_layer, state.heatmap_window) == ("fc2", (0, 4, 0, 8))
    other = type(QUICK)(QUICK.workload, granularity=Channels())
    state.forget_heatmap_of_others(other)
    assert (state.heatmap_layer, state.heatmap_window) == (None, None)
