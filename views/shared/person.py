"""Who is at the page: what a run belongs to, and what limits count."""

from urllib.parse import unquote

import streamlit as st

from pruning.execution.store.ownership import machine_user


def person() -> str:
    """The person at this page, by a name that stays the same after a reload, in another tab and the next day.

    The server's door names a browser by its signed cookie, or says what the proxy calls the user. Without a door
    (`streamlit run app.py`, tests) everybody is the user whose machine it is.
    """
    found = st.user.get("person")
    return unquote(found) if isinstance(found, str) and found else machine_user()


def is_owner() -> bool:
    """Whether it is the server's owner, who may change what belongs to others."""
    return not st.user.get("person") or st.user.get("owner") == "yes"


def shown_name(name: str) -> str:
    """What a person is called on the page."""
    kind, _dash, rest = name.partition("-")
    return {"user": rest, "machine": rest, "browser": rest[:6]}.get(kind, name) if rest else name
