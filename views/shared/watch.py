"""A part of a page that goes on by itself: asked for over HTTP where a server answers, else drawn by polls.

The script beside this file reads the keys that are declared here and no others: tests/views/test_components.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import streamlit as st

from views.entrance.watches import PATH, WATCHES, News
from views.shared.components import component_of, in_a_list
from views.shared.language import in_language, reader
from views.shared.person import person
from views.shared.state import shared_state

_watch = component_of(Path(__file__).parent, "watch")


class WatchData(TypedDict):
    path: str
    token: str
    """Of the part: the element that shows it bears it as `data-watch`."""
    seconds: float
    """Until it is shown again, or sooner where there is more to tell."""


class AgainData(TypedDict):
    token: str


class WatchTriggers(TypedDict):
    again: AgainData


def go_on(
    place: str,
    draw: Callable[[str, str], None],
    news: Callable[[], News],
    ready: Callable[[], bool],
    seconds: float,
) -> None:
    """Draw the part by `draw(html, token)` and go on with its `news`, first after so many seconds, until they are over;
    at once where `ready` says that there is more to tell.

    `news` knows no session: it may run where no page is drawn. Where the page itself has to be drawn, it is.
    """
    if not WATCHES.answered:
        now = news()
        if now.over and not now.again:  # drawn with the page, which is not drawn once more
            draw(now.html, "")
        else:
            st.fragment(_poll, run_every=seconds, key=place)(draw, news, [now])
        return
    locale = reader()

    def read() -> News:
        with in_language(locale):
            return news()

    token = WATCHES.put(person(), _at(place), read, ready)
    draw(news().html, token)
    _watch(
        key=f"watch_{place}",
        data=in_a_list(WatchData(path=PATH, token=token, seconds=seconds)),
        on_again_change=_nothing,
    )


def end(place: str) -> None:
    """What the part shows is asked for no more: another one is about to take its place."""
    WATCHES.drop(person(), _at(place))


def _at(place: str) -> str:
    return f"{shared_state().tab}:{place}"


def _poll(draw: Callable[[str, str], None], news: Callable[[], News], first: list[News]) -> None:
    """`first` is what is drawn with the page: what is over by the next look is drawn by a poll."""
    now = first.pop() if first else news()
    if now.again:
        st.rerun()
    draw(now.html, "")
    if now.over:
        st.rerun()


def _nothing() -> None:
    """That the script runs is all that is wanted."""
