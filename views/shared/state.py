"""What a session remembers from one run of a page's script to the next, apart from the values of its controls.

Each page declares its own class in the `state.py` of its folder. What several pages use is declared here.
"""

from dataclasses import dataclass, field
from secrets import token_hex
from typing import TypeVar

import streamlit as st

from pruning.events import Event
from pruning.recipe.recipe import Recipe

State = TypeVar("State")


def remembered(made: type[State]) -> State:
    """This session's instance of a state class, made when it is first asked for."""
    key = made.__name__
    if key not in st.session_state:
        st.session_state[key] = made()
    return st.session_state[key]


@dataclass(frozen=True)
class KeptEvents:
    """What was read of a run's events: those up to number `last`, and of its optimiser steps every so many."""

    numbered: list[tuple[int, Event]] = field(default_factory=list[tuple[int, Event]])
    last: int = 0
    every: int = 1


@dataclass
class SharedState:
    """What all pages of a session use."""

    tab: str = field(default_factory=lambda: token_hex(8))
    """Tells the tabs of one person apart: what one of them asks does not take another's place."""
    overrides: dict[str, float] = field(default_factory=dict[str, float])
    """Row -> its own sparsity in [0, 1], as set in the layer panel."""
    whole: tuple[str, ...] = ()
    """The rows that are kept whole."""
    last_recipe: Recipe | None = None
    """The last recipe whose choices fitted together. Streamlit forgets a page's controls when another one is opened."""
    shown_run: str | None = None
    """The run in the URL. Streamlit drops the URL's parameters when another page is opened."""
    events: dict[tuple[str, int], KeptEvents] = field(default_factory=dict[tuple[str, int], KeptEvents])
    """(run, attempt) -> its events read so far."""


def shared_state() -> SharedState:
    return remembered(SharedState)
