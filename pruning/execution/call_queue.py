"""Short calls that a person waits for: they queue in the page's process until a worker is free."""

import pickle
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pruning.errors import JobError
from pruning.execution.supervisor import WorkerSlot

LOST = "the interactive worker was lost; it has been restarted: repeat what you did"
CLOSED = "the program is ending: start it again"


@dataclass(frozen=True, eq=False)
class _Call:
    request: bytes
    answer: Future[Any]
    slot: WorkerSlot | None
    """The worker that must answer; None for any."""


class CallQueue:
    """Calls wait here, first come first served, until a worker is free: only then can they no longer be taken back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._idle: list[WorkerSlot] = []
        self._busy: dict[WorkerSlot, _Call] = {}
        self._closed = False

    def call(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        named: dict[str, Any],
        slot: WorkerSlot | None = None,
    ) -> Future[Any]:
        """Hand the call to the worker in the slot, or to the first that is idle."""
        answer: Future[Any] = Future()
        try:
            request = pickle.dumps((function, arguments, named))
        except Exception as error:  # pickle raises whatever the object's own code raises
            answer.set_exception(JobError(f"the call cannot be sent to the worker ({error}); send plain values"))
            return answer
        with self._lock:
            if not self._closed:
                self._waiting.append(_Call(request, answer, slot))
                self._dispatch()
                return answer
        answer.set_exception(JobError(CLOSED))
        return answer

    def ready(self, slot: WorkerSlot) -> None:
        with self._lock:
            self._idle.append(slot)
            self._dispatch()

    def received(self, slot: WorkerSlot, message: bytes) -> None:
        with self._lock:
            call = self._busy.pop(slot)
            self._idle.append(slot)
            self._dispatch()  # before the answer is read, so that the worker need not wait for that
        try:
            result, error = pickle.loads(message)
        except Exception as failure:
            result, error = None, JobError(f"the worker's answer cannot be read ({failure}); start the program again")
        if error is None:
            call.answer.set_result(result)
        else:
            call.answer.set_exception(error)

    def lost(self, slot: WorkerSlot) -> None:
        with self._lock:
            call = self._busy.pop(slot, None)
            if slot in self._idle:
                self._idle.remove(slot)
        if call is not None:
            call.answer.set_exception(JobError(slot.ended_because or LOST))

    def gave_up(self, sentence: str) -> None:
        self._fail_waiting(sentence)

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._fail_waiting(CLOSED)

    def _fail_waiting(self, sentence: str) -> None:
        with self._lock:
            calls, self._waiting = self._waiting, deque()
        for call in calls:
            if call.answer.set_running_or_notify_cancel():
                call.answer.set_exception(JobError(sentence))

    def _dispatch(self) -> None:
        """Give waiting calls to idle workers; those taken back are dropped. The lock is held."""
        later: deque[_Call] = deque()
        while self._idle and self._waiting:
            call = self._waiting.popleft()
            if call.slot is not None and call.slot not in self._idle:
                later.append(call)
            elif call.answer.set_running_or_notify_cancel():
                slot = call.slot or self._idle[-1]
                self._idle.remove(slot)
                self._busy[slot] = call
                slot.send(call.request)
        self._waiting.extendleft(reversed(later))
