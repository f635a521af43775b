"""Runs: the history. Find one, watch it, reopen its recipe in the Lab, compare several. Reads as the page looks."""

import streamlit as st

from pruning.errors import PruningError
from pruning.execution.store.records import RunState
from views.runs import comparison as runs_comparison
from views.runs import detail as runs_detail
from views.runs import experiments as runs_experiments
from views.runs import table as runs_table
from views.runs import wastebasket
from views.runs.state import A_PAGE, runs_state
from views.shared import forms
from views.shared.language import _
from views.shared.pages import LAB
from views.shared.plain_text import plain
from views.shared.run_events import any_run, row_of, rows_of, runs_found
from views.shared.server import backend

POLL_S = 1.0
STATES: dict[str, tuple[RunState, ...]] = {
    "all": (),
    "live": ("queued", "running"),
    "finished": ("finished",),
    "ended early": ("stopped", "failed"),
}
VIEWS = ("every run", "experiments")
STATES_IN_ORDER: tuple[RunState, ...] = ("running", "queued", "finished", "stopped", "failed")


def page() -> None:
    _follow_the_url()
    forms.hold("grid")
    st.subheader(_("Runs"))
    try:
        live = any_run(("queued", "running"))
        if strangers := _strangers():
            st.warning(strangers)
        with st.sidebar:
            st.fragment(_counts, run_every=POLL_S if live else None, key="runs_counts")()
        with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
            view = st.segmented_control(
                _("what to show"), VIEWS, key="runs_view", default=VIEWS[0], required=True, format_func=_,
                label_visibility="collapsed",
            )  # fmt: skip
            chosen = runs_experiments.choose() if view == "experiments" else _narrow()
        if view == "experiments":
            runs_experiments.show(chosen)
        else:
            st.fragment(_list, run_every=POLL_S if live else None, key="runs")(live, list(runs_state().selected))
            _selected()
            wastebasket.show()
    except PruningError as error:
        st.error(plain(error))


@st.cache_data(ttl=60, show_spinner=False)  # a folder is looked through for it
def _strangers() -> str:
    """What to say where the store was emptied, or is older than the files beside it; "" where it is not."""
    found = backend().store.upkeep.strangers()
    if not found:
        return ""
    words = _(
        "{n} folders of runs are not in this list ({runs}): the store was emptied, or an older one was put in its place. "
        "The folders are left alone, and new runs get other ids. A backup can be brought back with the command restore."
    )
    return words.format(n=len(found), runs=", ".join(found[:3]) + (", ..." if len(found) > 3 else ""))


def _narrow() -> None:
    """What narrows the list down."""
    st.text_input(
        _("search"), key="runs_search", label_visibility="collapsed", width=320,
        placeholder=_("search: title, id, model, criterion"),
        help=_("Every word must occur in the title, the id or the recipe; Enter searches."),
    )  # fmt: skip
    st.segmented_control(
        _("state"), list(STATES), key="runs_states", default="all", required=True, format_func=_,
        label_visibility="collapsed",
    )  # fmt: skip
    st.checkbox(
        _("only mine"),
        key="runs_mine",
        help=_("Those that you started, also yesterday or in another tab of this browser."),
    )


def _follow_the_url() -> None:
    """The run that the URL names is the one shown on every page; one that was opened elsewhere meanwhile is selected."""
    run = st.query_params.get("run")
    state = runs_state()
    if run is not None and run != state.followed:
        state.followed = run
        state.selected = [run]


def _list(was_live: bool, drawn: list[str]) -> None:
    """The list, polled only while a run is live. A new selection, or the end of the last live run, draws the page anew."""
    most = runs_state().most
    found = _found(most + A_PAGE)
    if found:
        runs_table.show(rows_of(found[:most]))
    else:
        _empty()
    if len(found) > most and st.button(_("show {n} more").format(n=len(found) - most)):
        runs_state().most = most + A_PAGE
        st.rerun(scope="fragment")
    picked = runs_state().selected
    if picked != drawn or was_live != any_run(("queued", "running")):
        st.rerun()


def _counts() -> None:
    """In the sidebar: what goes on on this server, and what is kept."""
    states = backend().store.list.counts()
    st.subheader(_("On this server"))
    lines = [f"{states.get(state, 0)}&ensp;{_(state)}" for state in STATES_IN_ORDER]
    st.html("<div style='font-variant-numeric: tabular-nums; line-height: 1.7'>" + "<br>".join(lines) + "</div>")
    most = backend().store.limits.run_workers
    st.caption(_("{n} at a time, in turns between those who asked. Closing the page stops none.").format(n=most))


def _found(most: int) -> list[str]:
    """The ids of the first so many runs that the controls above ask for: pinned first, then the newest."""
    chosen = st.session_state  # without what a poll's message does not name
    states = STATES[chosen.get("runs_states", "all")]
    return runs_found(most, states, chosen.get("runs_search", ""), chosen.get("runs_mine", False))


def _empty() -> None:
    if any_run():
        st.info(_("No run matches. Take words out of the search, or show all states."))
    else:
        st.info(_("No run yet. Choose a recipe in the Lab and press Run: it appears here, and stays."))
        st.page_link(LAB, label=_("Open the Lab"))


def _selected() -> None:
    """Below the list: the run that is selected, or several side by side."""
    picked = runs_state().selected
    rows = [row for row in map(row_of, picked) if row is not None]
    if gone := [run for run in picked if run not in {row.id for row in rows}]:
        st.info(_("There is no run {runs} any more: it was deleted.").format(runs=plain(", ".join(gone), 200)))
        runs_state().selected = [row.id for row in rows]
        if st.query_params.get("run") in gone:
            runs_detail.forget()
    if len(rows) == 1:
        runs_state().followed = st.query_params["run"] = rows[0].id
        runs_detail.show(rows[0])
    elif rows:
        runs_comparison.show(rows)
    elif not gone and any_run():
        st.caption(_("Select a run to see it; tick two or more to compare them."))


page()
