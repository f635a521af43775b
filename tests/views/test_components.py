"""What a page sends to a component is what its script reads, and what the script sends back is declared."""

import re
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.views.conftest import InProcess
from tests.views.test_lab_page import QUICK, opened
from tests.views.test_runs_page import finished, sent
from views.entrance.watches import News
from views.lab import components as lab
from views.runs import components as runs
from views.server import components as server
from views.shared import watch

VIEWS = Path(__file__).parents[2] / "views"

READ: list[tuple[str, str, type[Any]]] = [
    ("lab/layers", "data", lab.LayersData),
    ("lab/layers", "texts", lab.LayersTexts),
    ("lab/layers", "row", lab.LayerRowData),
    ("lab/heatmap", "data", lab.HeatmapData),
    ("lab/heatmap", "texts", lab.HeatmapTexts),
    ("runs/runs", "data", runs.RunsData),
    ("runs/runs", "texts", runs.RunsTexts),
    ("runs/runs", "row", runs.RunRowData),
    ("runs/runs", "head", runs.HeadData),
    ("server/board", "data", server.BoardData),
    ("server/board", "row", server.BoardRow),
    ("server/board", "head", server.BoardHead),
    ("server/board", "button", server.BoardButton),
    ("shared/watch", "data", watch.WatchData),
    ("shared/watch", "news", News),
]
SENT: list[tuple[str, type[Any]]] = [
    ("lab/layers", lab.LayersTriggers),
    ("lab/heatmap", lab.HeatmapTriggers),
    ("runs/runs", runs.RunsTriggers),
    ("server/board", server.BoardTriggers),
    ("shared/watch", watch.WatchTriggers),
]


def script(name: str) -> str:
    """The component's script without its comments."""
    return re.sub(r"(?m)(?<!:)//.*$", "", (VIEWS / f"{name}.js").read_text(encoding="utf-8"))


def read(source: str, name: str) -> set[str]:
    """The keys that are read of `name`, as in `data.rows`. A key that is computed would not be seen: there is none."""
    assert not re.search(rf"\b{name}\[", source), f"{name}[...] hides which key is read"
    return set(re.findall(rf"\b{name}\.(\w+)", source))


def triggers(source: str) -> dict[str, str]:
    """Trigger -> what is sent with it, as it stands in the script."""
    return dict(re.findall(r"\bsend\(\"(\w+)\", (.*)\)", source))


@pytest.mark.parametrize("name, variable, declared", READ, ids=lambda value: getattr(value, "__name__", value))
def test_the_script_reads_what_the_page_sends(name: str, variable: str, declared: type[Any]) -> None:
    assert read(script(name), variable) == declared.__annotations__.keys()


@pytest.mark.parametrize("name, declared", SENT, ids=lambda value: getattr(value, "__name__", value))
def test_what_the_script_sends_back_is_declared(name: str, declared: type[Any]) -> None:
    assert triggers(script(name)).keys() == declared.__annotations__.keys()


@pytest.mark.parametrize(
    "name, trigger, declared",
    [
        ("lab/layers", "edit", lab.LayerEdit),
        ("runs/runs", "pick", runs.PickData),
        ("shared/watch", "again", watch.AgainData),
    ],
)
def test_what_is_sent_with_a_trigger_is_declared(name: str, trigger: str, declared: type[Any]) -> None:
    literal = re.search(rf"\bsend\(\"{trigger}\", \{{(.*?)\}}\)", script(name))
    assert literal is not None
    assert {part.split(":")[0].strip() for part in literal[1].split(",")} == declared.__annotations__.keys()


def test_every_script_is_looked_at() -> None:
    scripts = {str(path.relative_to(VIEWS).with_suffix("")) for path in VIEWS.rglob("*.js")}
    assert scripts - {"shared/elements"} == {name for name, *_ in READ} == {name for name, _ in SENT}


def test_what_all_scripts_are_given_reads_and_sends_nothing_and_is_declared_once() -> None:
    given = set(re.findall(r"(?m)^function (\w+)", script("shared/elements")))
    assert given and not triggers(script("shared/elements")) and "data" not in script("shared/elements")
    for name, _ in SENT:  # a name that is declared twice ends a script before it begins
        assert not given & set(re.findall(r"(?m)^(?:function|const|let) (\w+)", script(name)))


def test_a_key_too_many_and_a_hidden_one_are_found() -> None:
    assert read("row.kept + state.data.row.low; rows.map; borrow.x", "row") == {"kept", "low"}
    with pytest.raises(AssertionError, match="hides"):
        read("row[name]", "row")
    assert "components.py" not in script("lab/layers") and "http://" in script("lab/layers")


def test_the_pages_send_what_is_declared(app: AppTest, backend: InProcess) -> None:
    """Nothing is missing and nothing is added, down to the rows."""
    opened(app, QUICK)
    panel, image = (next(data for data in sent(app) if key in data) for key in ("heads", "shape"))
    assert panel.keys() == lab.LayersData.__annotations__.keys()
    assert panel["texts"].keys() == lab.LayersTexts.__annotations__.keys()
    assert panel["rows"] and all(row.keys() == lab.LayerRowData.__annotations__.keys() for row in panel["rows"])
    assert image.keys() == lab.HeatmapData.__annotations__.keys()
    assert image["texts"].keys() == lab.HeatmapTexts.__annotations__.keys()
    finished(backend)
    app.switch_page("views/runs/runs.py").run()
    (listed,) = [data for data in sent(app) if "selected" in data]
    assert listed.keys() == runs.RunsData.__annotations__.keys()
    assert listed["texts"].keys() == runs.RunsTexts.__annotations__.keys()
    assert all(head.keys() == runs.HeadData.__annotations__.keys() for head in listed["heads"])
    assert listed["rows"] and all(row.keys() == runs.RunRowData.__annotations__.keys() for row in listed["rows"])
    assert all(len(row["cells"]) == len(listed["heads"]) for row in listed["rows"])
