"""What a session's scripts wait for. A newer run of the page takes back what an older one still asks."""

from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from views.shared.state import remembered


@dataclass
class WaitingState:
    asked: set[Future[Any]] = field(default_factory=set[Future[Any]])
    """What has been asked and is not answered."""


@contextmanager
def waiting_for(asked: Future[Any]) -> Generator[None]:
    """While the block waits for what was asked, a newer run of the page can take it back."""
    waiting = remembered(WaitingState).asked
    waiting.add(asked)
    try:
        yield
    finally:
        waiting.discard(asked)


def take_back_what_is_asked() -> None:
    """The page is drawn anew: nobody will see what an older run of it still waits for.

    Streamlit starts the newer run while the older one waits, and the workers have others to answer.
    """
    for asked in list(remembered(WaitingState).asked):
        asked.cancel()
