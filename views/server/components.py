"""The component of the page Server: tables whose rows have buttons, with the data that it is given and what it sends.

The script beside this file reads the keys that are declared here and no others: tests/views/test_components.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import streamlit as st

from views.shared.components import component_of, in_a_list, received

_board = component_of(Path(__file__).parent, "board")


class BoardHead(TypedDict):
    """The head of a column: is it of numbers, and how wide in percent of the table?"""

    text: str
    number: bool
    width: int


class BoardButton(TypedDict):
    """A button of a row; `off` says why it cannot be pressed now, "" = it can."""

    action: str
    text: str
    label: str
    """For who does not see the row."""
    help: str
    off: str


class BoardRow(TypedDict):
    id: str
    cells: list[tuple[str, str]]
    """A cell for each head: what it says, and smaller what there is to add."""
    buttons: list[BoardButton]


class BoardData(TypedDict):
    label: str
    heads: list[BoardHead]
    rows: list[BoardRow]
    empty: str
    """What is said where there is no row."""


class PressData(TypedDict):
    """The button that was pressed."""

    action: str
    id: str


class BoardTriggers(TypedDict):
    press: PressData


def board(data: BoardData, on_press: Callable[[str, str], None], key: str) -> None:
    """A table. What it sends of others than its own buttons is left out."""
    known = {(button["action"], row["id"]) for row in data["rows"] for button in row["buttons"] if not button["off"]}

    def pressed() -> None:
        press = received(st.session_state[key].press, PressData)
        if press is not None and (press["action"], press["id"]) in known:
            on_press(press["action"], press["id"])

    _board(key=key, data=in_a_list(data), on_press_change=pressed)
