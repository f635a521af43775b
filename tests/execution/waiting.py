"""Waiting for workers. Bounds in seconds are what the product promises, not what it takes."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import psutil

from pruning.events import Event, TuningStep, Warned
from pruning.execution.store.records import RunRow
from pruning.execution.store.store import Store

PATIENCE_S = 60.0

T = TypeVar("T")


def eventually(ask: Callable[[], T], seconds: float = PATIENCE_S) -> T:
    """The first true answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := ask():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {ask}")


def result(answer: Future[T]) -> T:
    return answer.result(timeout=PATIENCE_S)


def over(store: Store, run: str, seconds: float = PATIENCE_S) -> RunRow:
    return eventually(lambda: row if (row := store.run(run)).over else None, seconds)


def reported(store: Store, run: str) -> list[Event]:
    """The run's events, which are numbered from 1 without a gap."""
    events = store.events(run)
    assert [seq for seq, _ in events] == list(range(1, len(events) + 1))
    return [event for _, event in events]


def sentences(store: Store, run: str, beginning: str) -> list[str]:
    """What the run has warned of in sentences that begin so, without the beginning."""
    said = [event.sentence for event in reported(store, run) if isinstance(event, Warned)]
    return [sentence.removeprefix(beginning) for sentence in said if sentence.startswith(beginning)]


def tuning(store: Store, run: str) -> int:
    """Wait until the run is in mid-training; returns the worker's process id."""
    eventually(lambda: any(isinstance(event, TuningStep) for event in reported(store, run)))
    (pid,) = sentences(store, run, "pid ")
    return int(pid)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
