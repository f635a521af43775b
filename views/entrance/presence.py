"""Who is here: how many pages each person has open, and when a page of theirs was last heard."""

import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

MOST = 1000
"""People who are remembered once they have gone, the last first."""


@dataclass(frozen=True)
class Present:
    """`seen` is when a page of theirs last sent something, in seconds since 1970."""

    person: str
    pages: int
    seen: float


class Presence:
    """Pages are counted by their WebSockets: the door tells of each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # the door's thread writes, the pages' read
        self._pages = Counter[str]()
        self._seen: dict[str, float] = {}

    @contextmanager
    def page(self, person: str) -> Generator[None]:
        """A page of theirs is open while the block lasts."""
        self.heard(person)
        with self._lock:
            self._pages[person] += 1
        try:
            yield
        finally:
            self.heard(person)
            with self._lock:
                self._pages[person] -= 1
                self._forget()

    def heard(self, person: str) -> None:
        with self._lock:
            self._seen.pop(person, None)
            self._seen[person] = time.time()  # at the end: who was heard last

    def all(self) -> list[Present]:
        """Those with a page open first, then who was heard last."""
        with self._lock:
            found = [Present(person, self._pages[person], seen) for person, seen in reversed(self._seen.items())]
        return sorted(found, key=lambda one: one.pages == 0)

    def _forget(self) -> None:
        gone = [person for person in self._seen if not self._pages[person]]
        for person in gone[: max(len(self._seen) - MOST, 0)]:
            del self._seen[person], self._pages[person]


PRESENCE = Presence()
"""Of this process: the door and the pages are in one. Empty where there is no door (`streamlit run app.py`)."""
