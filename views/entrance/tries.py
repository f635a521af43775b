"""How often an address may say a wrong password."""

import time
from collections import deque
from collections.abc import Callable

MOST, WITHIN_S = 10, 60.0
MOST_ADDRESSES = 10_000


class Tries:
    """Counts wrong passwords by address. A room behind one address shares its count: who is in already stays in."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._wrong: dict[str, deque[float]] = {}

    def wait_s(self, address: str) -> float:
        """Seconds until the address may try again, 0 = now."""
        wrong = self._recent(address)
        return wrong[0] + WITHIN_S - self._now() if len(wrong) >= MOST else 0.0

    def wrong(self, address: str) -> None:
        """Note a wrong password."""
        wrong = self._recent(address)
        wrong.append(self._now())
        self._wrong.pop(address, None)
        self._wrong[address] = wrong  # at the end: the one that tried last
        while len(self._wrong) > MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]

    def _recent(self, address: str) -> deque[float]:
        wrong = self._wrong.get(address, deque())
        while wrong and wrong[0] <= self._now() - WITHIN_S:
            wrong.popleft()
        return wrong
