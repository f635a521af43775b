"""Components of our own, drawn in the browser from plain numbers: the layer panel, the heatmap, the list of runs.

Their HTML, CSS and JavaScript are the files beside this one. What they are given is data: texts are set as text, never
as markup.
"""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamlit.components.v2 import component

_HERE = Path(__file__).parent


def _component(name: str) -> Callable[..., Any]:
    css, js = ((_HERE / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return component(f"pruning_{name}", css=css, js=js)


_layers = _component("layers")
_heatmap = _component("heatmap")
_runs = _component("runs")


def layers(data: dict[str, Any], on_edit: Callable[[], None], on_heatmap: Callable[[], None]) -> None:
    """The layer panel. Its triggers lie in the session state under `layers`: `edit` and `heatmap`."""
    _layers(key="layers", data=data, on_edit_change=on_edit, on_heatmap_change=on_heatmap)


def heatmap(data: dict[str, Any], on_window: Callable[[], None]) -> None:
    """The heatmap. Its trigger lies in the session state under `heatmap`: `window`, or None for the whole layer."""
    _heatmap(key="heatmap", data=data, on_window_change=on_window)


def runs(data: dict[str, Any], on_pick: Callable[[], None]) -> None:
    """The list of runs. Its trigger lies in the session state under `runs_list`: `pick`, with all runs then selected."""
    _runs(key="runs_list", data=data, on_pick_change=on_pick)


def packed(array: Any) -> str:
    """An array's bytes as base64 text: a fraction of the size and time of a list of numbers."""
    return base64.b64encode(array.tobytes()).decode("ascii")
