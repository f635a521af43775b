"""The backend is there once, whatever a page's messages clear."""

import threading
import time

import pytest
import streamlit as st

from views.shared import server


class Made:
    """Stands for a backend with its workers."""

    asked: list[str]

    def __init__(self) -> None:
        self.asked = []

    def open_ahead(self, function: object, names: list[str]) -> None:
        self.asked.extend(names)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Made]:
    """The backends that were started."""
    started: list[Made] = []

    def start(home: object) -> Made:
        time.sleep(0.05)  # workers take their time, in which other pages ask too
        started.append(Made())
        return started[-1]

    monkeypatch.setattr(server, "made_backend", start)
    monkeypatch.setattr(server._Shared, "backend", None)
    monkeypatch.setattr(server._Shared, "opened_ahead", False)
    monkeypatch.setattr("gc.freeze", lambda: None)
    return started


def test_what_clears_streamlits_caches_does_not_start_another_backend(made: list[Made]) -> None:
    first = server.backend()
    st.cache_resource.clear()
    st.cache_data.clear()
    assert server.backend() is first and len(made) == 1


def test_pages_that_open_at_once_share_one_backend(made: list[Made]) -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(server.backend())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and set(map(id, found)) == {id(made[0])}


def test_models_are_opened_ahead_once_for_the_server_also_after_the_caches_were_cleared(made: list[Made]) -> None:
    for _ in range(2):
        server.open_all("mlp_128")
        st.cache_resource.clear()
    assert made[0].asked[0] == "mlp_128" and len(made[0].asked) == len(set(made[0].asked))
