"""Moments as a person at the page reads them, by their own clock."""

from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import streamlit as st

from views.shared.language import _


def when(seconds: float, now: datetime) -> str:
    """A moment as a person at the page reads it: `14:05`, `yesterday 14:05`, `3 Nov 14:05`, `3 Nov 2025`."""
    then = datetime.fromtimestamp(seconds, now.tzinfo)
    if then.date() == now.date():
        return f"{then:%H:%M}"
    if then.date() == now.date() - timedelta(days=1):
        return _("yesterday {time}").format(time=f"{then:%H:%M}")
    return f"{then.day} {then:%b %H:%M}" if then.year == now.year else f"{then.day} {then:%b %Y}"


def reader_zone() -> tzinfo | None:
    """The reader's, else the server's."""
    try:
        return ZoneInfo(st.context.timezone) if st.context.timezone else None
    except (KeyError, ValueError, OSError):
        return None
