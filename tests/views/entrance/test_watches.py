"""Parts of pages that are asked for over HTTP: whose they are, what takes whose place, and what is remembered."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from starlette.applications import Starlette

from tests.views.entrance.asking import Answer, ask, door_of
from views.entrance import watches
from views.entrance.access import Access
from views.entrance.door import PERSON_HEADER
from views.entrance.watches import News, Watches


def says(html: str) -> Callable[[], News]:
    return lambda: News(html)


def never() -> bool:
    return False


def test_a_part_is_its_persons_and_nobody_elses() -> None:
    kept = Watches()
    token = kept.put("anna", "1:score", says("91 %"), never)
    assert kept.news("anna", token) == News("91 %")
    assert kept.news("bert", token) is None
    assert kept.news("anna", token[::-1]) is None


def test_a_newer_part_takes_the_place_of_the_older() -> None:
    """Else the browser's late question about an older cut would be followed instead of the newer one's."""
    kept = Watches()
    older = kept.put("anna", "1:score", says("older"), never)
    other_tab = kept.put("anna", "2:score", says("other tab"), never)
    newer = kept.put("anna", "1:score", says("newer"), never)
    assert kept.news("anna", older) is None
    assert kept.news("anna", newer) == News("newer") and kept.news("anna", other_tab) == News("other tab")
    kept.drop("anna", "1:score")
    assert kept.news("anna", newer) is None and kept.news("anna", other_tab) is not None
    kept.drop("anna", "1:score")


def test_what_was_asked_for_last_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "MOST", 3)
    kept = Watches()
    tokens = [kept.put("anna", str(place), says(str(place)), never) for place in range(3)]
    assert kept.news("anna", tokens[0]) == News("0")
    kept.put("bert", "0", says("his"), never)
    assert [kept.news("anna", token) is not None for token in tokens] == [True, False, True]
    again = kept.put("anna", "1", says("again"), never)  # the place of what was forgotten
    assert kept.news("anna", again) == News("again")


def answer_to(app: Starlette, token: str, person: str, method: str = "GET") -> Answer:
    return ask(app, f"/live/{token}", method, headers={PERSON_HEADER: person})


def test_the_answer_is_json_that_no_browser_keeps() -> None:
    kept = Watches()
    assert not kept.answered
    app = Starlette(routes=kept.routes())
    assert kept.answered
    token = kept.put("ánna b", "1:score", lambda: News("<b>91 %</b>", over=True, seconds=3.0), never)
    given = answer_to(app, token, "%C3%A1nna%20b")
    assert given.status == 200 and given.headers["cache-control"] == "no-store"
    assert json.loads(given.body) == {"html": "<b>91 %</b>", "over": True, "again": False, "seconds": 3.0}
    nothing = {"html": "", "over": False, "again": True, "seconds": 0.25}
    assert json.loads(answer_to(app, token, "bert").body) == nothing
    assert json.loads(answer_to(app, "nothing", "%C3%A1nna%20b").body) == nothing
    assert answer_to(app, token, "%C3%A1nna%20b", "POST").status == 405


def test_the_door_says_who_asks_and_not_the_browser() -> None:
    kept = Watches()
    app = door_of(Access(), Starlette(routes=kept.routes()))
    token = kept.put("anna", "1:score", says("91 %"), never)
    assert b"91" not in ask(app, f"/live/{token}", headers={PERSON_HEADER: "anna"}).body


def held(kept: Watches, token: str, seconds: float, person: str = "anna") -> float:
    """Seconds for which an answer is held back. TimeoutError where that seems to have no end."""
    began = time.monotonic()
    asyncio.run(asyncio.wait_for(kept.until_ready(person, token, seconds), 30.0))
    return time.monotonic() - began


def test_an_answer_is_held_back_until_there_is_more_to_show_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "LONGEST_S", 600.0)
    kept, ready = Watches(), threading.Event()
    token = kept.put("anna", "1:score", says("91 %"), ready.is_set)
    assert held(kept, token, 0.5) >= 0.5
    threading.Timer(0.3, ready.set).start()
    assert held(kept, token, 600.0) >= 0.25
    held(kept, "nothing", 600.0)
    held(kept, kept.put("anna", "2:score", says("91 %"), never), 600.0, "bert")


def test_who_has_left_meanwhile_asks_for_no_more() -> None:
    """Else a tab that was closed would be answered for as long as one that is open."""
    kept = Watches()
    told: list[int] = []

    def news() -> News:
        told.append(1)
        return News("91 %")

    app = Starlette(routes=kept.routes())
    address = f"/live/{kept.put('anna', '1:score', news, never)}?wait=0.3"
    ask(app, address, headers={PERSON_HEADER: "anna"}, leaves=True)
    assert not told
    assert b"91" in ask(app, address, headers={PERSON_HEADER: "anna"}).body and told


def test_nothing_holds_an_answer_back_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "LONGEST_S", 0.4)
    kept = Watches()
    token = kept.put("anna", "1:score", says("91 %"), never)
    assert held(kept, token, 1e9) >= 0.4


def test_an_answer_is_held_back_no_longer_once_something_else_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "LONGEST_S", 600.0)
    kept = Watches()
    token = kept.put("anna", "1:score", says("91 %"), never)
    threading.Timer(0.3, kept.drop, ("anna", "1:score")).start()
    assert held(kept, token, 600.0) >= 0.25
    assert kept.news("anna", token) is None


@pytest.mark.parametrize("wait", ["", "0", "-1", "nan", "inf", "1e9", "0x10", "9999", "1" * 5000, "٣"])
def test_a_wait_that_says_no_time_is_none(wait: str) -> None:
    kept = Watches()
    app = Starlette(routes=kept.routes())
    token = kept.put("anna", "1:score", says("91 %"), lambda: pytest.fail("it waits"))
    assert ask(app, f"/live/{token}?wait={quote(wait)}", headers={PERSON_HEADER: "anna"}).status == 200
