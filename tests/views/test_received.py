"""What a component sends is taken where it is of the declared shape, and of what the page has shown."""

from types import SimpleNamespace
from typing import Any

import pytest

from views.lab import components as lab
from views.runs import components as runs

NONSENSE: list[Any] = [
    None, [], "x", 3, float("nan"), {"layer": "fc1"}, {"layer": ["fc1"], "share": 0.5, "whole": True},
    {"layer": "fc1", "share": float("nan"), "whole": False}, {"layer": "fc1", "share": 1e308, "whole": False},
    {"layer": "fc1", "share": -0.1, "whole": False}, {"layer": "fc9", "share": 0.5, "whole": False}, "fc9",
    [0, 1, 2], [0, 1, 2, -1], [0.5, 1, 2, 3], [float("nan")] * 4, [10**30] * 4, "0123", {"runs": 5},
    {"runs": [1, None]},
]  # fmt: skip


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The components without a page: `values` is what they send, `callbacks` are what Streamlit would call."""
    made = SimpleNamespace(values=SimpleNamespace(), callbacks={})

    def draw(key: str, data: object, **callbacks: Any) -> None:
        made.callbacks |= callbacks

    for module, name in ((lab, "_layers"), (lab, "_heatmap"), (runs, "_runs")):
        monkeypatch.setattr(module, name, draw)
    monkeypatch.setattr("streamlit.session_state", dict.fromkeys(("layers", "heatmap", "runs_list"), made.values))
    return made


def sent(heard: SimpleNamespace, trigger: str, value: Any) -> None:
    setattr(heard.values, trigger, value)
    heard.callbacks[f"on_{trigger}_change"]()


def test_nonsense_of_the_layer_panel_is_left_out(heard: SimpleNamespace) -> None:
    edits: list[Any] = []
    asked: list[str] = []
    lab.layers({"rows": [{"name": "fc1"}]}, edits.append, asked.append)  # type: ignore[typeddict-item]
    for value in NONSENSE:
        sent(heard, "edit", value)
        sent(heard, "heatmap", value)
    assert edits == [] and asked == []
    change = {"layer": "fc1", "share": 0.5, "whole": False}
    sent(heard, "edit", change)
    sent(heard, "edit", {**change, "share": None})
    sent(heard, "heatmap", "fc1")
    assert edits == [change, {**change, "share": None}] and asked == ["fc1"]


def test_nonsense_of_the_heatmap_is_left_out(heard: SimpleNamespace) -> None:
    windows: list[Any] = []
    lab.heatmap({}, windows.append)  # type: ignore[typeddict-item]
    for value in NONSENSE[1:]:
        sent(heard, "window", value)
    assert windows == []
    sent(heard, "window", [0, 4, 0, 8])
    sent(heard, "window", None)
    assert windows == [(0, 4, 0, 8), None]


def test_nonsense_of_the_list_of_runs_is_left_out(heard: SimpleNamespace) -> None:
    picks: list[list[str]] = []
    runs.runs({"rows": [{"id": "a-1"}, {"id": "a-2"}], "selected": ["b-1"]}, picks.append)  # type: ignore[typeddict-item]
    for value in NONSENSE:
        sent(heard, "pick", value)
    assert picks == []
    sent(heard, "pick", {"runs": ["a-2", "b-1", "a-2", "x" * 1000]})
    assert picks == [["a-2", "b-1"]]
