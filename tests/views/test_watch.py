"""The Lab's strip where a server answers for it: drawn once, then asked for by the browser until all is known."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pruning.errors import JobError
from pruning.execution.followed import Progress
from pruning.execution.store.ownership import machine_user
from pruning.interactive.queries import estimate, look
from pruning.repair import LeastSquares
from pruning.reporting.formatting import count, percent
from pruning.selection.amounts import Sparsity
from tests.views.conftest import InProcess
from tests.views.test_lab_page import QUICK, opened, settled, strip
from views.entrance.watches import WATCHES, News
from views.shared import language
from views.shared.language import _, in_language

CNN = replace(QUICK, workload="fashion_cnn")
"""Evaluated in several slices. Each test has a cut of its own: what was evaluated is kept."""


@pytest.fixture(autouse=True)
def answered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As with a server in this process."""
    monkeypatch.setattr(WATCHES, "answered", True)
    yield
    with WATCHES._lock:  # pyright: ignore[reportPrivateUsage]
        WATCHES._watches.clear()  # pyright: ignore[reportPrivateUsage]
        WATCHES._at.clear()  # pyright: ignore[reportPrivateUsage]


def watched(app: AppTest) -> dict[str, Any]:
    """What the component is given that asks for the strip."""
    texts = [getattr(getattr(element, "proto", None), "json", "") for element in app.main]
    (data,) = [json.loads(text)[0] for text in texts if '"token"' in text]
    return data


def asked(token: str) -> News | None:
    return WATCHES.news(machine_user(), token)


def test_the_strip_goes_on_without_the_script(app: AppTest, backend: InProcess) -> None:
    opened(app, CNN)
    assert "measured" not in strip(app)
    data = watched(app)
    assert f'data-watch="{data["token"]}"' in strip(app) and data["path"] == "live"
    news = asked(data["token"])
    for _n in range(100):
        if news is None or news.over:
            break
        assert ("estimated" in news.html or "→ …" in news.html) and news.seconds > 0  # gzip is the last to be known
        news = asked(data["token"])
    assert news is not None and news.over and not news.again
    now, seen = look(backend.lab, CNN, "score"), estimate(backend.lab, CNN, 0.0)
    assert f"measured {percent(seen.estimate.score, 2)} on all" in news.html and count(now.nonzero) in news.html
    settled(app)
    assert "data-watch" not in strip(app)  # all is known: nothing is asked for any more


def test_a_move_is_not_answered_with_the_cut_before_it(app: AppTest) -> None:
    opened(app, replace(CNN, amount=Sparsity(0.61)))
    before = watched(app)["token"]
    app.slider(key="amount.sparsity.share").set_value(90.0).run()
    assert asked(before) is None and asked(watched(app)["token"]) is not None


def test_a_repair_is_asked_for_once_the_cut_rests(app: AppTest) -> None:
    opened(app, replace(QUICK, amount=Sparsity(0.5), repair=LeastSquares()))
    token = watched(app)["token"]
    for _n in range(100):
        news = asked(token)
        if news is None or news.over:
            break
    assert news is not None and news.over
    assert "without labels" in news.html and "may need no training" in news.html


def test_what_goes_wrong_is_for_the_page_to_say(
    app: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(app, replace(CNN, amount=Sparsity(0.62)))
    token = watched(app)["token"]
    with monkeypatch.context() as lost:
        lost.setattr(backend, "follow", lambda *_given, **_named: Progress(None, True, JobError("the worker was lost")))
        news = asked(token)
        assert news is not None and news.again
        app.run()
        assert ["the worker was lost" in error.value for error in app.error] == [True]
    app.run()
    assert not app.error and asked(watched(app)["token"]) is not None


def test_texts_are_in_the_language_of_the_page_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Backwards:
        def gettext(self, text: str) -> str:
            return text[::-1]

    found = language.catalogue
    monkeypatch.setattr(language, "catalogue", lambda locale: Backwards() if locale == "de" else found(locale))
    with in_language("de"):
        assert _("Lab") == "baL"
        with in_language(None):  # a browser that says no language
            assert _("Lab") == "Lab"
    assert _("Lab") == "Lab"


POLLED = """
import streamlit as st
from views.entrance.watches import News
from views.shared import watch
if "drawn" not in st.session_state:
    st.session_state.drawn, st.session_state.asked = 0, []
st.session_state.drawn += 1
looks = st.session_state.asked

def news():
    looks.append(1)
    return News(f"look {len(looks)}", len(looks) >= OVER)

watch.go_on("place", lambda html, _token: st.text(html), news, lambda: False, 60.0)
"""


@pytest.mark.parametrize("over", [1, 2, 9])
def test_what_is_over_soon_does_not_draw_the_page_once_more(over: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no server answers: a sentence that the page says once would be lost."""
    monkeypatch.setattr(WATCHES, "answered", False)
    page = AppTest.from_string(POLLED.replace("OVER", str(over))).run()
    assert page.text[0].value == "look 1" and page.session_state["drawn"] == 1
    assert len(page.session_state["asked"]) == 1 and not page.exception
