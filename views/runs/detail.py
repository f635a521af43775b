"""One run on the page Runs: its name, what can be done with it, its panel and its result."""

from html import escape

import streamlit as st

from pruning.errors import PruningError
from pruning.execution.store.records import RunRow
from pruning.reporting.run_history import plain_recipe, settings
from views.runs.comparison import CSS
from views.runs.state import runs_state
from views.shared import recipe_sidebar, run_panel, run_result
from views.shared.language import _
from views.shared.pages import LAB
from views.shared.server import backend
from views.shared.state import shared_state

LONGEST_TITLE = 80


def show(row: RunRow) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _title(row)
        st.button(
            _("Unpin") if row.pinned else _("Pin"),
            key="pin",
            on_click=_pin,
            args=(row,),
            help=_("Pinned runs stay on top of the list."),
        )
        words = row.unreadable or _("Sets the Lab's controls to this run's recipe.")
        reopen = st.button(_("Open in the Lab"), key="reopen", disabled=bool(row.unreadable), help=words)
        words = _("Stop it first.") if not row.over else _("Removes the run and its files; asks once more.")
        st.button(_("Delete"), key="delete", on_click=_ask_to_delete, args=(row.id,), disabled=not row.over, help=words)
    if runs_state().deleting == row.id and row.over:
        _confirm(row)
    if problem := runs_state().problem:
        runs_state().problem = ""
        st.error(problem)
    if row.unreadable:
        st.warning(_("This run is {sentence}. It can be looked at and deleted.").format(sentence=row.unreadable))
    if reopen:
        _reopen(row)
    left, right = st.columns([3, 2], gap="large")
    with left:
        run_panel.show()
    with right:
        _recipe(row)
    run_result.show(row)


def forget() -> None:
    """The run is gone: no page shows it any more."""
    st.query_params.pop("run", None)
    shared_state().shown_run = runs_state().followed = None


def _title(row: RunRow) -> None:
    """The title where it stands: what is typed is kept at once. What another tab typed meanwhile is shown."""
    key = f"title_{row.id}"
    if runs_state().title_known != (row.id, row.title):
        runs_state().title_known = (row.id, row.title)
        st.session_state[key] = row.title
    st.text_input(
        _("title"), key=key, placeholder=_("give {id} a title").format(id=row.id), max_chars=LONGEST_TITLE,
        label_visibility="collapsed", on_change=_rename, args=(row.id, key), width=320,
    )  # fmt: skip


def _rename(run: str, key: str) -> None:
    try:
        backend().store.rename(run, st.session_state[key] or "")
    except PruningError as error:
        runs_state().problem = str(error)


def _pin(row: RunRow) -> None:
    try:
        backend().store.pin(row.id, not row.pinned)
    except PruningError as error:
        runs_state().problem = str(error)


def _ask_to_delete(run: str) -> None:
    runs_state().deleting = run


def _confirm(row: RunRow) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(_("Delete this run, its curves and its files? They cannot be brought back."), width="content")
        st.button(_("Delete for good"), key="delete_for_good", type="primary", on_click=_delete, args=(row.id,))
        st.button(_("Keep it"), key="keep", on_click=_ask_to_delete, args=("",))


def _delete(run: str) -> None:
    runs_state().deleting = ""
    try:
        backend().store.delete(run)
    except PruningError as error:
        runs_state().problem = str(error)
        return
    runs_state().selected = []
    forget()


def _reopen(row: RunRow) -> None:
    try:
        recipe_sidebar.reopen(row.recipe)
    except PruningError as error:
        st.error(_("{sentence}. The run itself stays as it is.").format(sentence=str(error).rstrip(".")))
    else:
        st.switch_page(LAB)


def _recipe(row: RunRow) -> None:
    """Every setting, by the name that it has in the recipe's file."""
    with st.expander(_("Recipe"), expanded=row.over):
        st.html(CSS + recipe_html(row.recipe_json))


def recipe_html(recipe_json: str) -> str:
    """A row for each setting."""
    lines = "".join(
        f"<tr><th scope='row'>{escape(setting.name)}</th><td>{escape(setting.values[0] or '')}</td></tr>"
        for setting in settings([plain_recipe(recipe_json)])
        if setting.name != "version"
    )
    return f"<div class='scroll'><table class='runs'>{lines}</table></div>"
