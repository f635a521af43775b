"""Experiments on the page Runs: make a grid from the Lab's recipe, and see how far the sweeps are and what they came to."""

import time
from datetime import datetime

import streamlit as st

from pruning.errors import printable
from pruning.execution.store.records import HalvingRow, SweepRow
from views.runs import grid_form, halving_results, sweep_results
from views.runs.state import runs_state
from views.shared.language import _
from views.shared.moments import when
from views.shared.server import backend

NEW = ""
Experiment = SweepRow | HalvingRow


def choose() -> Experiment | None:
    """A list of the experiments, the newest first; None: a new one."""
    store = backend().store
    rows: list[Experiment] = sorted([*store.sweeps.all(), *store.halvings.all()], key=lambda row: -row.created)
    kept = {row.name: row for row in rows}
    if (opened := runs_state().opened_sweep) in kept:
        st.session_state.runs_sweep, runs_state().opened_sweep = opened, NEW
    if st.session_state.get("runs_sweep") not in kept:
        st.session_state.runs_sweep = NEW
    chosen = st.selectbox(
        _("experiment"), [NEW, *kept], key="runs_sweep", width=420, label_visibility="collapsed",
        format_func=lambda name: _name_of(kept[name]) if name in kept else _("new: a grid of recipes"),
        help=_("A grid of recipes: every combination of some settings is carried out once, or the best one is looked for."),
    )  # fmt: skip
    return kept.get(chosen)


def show(chosen: Experiment | None) -> None:
    """The one that is chosen, or the form of a new one."""
    if chosen is None:
        grid_form.show()
    elif isinstance(chosen, HalvingRow):
        halving_results.show(chosen)
    else:
        sweep_results.show(chosen)


def _name_of(row: Experiment) -> str:
    began = when(row.created, datetime.fromtimestamp(time.time()))
    best = _("best of a grid: ") if isinstance(row, HalvingRow) else ""
    return f"{best}{printable(row.title, 80) or row.name} · {began}"
