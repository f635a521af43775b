"""Experiments on the page Runs: make a grid from the Lab's recipe, and see how far the sweeps are and what they came to."""

import time
from datetime import datetime

import streamlit as st

from pruning.execution.store.records import SweepRow
from views.runs import grid_form, sweep_results
from views.runs.state import runs_state
from views.runs.table import when
from views.shared.language import _
from views.shared.server import backend

NEW = ""


def choose() -> SweepRow | None:
    """A list of the experiments; None: a new one."""
    kept = {row.name: row for row in backend().store.sweeps.all()}
    if (opened := runs_state().opened_sweep) in kept:
        st.session_state.runs_sweep, runs_state().opened_sweep = opened, NEW
    if st.session_state.get("runs_sweep") not in kept:
        st.session_state.runs_sweep = NEW
    chosen = st.selectbox(
        _("experiment"), [NEW, *kept], key="runs_sweep", width=420, label_visibility="collapsed",
        format_func=lambda name: _name_of(kept[name]) if name in kept else _("new: a grid of recipes"),
        help=_("A grid of recipes: every combination of some settings is carried out once."),
    )  # fmt: skip
    return kept.get(chosen)


def show(chosen: SweepRow | None) -> None:
    """The one that is chosen, or the form of a new one."""
    if chosen is None:
        grid_form.show()
    else:
        sweep_results.show(chosen)


def _name_of(row: SweepRow) -> str:
    began = when(row.created, datetime.fromtimestamp(time.time()))
    return f"{row.title or row.name} · {began}"
