"""The title of an experiment, which a person may change; the list of experiments follows."""

from collections.abc import Callable

import streamlit as st

from pruning.errors import PruningError
from views.runs.state import runs_state
from views.shared.language import _


def title_box(name: str, title: str, rename: Callable[[str, str], None], why: str) -> None:
    """A box with the title of the experiment of that name; `rename` takes the name and a new title.

    `why` says why it cannot be changed, "" = it can.
    """
    key = f"sweep_title_{name}"
    if key not in st.session_state:
        st.session_state[key] = title
    st.text_input(
        _("title"), key=key, placeholder=_("give {id} a title").format(id=name), max_chars=80,
        label_visibility="collapsed", on_change=_rename, args=(name, key, rename), width=320,
        disabled=bool(why), help=why or None,
    )  # fmt: skip


def _rename(name: str, key: str, rename: Callable[[str, str], None]) -> None:
    try:
        rename(name, st.session_state[key] or "")
    except PruningError as error:
        runs_state().problem = str(error)
    else:
        # a list is told by its labels which entry is chosen: of an entry that is called otherwise now it must be told
        runs_state().opened_sweep = name
