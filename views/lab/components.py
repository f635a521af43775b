"""The components of the Lab: the layer panel and the heatmap."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from views.shared.components import component_of

_HERE = Path(__file__).parent
_layers = component_of(_HERE, "layers")
_heatmap = component_of(_HERE, "heatmap")


def layers(data: dict[str, Any], on_edit: Callable[[], None], on_heatmap: Callable[[], None]) -> None:
    """The layer panel. Its triggers lie in the session state under `layers`: `edit` and `heatmap`."""
    _layers(key="layers", data=data, on_edit_change=on_edit, on_heatmap_change=on_heatmap)


def heatmap(data: dict[str, Any], on_window: Callable[[], None]) -> None:
    """The heatmap. Its trigger lies in the session state under `heatmap`: `window`, or None for the whole layer."""
    _heatmap(key="heatmap", data=data, on_window_change=on_window)
