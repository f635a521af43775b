"""One run on the page Runs: its name, what can be done with it, its panel and its result."""

from collections.abc import Callable
from html import escape

import streamlit as st

from pruning.errors import PruningError
from pruning.execution.store.records import RunRow
from pruning.reporting.run_history import plain_recipe, settings
from views.runs.comparison import CSS
from views.runs.state import runs_state
from views.shared import recipe_sidebar, run_panel, run_result
from views.shared.changes import changes
from views.shared.language import _
from views.shared.pages import LAB
from views.shared.person import not_yours
from views.shared.plain_text import plain
from views.shared.state import shared_state

LONGEST_TITLE = 80


def show(row: RunRow) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        why = not_yours(row.session)
        _title(row, why)
        st.button(
            _("Unpin") if row.pinned else _("Pin"), key="pin", on_click=_do, disabled=bool(why),
            args=(lambda: changes().pin(row.id, not row.pinned),),
            help=why or _("Pinned runs stay on top of the list."),
        )  # fmt: skip
        words = plain(row.unreadable) or _("Sets the Lab's controls to this run's recipe.")
        reopen = st.button(_("Open in the Lab"), key="reopen", disabled=bool(row.unreadable), help=words)
        words = _("Into the wastebasket, for a week; asks once more.") if row.over else _("Stop it first.")
        st.button(
            _("Delete"), key="delete", on_click=_ask_to_delete, args=(row.id,), disabled=bool(why) or not row.over,
            help=why or words,
        )  # fmt: skip
        _private(row, why)
    if runs_state().deleting == row.id and row.over:
        _confirm(row)
    if problem := runs_state().problem:
        runs_state().problem = ""
        st.error(plain(problem))
    if row.unreadable:
        words = _("This run is {sentence}. It can be looked at and deleted.")
        st.warning(words.format(sentence=plain(row.unreadable)))
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


def _title(row: RunRow, why: str) -> None:
    """The title where it stands: what is typed is kept at once. What another tab typed meanwhile is shown."""
    key = f"title_{row.id}"
    if runs_state().title_known != (row.id, row.title):
        runs_state().title_known = (row.id, row.title)
        st.session_state[key] = row.title
    st.text_input(
        _("title"), key=key, placeholder=_("give {id} a title").format(id=row.id), max_chars=LONGEST_TITLE,
        label_visibility="collapsed", on_change=_rename, args=(row.id, key), width=320,
        disabled=bool(why), help=why or None,
    )  # fmt: skip


def _rename(run: str, key: str) -> None:
    _do(lambda: changes().rename(run, st.session_state[key] or ""))


def _private(row: RunRow, why: str) -> None:
    """The tick that hides the run from others."""
    key = f"private_{row.id}"
    st.session_state[key] = row.private
    words = why or _("Others do not see it in the list, and its address shows them nothing.")
    st.checkbox(
        _("private"), key=key, disabled=bool(why), help=words, on_change=_do,
        args=(lambda: changes().hide(row.id, not row.private),),
    )  # fmt: skip


def _do(change: Callable[[], None]) -> None:
    try:
        change()
    except PruningError as error:
        runs_state().problem = str(error)


def _ask_to_delete(run: str) -> None:
    runs_state().deleting = run


def _confirm(row: RunRow) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        words = _("Delete this run, its curves and its files? They can be put back for a week.")
        st.markdown(words, width="content")
        st.button(_("Delete it"), key="delete_it", type="primary", on_click=_delete, args=(row.id,))
        st.button(_("Keep it"), key="keep", on_click=_ask_to_delete, args=("",))


def _delete(run: str) -> None:
    runs_state().deleting = ""
    try:
        changes().throw(run)
    except PruningError as error:
        runs_state().problem = str(error)
        return
    runs_state().selected = []
    forget()


def _reopen(row: RunRow) -> None:
    try:
        recipe_sidebar.reopen(row.recipe)
    except PruningError as error:
        st.error(_("{sentence}. The run itself stays as it is.").format(sentence=plain(str(error).rstrip("."))))
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
