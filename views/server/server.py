"""Server: for whoever runs it. Who is here, what goes on, and how to end it. Reads as the page looks."""

import streamlit as st

from pruning.errors import PruningError
from pruning.execution.server_desk import ServerDesk
from pruning.execution.store.disk_share import DiskShare
from pruning.execution.store.records import RunRow
from pruning.reporting.formatting import count, si
from views.entrance.presence import PRESENCE, Present
from views.server import tables
from views.server.components import BoardData, board
from views.server.state import Asked, server_page_state
from views.shared.language import _
from views.shared.person import who
from views.shared.plain_text import plain
from views.shared.server import backend

# what asks once more stays in sight, also of who pressed a button far below
CSS = """<style>
[data-testid=stLayoutWrapper]:has(> .st-key-second_word) { position: sticky; top: 3.4rem; z-index: 2; }
.st-key-second_word:has(button) { background: Canvas; }
@media (max-width: 780px) {
  .st-key-second_word, [data-testid=stLayoutWrapper]:has(> .st-key-second_word) { height: 176px !important; }
}
</style>"""
POLL_S = 5.0  # what goes on is read, not followed: the server has others to serve


def page() -> None:
    st.subheader(_("Server"))
    if not who().owner:
        words = _("This page is for whoever runs the server. They sign in at {address} with the owner's password.")
        st.info(words.format(address="/sign-in"))
        return
    st.html(CSS)
    st.fragment(_now, run_every=POLL_S, key="server_now")()


def _now() -> None:
    """All of it, as it is at this moment."""
    try:
        desk, store = ServerDesk(backend(), who()), backend().store
        state, disk, here = desk.state(), desk.disk_shares(), PRESENCE.all()
        live, order = store.runs(("queued", "running")), store.queue()
        paused = {row.id: why for row in live if (why := store.paused(row))}
    except PruningError as error:
        st.error(plain(error))
        return
    st.caption(_summary(here, live, disk))
    _second_word()
    for title, data in (
        (_("People"), tables.people(here, live, disk, state)),
        (_("Runs"), tables.runs(live, order, paused)),
        (_("Workers"), tables.workers(state, live)),
        (_("Questions"), tables.questions(state)),
    ):
        st.subheader(title)
        board(data, lambda action, which, data=data: _ask(action, which, data), key=f"board_{data['label']}")


def _summary(here: list[Present], live: list[RunRow], disk: list[DiskShare]) -> str:
    pages = sum(one.pages for one in here)
    running = len({row.carrier for row in live if row.state == "running"})
    waiting = len({row.carrier for row in live if row.state == "queued"})
    words = _(
        "people here: {people}, pages open: {pages} · runs going on: {running}, waiting: {waiting} · disk: {disk} of "
        "runs, {free} free"
    )
    return words.format(
        people=count(sum(one.pages > 0 for one in here)), pages=count(pages), running=count(running),
        waiting=count(waiting), disk=si(sum(share.bytes for share in disk), "B"),
        free=si(backend().store.disk.free(), "B"),
    )  # fmt: skip


def _ask(action: str, which: str, data: BoardData) -> None:
    row = next(row for row in data["rows"] if row["id"] == which)
    button = next(button for button in row["buttons"] if button["action"] == action)
    words = _("{what}? {help}").format(what=button["label"], help=button["help"])
    server_page_state().asked = Asked(action, which, words, button["text"])


def _second_word() -> None:
    """What a button's press asks, in a place that is kept free for it: nothing moves."""
    state = server_page_state()
    with st.container(
        border=state.asked is not None, horizontal=True, vertical_alignment="center", height=72, key="second_word"
    ):
        if state.asked is not None:
            st.markdown(plain(state.asked.question), width="stretch")
            st.button(_("Yes"), key="do_it", type="primary", on_click=_do, args=(state.asked,))
            st.button(_("No"), key="leave_it", on_click=_forget)
        elif state.problem:
            st.markdown(plain(state.problem), width="stretch")
        else:
            st.caption(state.done or _("A button in the tables asks here once more before it does anything."))


def _forget() -> None:
    state = server_page_state()
    state.asked, state.problem, state.done = None, "", ""  # what an earlier click came to is not this one's answer


def _do(asked: Asked) -> None:
    state = server_page_state()
    state.asked, state.problem, state.done = None, "", ""
    desk = ServerDesk(backend(), who())
    try:
        if asked.action == "stop_waiting":
            state.done = _("stopped runs that waited: {n}").format(n=desk.stop_waiting(asked.id))
        elif asked.action == "end_questions":
            state.done = _("ended questions: {n}").format(n=desk.end_questions(asked.id))
        elif asked.action == "stop_run":
            desk.stop_run(asked.id)
            state.done = _("The run was asked to stop.")
        elif asked.action == "end_run":
            desk.end_run(asked.id)
            state.done = _("The run was ended.")
        elif asked.action == "restart_worker":
            desk.restart_worker(asked.id)
            state.done = _("The worker was ended; another takes its place.")
    except PruningError as error:
        state.problem = str(error)


page()
