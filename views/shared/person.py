"""Who is at the page: what a run belongs to, what limits count, and who may change it."""

from dataclasses import dataclass
from urllib.parse import unquote

import streamlit as st

from pruning.execution.store.ownership import Who, machine_user, may_change, shown_name
from views.entrance.access import is_loopback
from views.shared.language import _
from views.shared.plain_text import plain
from views.shared.state import remembered


def person() -> str:
    """The person at this page, by a name that stays the same after a reload, in another tab and the next day.

    The server's door names a browser by its signed cookie, or says what the proxy calls the user. Without a door
    (`streamlit run app.py`, tests) everybody is the user whose machine it is.
    """
    return who().person


def who() -> Who:
    """The person, and whether it is the server's owner: without a door whoever sits at the machine."""
    known = remembered(PersonState)
    if known.who is None:  # it stays the same for a session, and to ask Streamlit each time it looks for files
        found = st.user.get("person")
        name = unquote(found) if isinstance(found, str) and found else machine_user()
        known.who = Who(name, owner=not found or st.user.get("owner") == "yes")
    return known.who


@dataclass
class PersonState:
    who: Who | None = None


def came_past_the_door() -> bool:
    """Whether somebody on another machine opened a page of `streamlit run app.py`, which listens everywhere and asks
    nothing: there everybody would be the machine's user.
    """
    address = st.context.ip_address  # None where it is this machine's
    return not st.user.get("person") and isinstance(address, str) and not is_loopback(address)


def not_yours(session: str) -> str:
    """Why what was made in this session's name cannot be changed here; "" where it can."""
    if may_change(session, who()):
        return ""
    if name := shown_name(session):
        return _("It belongs to {name}: only they, and whoever runs the server, can change it.").format(
            name=plain(name, 60)
        )
    return _("It was made by somebody who is not known any more: only whoever runs the server can change it.")
