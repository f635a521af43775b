"""Work that is carried on a little at a time, and stops when nobody asks for it."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

ABANDONED_S = 30.0


class _Abandoned(BaseException):
    """Nobody has asked for a while: the work ends where it is."""


class SlicedWork(Generic[T]):
    """`work(pause)` in a thread of its own, which goes on only while somebody gives it time.

    It calls `pause` as often as it can, and returns from it when there is time again. Left alone for half a minute it
    ends. One thread asks, one works, never both: so nothing that they share needs a lock.
    """

    def __init__(self, work: Callable[[Callable[[], None]], T]) -> None:
        self._work = work
        self._go, self._rests = threading.Event(), threading.Event()
        self._ends = 0.0
        self._given_up = False
        self._result: list[T] = []
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="sliced work", daemon=True)
        self._thread.start()

    @property
    def abandoned(self) -> bool:
        return not self._thread.is_alive() and not self.done

    @property
    def done(self) -> bool:
        return bool(self._result) or self._error is not None

    def advance(self, seconds: float) -> bool:
        """Go on for about so many seconds, at least until the next pause; whether it is done."""
        if not self.done and not self.abandoned:
            self._ends = time.monotonic() + seconds
            self._rests.clear()
            self._go.set()
            self._rests.wait()
        return self.done

    def give_up(self) -> None:
        """End it where it rests, now and not only when it was left alone for long: what it holds is let go."""
        self._given_up = True
        self._go.set()
        self._thread.join()

    def result(self) -> T:
        """What the work returned; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _pause(self) -> None:
        if time.monotonic() >= self._ends:
            self._rest()

    def _rest(self) -> None:
        self._go.clear()
        self._rests.set()
        self._wait()

    def _run(self) -> None:
        try:
            self._wait()  # for the first slice
            self._result.append(self._work(self._pause))
        except _Abandoned:
            pass
        except Exception as error:
            self._error = error
        self._rests.set()

    def _wait(self) -> None:
        if not self._go.wait(ABANDONED_S) or self._given_up:
            raise _Abandoned
