"""The gallery draws every state, and what it sends to components is what is declared."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.views.test_runs_page import sent
from views.gallery import compare, lab, runs
from views.gallery.parts import PARTS
from views.lab import components as lab_components
from views.runs import components as runs_components

GALLERY = str(compare.__file__).replace("compare.py", "gallery.py")


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests never look into the store of whoever runs them."""
    monkeypatch.setenv("PRUNING_HOME", str(tmp_path))


@pytest.mark.parametrize("part", PARTS)
def test_every_state_is_drawn(part: str) -> None:
    app = AppTest.from_file(GALLERY, default_timeout=60)
    app.query_params["part"] = part
    app.run()
    assert [error.value for error in app.exception] == []
    captions = {caption.value for caption in app.caption}
    named = {f"{component}: {state}" for component, states in PARTS[part].items() for state in states}
    assert named <= captions


def test_components_are_given_what_is_declared() -> None:
    app = AppTest.from_file(GALLERY, default_timeout=60).run()
    panels = [data for data in sent(app) if "logy" in data]
    images = [data for data in sent(app) if "shape" in data]
    assert (len(panels), len(images)) == (len(lab.STATES["layers"]), len(lab.STATES["heatmap"]))
    rows = [row for data in panels for row in data["rows"]]
    assert all(row.keys() == lab_components.LayerRowData.__annotations__.keys() for row in rows)
    assert all(data.keys() == lab_components.HeatmapData.__annotations__.keys() for data in images)
    listed = [*runs.EVERY, *runs.LONG_NAMES]
    assert all(row.keys() == runs_components.RunRowData.__annotations__.keys() for row in listed)


def test_many_weights_are_sent_as_bins() -> None:
    """10^7 weights and more, in no more bytes than few weights take."""
    app = AppTest.from_file(GALLERY, default_timeout=60).run()
    large = [data for data in sent(app) if data.get("logy")]
    assert all(sum(row["kept"]) + sum(row["pruned"]) > 10**7 for row in large[0]["rows"])
    assert all(len(row["kept"]) == len(row["pruned"]) == 64 for row in large[0]["rows"])
    image = next(data for data in sent(app) if data.get("shape") == [4096, 4096])
    assert (image["rows"], image["columns"]) == (128, 128) and len(image["values"]) < 10**5
