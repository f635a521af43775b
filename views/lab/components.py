"""The components of the Lab, with the data that each is given and what each sends back.

The scripts beside this file read the keys that are declared here and no others: tests/views/test_components.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypedDict

import msgspec
import streamlit as st

from views.shared.components import component_of, in_a_list, received

_HERE = Path(__file__).parent
_layers = component_of(_HERE, "layers")
_heatmap = component_of(_HERE, "heatmap")


class LayerRowData(TypedDict):
    """A row of the layer panel. `kept` and `pruned` count weights or units a bin, the bins cover `low` to `high`."""

    name: str
    sub: str
    """Type, shape and size of the layer."""
    why: str
    """Why nothing of the layer may be pruned, else empty."""
    drawn: bool
    """Whether there is a histogram: of a layer that is not pruned only on the axis of weights."""
    follows: str
    """Why the row has no controls of its own, else empty."""
    kept: list[int]
    pruned: list[int]
    low: float
    high: float
    cuts: list[float]
    """Where the lines of the cut are, on the axis of the bins."""
    keptText: str
    cutText: str
    share: float
    """The pruned share of the layer's units, in [0, 1]."""
    locked: bool
    whole: bool


class LayersTexts(TypedDict):
    kept: str
    cut: str
    sparsity: str
    lock: str
    lockHelp: str
    whole: str
    wholeHelp: str
    heatmap: str


class LayersData(TypedDict):
    """The layer panel. Rows are made anew where the model, the names of the rows or the texts are others."""

    model: str
    logy: bool
    stale: bool
    """Whether the numbers are those of other choices than the controls': they are greyed."""
    selected: str
    """The layer whose heatmap is shown."""
    heads: list[str]
    texts: LayersTexts
    rows: list[LayerRowData]


class LayerEdit(TypedDict):
    """What the person set for a row: a sparsity of its own or None, and whether it is kept whole."""

    layer: str
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] | None
    whole: bool


class LayersTriggers(TypedDict):
    """What the layer panel sends back."""

    edit: LayerEdit
    heatmap: str
    """The layer whose heatmap is asked for."""


def layers(
    data: LayersData, on_edit: Callable[[LayerEdit], None], on_heatmap: Callable[[str], None], key: str = "layers"
) -> None:
    """The layer panel. What it sends of other rows than its own is left out."""
    names = {row["name"] for row in data["rows"]}

    def edited() -> None:
        change = received(st.session_state[key].edit, LayerEdit)
        if change is not None and change["layer"] in names:
            on_edit(change)

    def asked() -> None:
        layer = received(st.session_state[key].heatmap, str)
        if layer in names:
            on_heatmap(layer)

    _layers(key=key, data=in_a_list(data), on_edit_change=edited, on_heatmap_change=asked)


class HeatmapTexts(TypedDict):
    all: str
    zoomIn: str
    zoomOut: str
    pruned: str
    kept: str
    max: str
    hint: str


class HeatmapData(TypedDict):
    """A matrix of `rows` x `columns` cells that covers `top:bottom, left:right` of a layer of this `shape`."""

    shape: list[int]
    top: int
    bottom: int
    left: int
    right: int
    rows: int
    columns: int
    values: str
    """Importance of each cell: float32, row by row, base64."""
    pruned: str
    """Share of pruned weights of each cell, 0 to 255: uint8, row by row, base64."""
    lowest: float
    highest: float
    """The ends of the colour scale."""
    where: str
    alt: str
    texts: HeatmapTexts
    stale: bool
    """Whether it is of other choices than the controls': it is greyed."""


_Place = Annotated[int, msgspec.Meta(ge=0, le=2**40)]
Window = tuple[_Place, _Place, _Place, _Place]
"""Top, bottom, left, right."""


class HeatmapTriggers(TypedDict):
    """What the heatmap sends back."""

    window: Window | None
    """The part to be shown, or None for the whole layer."""


def heatmap(data: HeatmapData, on_window: Callable[[Window | None], None], key: str = "heatmap") -> None:
    """The heatmap of a layer."""

    def zoomed() -> None:
        sent = st.session_state[key].window
        window = received(sent, Window)
        if sent is None or window is not None:
            on_window(window)

    _heatmap(key=key, data=in_a_list(data), on_window_change=zoomed)
