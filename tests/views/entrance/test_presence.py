"""Who is here, by the door's count."""

import time

import pytest

from tests.views.entrance.asking import ask, door_of
from tests.views.entrance.test_frames import message
from views.entrance import door, presence
from views.entrance.access import Access
from views.entrance.presence import Presence, Present


def test_pages_are_counted_while_they_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 100.0)
    here = Presence()
    with here.page("anna"), here.page("bert"):
        with here.page("anna"):
            assert here.all() == [Present("anna", 2, 100.0), Present("bert", 1, 100.0)]
        monkeypatch.setattr(time, "time", lambda: 200.0)
        here.heard("bert")
        assert [one.person for one in here.all()] == ["bert", "anna"]
    assert here.all() == [Present("anna", 0, 200.0), Present("bert", 0, 200.0)]


def test_who_has_gone_is_forgotten_when_many_came_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "MOST", 3)
    here = Presence()
    with here.page("stays"):
        for number in range(10):
            with here.page(str(number)):
                pass
        assert {one.person for one in here.all()} == {"stays", "8", "9"}


def test_the_door_tells_of_pages_and_of_what_they_send(monkeypatch: pytest.MonkeyPatch) -> None:
    here, heard = Presence(), list[str]()
    monkeypatch.setattr(door, "PRESENCE", here)
    monkeypatch.setattr(here, "heard", heard.append)
    frames = [{"type": "websocket.receive", "bytes": each} for each in (message(stop_script=True), message())]
    ask(door_of(Access()), "/_stcore/stream", scheme="ws", frames=frames)
    # as it opens, for the one message that passes, and as it closes; the page itself and its files count for nothing
    assert len(heard) == 3 and len(set(heard)) == 1
    ask(door_of(Access()), "/")
    assert len(heard) == 3
