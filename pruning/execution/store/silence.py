"""Who has been silent for too long, as one process sees it. Compares no two clocks and reads none that can be set."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass


@dataclass(frozen=True)
class _Heard:
    sign: Hashable
    looked: float
    silent_s: float = 0.0


class Silence:
    """Remembers the last sign of life of each of several others, and for how long it has been the same.

    A sign is any value that the other one changes while it lives, such as a number that it counts up. Time between two
    looks counts for at most half of `seconds`: where this process itself was stopped, the others may have been too.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._heard: dict[str, _Heard] = {}

    def lasts(self, other: str, sign: Hashable) -> bool:
        """Whether the sign has been the same for the time that this allows, looked at again and again."""
        now = self._clock()
        before = self._heard.get(other)
        if before is None or before.sign != sign:
            self._heard[other] = _Heard(sign, now)
            return False
        silent_s = before.silent_s + min(now - before.looked, self._seconds / 2)
        self._heard[other] = _Heard(sign, now, silent_s)
        return silent_s >= self._seconds
