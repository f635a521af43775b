"""Parts of pages that are asked for over HTTP: whose they are, what takes whose place, and what is remembered."""

import json
from collections.abc import Callable

import pytest
from starlette.applications import Starlette

from tests.views.entrance.asking import Answer, ask, door_of
from views.entrance import watches
from views.entrance.access import Access
from views.entrance.door import PERSON_HEADER
from views.entrance.watches import News, Watches


def says(html: str) -> Callable[[], News]:
    return lambda: News(html)


def test_a_part_is_its_persons_and_nobody_elses() -> None:
    kept = Watches()
    token = kept.put("anna", "1:score", says("91 %"))
    assert kept.news("anna", token) == News("91 %")
    assert kept.news("bert", token) is None
    assert kept.news("anna", token[::-1]) is None


def test_a_newer_part_takes_the_place_of_the_older() -> None:
    """Else the browser's late question about an older cut would be followed instead of the newer one's."""
    kept = Watches()
    older = kept.put("anna", "1:score", says("older"))
    other_tab = kept.put("anna", "2:score", says("other tab"))
    newer = kept.put("anna", "1:score", says("newer"))
    assert kept.news("anna", older) is None
    assert kept.news("anna", newer) == News("newer") and kept.news("anna", other_tab) == News("other tab")
    kept.drop("anna", "1:score")
    assert kept.news("anna", newer) is None and kept.news("anna", other_tab) is not None
    kept.drop("anna", "1:score")


def test_what_was_asked_for_last_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "MOST", 3)
    kept = Watches()
    tokens = [kept.put("anna", str(place), says(str(place))) for place in range(3)]
    assert kept.news("anna", tokens[0]) == News("0")
    kept.put("bert", "0", says("his"))
    assert [kept.news("anna", token) is not None for token in tokens] == [True, False, True]
    again = kept.put("anna", "1", says("again"))  # the place of what was forgotten
    assert kept.news("anna", again) == News("again")


def answer_to(app: Starlette, token: str, person: str, method: str = "GET") -> Answer:
    return ask(app, f"/live/{token}", method, headers={PERSON_HEADER: person})


def test_the_answer_is_json_that_no_browser_keeps() -> None:
    kept = Watches()
    assert not kept.answered
    app = Starlette(routes=kept.routes())
    assert kept.answered
    token = kept.put("ánna b", "1:score", lambda: News("<b>91 %</b>", over=True, seconds=3.0))
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
    token = kept.put("anna", "1:score", says("91 %"))
    assert b"91" not in ask(app, f"/live/{token}", headers={PERSON_HEADER: "anna"}).body
