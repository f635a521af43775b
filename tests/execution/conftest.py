"""A call queue whose time passes when a test says so."""

import pytest

from pruning.execution import call_queue
from pruning.execution.call_queue import CallQueue
from tests.execution.queueing import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(call_queue, "time", made)
    return made


@pytest.fixture
def queue(clock: Clock) -> CallQueue:
    return CallQueue()
