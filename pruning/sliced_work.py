"""Work that is carried on a little at a time, and stops when nobody asks for it.

Long work calls `rest` as often as it can. Where nobody carries it on in slices, that does nothing. Switches of torch
that are one for the whole process are the work's own: they are turned back while it rests.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

T = TypeVar("T")

ABANDONED_S = 30.0

_here = threading.local()
"""The work that this thread does."""
_unfinished: "set[SlicedWork[Any]]" = set()


def rest() -> None:
    """A moment at which long work may wait for its next slice, or end."""
    if (work := _working()) is not None:
        work.pause()


def working_s() -> float:
    """Seconds by a clock that stands still while this thread's work rests."""
    work = _working()
    return time.perf_counter() - (0.0 if work is None else work.rested_s)


def end_abandoned() -> None:
    """End what nobody has asked for in half a minute. Whoever answers questions calls it now and then: works that ended
    by themselves would turn switches back while others compute.
    """
    for work in list(_unfinished):
        if time.monotonic() - work.asked_at > ABANDONED_S:
            work.give_up()


class _Abandoned(BaseException):
    """Nobody has asked for a while: the work ends where it is."""


class SlicedWork(Generic[T]):
    """`work()` in a thread of its own, which goes on only while somebody gives it time.

    It calls `rest` as often as it can, and returns from it when there is time again. Left alone for half a minute it
    ends, at the latest when another begins. One thread asks, one works, never both: so nothing that they share needs a
    lock.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        end_abandoned()
        self._work = work
        self.asked_at = time.monotonic()
        self.rested_s = 0.0
        self._own = self._others = _switches()
        """Of the work, and of whoever computes while it rests."""
        self._go, self._rests = threading.Event(), threading.Event()
        self._ends = 0.0
        self._given_up = False
        self._result: list[T] = []
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="sliced work", daemon=True)
        _unfinished.add(self)
        self._thread.start()

    @property
    def abandoned(self) -> bool:
        return self._given_up and not self.done

    @property
    def done(self) -> bool:
        return bool(self._result) or self._error is not None

    def advance(self, seconds: float) -> bool:
        """Go on for about so many seconds, at least until the next pause; whether it is done."""
        self.asked_at = time.monotonic()
        if not self.done and not self.abandoned:
            self._ends = time.monotonic() + seconds
            self._rests.clear()
            self._go.set()
            self._rests.wait()
        return self.done

    def give_up(self) -> None:
        """End it where it rests: what it holds is let go."""
        self._given_up = True
        self._go.set()
        self._thread.join()

    def result(self) -> T:
        """What the work returned; raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result[0]

    def pause(self) -> None:
        """Rest if the slice is over. For the work itself, by `rest`."""
        if time.monotonic() >= self._ends:
            self._rest()

    def _rest(self) -> None:
        self._own = _turn(self._others)
        self._go.clear()
        self._rests.set()
        self._wait()

    def _run(self) -> None:
        _here.work = self
        try:
            self._wait()  # for the first slice
            self._result.append(self._work())
        except _Abandoned:
            pass
        except Exception as error:
            self._error = error
        _unfinished.discard(self)
        self._rests.set()

    def _wait(self) -> None:
        begun = time.perf_counter()
        self._go.wait()
        if self._given_up:
            raise _Abandoned
        self.rested_s += time.perf_counter() - begun
        self._others = _turn(self._own)


_Switches = tuple[bool, bool, bool, bool, bool]


def _switches() -> _Switches:
    cudnn: Any = torch.backends.cudnn
    onednn: Any = torch._C._get_mkldnn_enabled()  # type: ignore[attr-defined]
    attention: Any = torch.backends.mha.get_fastpath_enabled()
    return cudnn.enabled, cudnn.deterministic, cudnn.allow_tf32, onednn, attention


def _turn(switches: _Switches) -> _Switches:
    """Turn all to what is given; returns what they were."""
    before = _switches()
    if switches != before:
        cudnn: Any = torch.backends.cudnn
        cudnn.enabled, cudnn.deterministic, cudnn.allow_tf32, onednn, attention = switches
        torch._C._set_mkldnn_enabled(onednn)  # type: ignore[attr-defined]
        torch.backends.mha.set_fastpath_enabled(attention)
    return before


def _working() -> "SlicedWork[Any] | None":
    return getattr(_here, "work", None)
