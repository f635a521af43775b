"""The page of whoever runs the server: what it says, what it ends, and that others see a sentence."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pruning.execution.server_state import ServerState, WorkerState
from pruning.execution.store.ownership import Who
from tests.views.conftest import InProcess
from tests.views.test_lab_page import QUICK
from views.entrance import presence
from views.entrance.presence import Presence
from views.gallery import server as gallery
from views.server import tables
from views.server.state import Asked, ServerPageState
from views.shared.person import PersonState

PAGE = "views/server/server.py"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Presence]:
    made = Presence()
    monkeypatch.setattr(presence, "PRESENCE", made)
    with made.page("user-anna"):
        yield made


def opened(app: AppTest) -> AppTest:
    app.run()
    app.switch_page(PAGE).run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    return " ".join(each.value for each in (*app.caption, *app.markdown, *app.info))


def rows(app: AppTest) -> dict[str, list[dict[str, object]]]:
    """Table -> its rows, as the component is given them."""
    found = [json.loads(each.proto.json)[0] for each in app.main if getattr(each, "type", "") == "bidi_component"]
    return {data["label"]: data["rows"] for data in found}


def pressed(app: AppTest, action: str, which: str) -> AppTest:
    app.session_state["ServerPageState"].asked = Asked(action, which, "Sure?", "Do")
    app.run()
    return app.button(key="do_it").click().run()


def test_who_runs_the_server_sees_people_runs_and_workers(app: AppTest, backend: InProcess, here: Presence) -> None:
    run = backend.start(QUICK, "user-anna")
    queued = backend.store.create(QUICK, "user-bert")
    opened(app)
    assert "people here: 1, pages open: 1 · runs going on: 1, waiting: 1" in said(app)
    found = rows(app)
    assert [row["cells"][0][0] for row in found["people"]] == ["anna", "bert"]  # type: ignore[index]
    assert [row["id"] for row in found["runs"]] == [run, queued]
    assert found["workers"][0]["cells"][1][0] == "estimate mlp_128"  # type: ignore[index]
    assert found["questions"] == []


def test_a_worker_that_is_starting_is_not_called_idle() -> None:
    both = [WorkerState(name, "runs", None, "", None, None, name == "one") for name in ("one", "two")]
    rows = tables.workers(ServerState(tuple(both), ()), [])["rows"]
    assert [row["cells"][1][0] for row in rows] == ["starting", "idle"]


def test_each_button_does_what_it_says_once_it_is_said_again(app: AppTest, backend: InProcess, here: Presence) -> None:
    run = backend.start(QUICK, "user-anna")
    queued = backend.store.create(QUICK, "user-bert")
    opened(app)
    assert "stopped runs that waited: 1" in said(pressed(app, "stop_waiting", "user-bert"))
    assert backend.store.run(queued).state == "stopped"
    assert "asked to stop" in said(pressed(app, "stop_run", run)) and backend.store.run(run).stopping
    assert "was ended" in said(pressed(app, "end_run", run)) and backend.store.run(run).state == "stopped"
    pressed(pressed(app, "end_questions", "user-anna"), "restart_worker", "one")
    assert backend.ended == ["user-anna", "one"]
    assert "there is no run" in said(pressed(app, "stop_run", "nothing-1"))


def test_nothing_happens_where_the_answer_is_no(app: AppTest, backend: InProcess, here: Presence) -> None:
    run = backend.start(QUICK, "user-anna")
    opened(app)
    state = app.session_state["ServerPageState"]
    state.asked, state.done = Asked("stop_run", run, "Sure?", "Stop"), "what an earlier click came to"
    app.run()
    app.button(key="leave_it").click().run()
    assert "earlier click" not in said(app)
    assert not backend.store.run(run).stopping and not [each for each in app.button if each.key == "do_it"]


def test_others_see_whose_page_it_is_and_nothing_else(app: AppTest, backend: InProcess, here: Presence) -> None:
    backend.start(QUICK, "user-anna")
    app.session_state["PersonState"] = PersonState(Who("user-bert"))
    app.session_state["ServerPageState"] = ServerPageState(Asked("stop_run", "x", "Sure?", "Stop"))
    opened(app)
    assert "This page is for whoever runs the server." in said(app)
    assert rows(app) == {} and not [each for each in app.button if each.key == "do_it"]


@pytest.mark.parametrize(("owner", "shown"), [(True, "visible"), (False, "hidden")])
def test_the_navigation_names_the_page_to_whoever_runs_the_server_alone(
    app: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch, owner: bool, shown: str
) -> None:
    seen: dict[str, str] = {}
    navigation = st.navigation

    def noted(pages: list[Any], **options: Any) -> Any:
        seen.update({page.title: page.visibility for page in pages})
        return navigation(pages, **options)

    monkeypatch.setattr(st, "navigation", noted)
    app.session_state["PersonState"] = PersonState(Who("user-bert", owner=owner))
    app.run()
    assert not app.exception and seen["Server"] == shown and seen["Runs"] == "visible"


def test_runs_stand_in_the_order_in_which_they_start_and_what_is_shared_once() -> None:
    data = tables.runs(gallery.LIVE, gallery.ORDER, gallery.PAUSED)
    assert [row["id"] for row in data["rows"]] == ["7f3a9c21-1", "0d2e11aa-1", "51cc0b7e-1", "51cc0b7e-2", "99ab34ef-1"]
    first, stopping, following, second, paused = data["rows"]
    assert first["cells"][1][0] == "browser a1b2c3, bert"
    assert first["cells"][4][0] == "1\u202fh 13\u202fmin"  # 4000 s of attempts before, and 380 s of this one
    assert [button["off"] != "" for button in first["buttons"]] == [False, True]
    assert [button["off"] != "" for button in stopping["buttons"]] == [True, False]
    assert [row["cells"][2] for row in (following, second)] == [("queued", "next"), ("queued", "1 ahead of it")]
    assert paused["cells"][2] == ("paused", gallery.PAUSED["99ab34ef-1"])


def test_people_keep_their_places_when_others_are_heard() -> None:
    def order(seen: float) -> list[str]:
        here = [presence.Present("user-bert", 1, seen), presence.Present("user-anna", 1, 50.0)]
        gone = presence.Present("user-aaron", 0, time.time())
        return [row["id"] for row in tables.people([*here, gone], [], [], gallery.IDLE)["rows"]]

    assert order(10.0) == order(time.time()) == ["user-anna", "user-bert", "user-aaron"]


def test_a_person_is_told_by_everything_that_is_theirs() -> None:
    data = tables.people(gallery.HERE, gallery.LIVE, gallery.DISK, gallery.FULL)
    bert = next(row for row in data["rows"] if row["id"] == gallery.BERT)
    assert [main for main, _ in bert["cells"]][:1] + [main for main, _ in bert["cells"]][3:] == [
        "bert", "1", "2", "1", "3.22\u202fGB",
    ]  # fmt: skip
    assert bert["cells"][6][1] == "runs: 112"
    nobody = next(row for row in data["rows"] if row["id"] == "")
    assert nobody["cells"][0][0] == "nobody who is known"
    assert [button["off"] != "" for button in nobody["buttons"]] == [False, True]
