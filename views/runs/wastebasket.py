"""The person's deleted runs, at the bottom of the page Runs: put back, or deleted for good."""

from collections.abc import Callable
from datetime import datetime

import streamlit as st

from pruning.errors import PruningError, printable
from pruning.execution.store.ownership import may_change
from pruning.execution.store.wastebasket import Waste
from views.runs.state import runs_state
from views.shared.changes import changes
from views.shared.language import _
from views.shared.moments import reader_zone, when
from views.shared.person import who
from views.shared.server import backend

MOST = 20


def show() -> None:
    """Nothing where nothing was deleted."""
    mine = [waste for waste in backend().store.wastebasket.all() if may_change(waste.session, who())]
    if not mine:
        return
    with st.expander(_("Wastebasket ({n})").format(n=len(mine)), key="wastebasket"):
        st.caption(_("What is deleted lies here for a week, with its files."))
        for waste in mine[:MOST]:
            _line(waste)
        if len(mine) > MOST:
            st.caption(_("and {n} more, which were deleted earlier").format(n=len(mine) - MOST))


def _line(waste: Waste) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        gone = when(waste.gone, datetime.now(reader_zone()))
        st.text(_("{name}, gone for good {time}").format(name=printable(waste.title) or waste.id, time=gone), width=420)
        st.button(_("Put back"), key=f"put_back_{waste.id}", on_click=_do, args=(changes().put_back, waste.id))
        words = _("At once, with its files. It cannot be brought back.")
        st.button(_("Delete now"), key=f"empty_{waste.id}", help=words, on_click=_do, args=(changes().empty, waste.id))


def _do(change: Callable[[str], None], run: str) -> None:
    try:
        change(run)
    except PruningError as error:
        runs_state().problem = str(error)
