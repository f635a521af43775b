"""The component of the page Runs, with the data that it is given and what it sends back.

The script beside this file reads the keys that are declared here and no others: tests/views/test_components.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import streamlit as st

from views.shared.components import component_of, in_a_list, received

_runs = component_of(Path(__file__).parent, "runs")


class RunsTexts(TypedDict):
    label: str
    run: str
    state: str
    select: str
    mine: str
    pinned: str


class HeadData(TypedDict):
    """The head of a column of results: is it of numbers, and does it take the whole width of a narrow screen?"""

    text: str
    number: bool
    wide: bool


class RunRowData(TypedDict):
    """A row of the list of runs."""

    id: str
    name: str
    sub: str
    """The id, where the name is a title."""
    mine: bool
    pinned: bool
    state: str
    sign: str
    word: str
    """The state in words."""
    note: str
    fraction: float | None
    """How far a running run is, in [0, 1]."""
    cells: list[tuple[str, str]]
    """A cell for each head: what it says, and smaller what there is to add."""


class RunsData(TypedDict):
    """The list of runs."""

    texts: RunsTexts
    heads: list[HeadData]
    rows: list[RunRowData]
    selected: list[str]


class PickData(TypedDict):
    """All runs that are selected after a click."""

    runs: list[str]


class RunsTriggers(TypedDict):
    """What the list sends back."""

    pick: PickData


def runs(data: RunsData, on_pick: Callable[[list[str]], None], key: str = "runs_list") -> None:
    """The list of runs. What it sends of others than its own, and those selected before, is left out."""
    known = {*(row["id"] for row in data["rows"]), *data["selected"]}

    def picked() -> None:
        pick = received(st.session_state[key].pick, PickData)
        if pick is not None:
            on_pick([run for run in dict.fromkeys(pick["runs"]) if run in known])

    _runs(key=key, data=in_a_list(data), on_pick_change=picked)
