"""Before anybody comes a server has its workers, and one that opens no browser has all models open too."""

from concurrent.futures import Future
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from sample_models import MODELS
from views import launch
from views.entrance.access import Access


@pytest.mark.parametrize("headless", [True, False])
def test_models_are_opened_ahead_where_no_browser_opens(headless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    opened: list[str] = []

    def call(_function: Any, name: str) -> Future[Any]:
        asked.append(name)
        answer: Future[Any] = Future()
        answer.set_result(None)
        return answer

    backend = SimpleNamespace(call=call, store=SimpleNamespace(home=None))
    monkeypatch.setattr(launch, "backend", lambda: backend)
    monkeypatch.setattr(launch, "open_all", opened.append)
    monkeypatch.setattr(launch.sys, "setswitchinterval", lambda _: None)
    monkeypatch.setattr(launch, "hide", lambda: None)
    for name in ("load", "application", "serve"):
        monkeypatch.setattr(launch.serving, name, lambda *_: None)
    monkeypatch.setattr(launch.serving, "taken", lambda *_: nullcontext())
    launch.launch(8501, headless, Access())
    first = next(iter(MODELS))
    assert asked == [first]
    assert opened == ([first] if headless else [])
