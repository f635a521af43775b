"""A call queue without processes: workers answer when a test says so, and time passes when it says so."""

import pickle
from concurrent.futures import Future
from typing import Any, cast

from pruning.execution.call_queue import CallQueue
from pruning.execution.followed import Asker, Progress, Slices
from pruning.execution.supervisor import WorkerSlot
from tests.execution.functions import add, pid


class Worker:
    """A slot whose worker answers when the test says so; `given` are the calls that it was sent, with their threads."""

    ended_because = ""

    def __init__(self, queue: CallQueue) -> None:
        self.queue = queue
        self.given: list[tuple[Any, tuple[Any, ...], int]] = []
        self.busy = False

    @property
    def slot(self) -> WorkerSlot:
        return cast(WorkerSlot, self)

    def send(self, message: bytes) -> None:
        threads, request = pickle.loads(message)
        function, arguments, _named = pickle.loads(request)
        self.given.append((function, arguments, threads))
        self.busy = True

    @property
    def doing(self) -> tuple[Any, tuple[Any, ...]]:
        function, arguments, _threads = self.given[-1]
        return function, arguments

    def answers(self, result: Any = None, error: Exception | None = None, seconds: float = 0.05) -> None:
        """`seconds` are of processor time."""
        self.busy = False
        self.queue.received(self.slot, pickle.dumps((result, error, seconds)))


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def workers(queue: CallQueue, n: int = 1) -> list[Worker]:
    made = [Worker(queue) for _ in range(n)]
    for worker in made:
        queue.ready(worker.slot)
    return made


def called(queue: CallQueue, by: list[Worker], *arguments: int, person: str = "") -> "Future[Any]":
    return queue.call(add, arguments, {}, [worker.slot for worker in by], person)


def asked(
    queue: CallQueue,
    by: list[Worker],
    number: int,
    person: str = "ann",
    place: str = "",
    enough: int = 100,
    charged: bool = False,
) -> Progress[Any]:
    """What is known of question `number`, complete when its outcome is `enough`."""
    slots = [worker.slot for worker in by]
    asker = Asker(person, place or f"{person}'s tab")
    return queue.follow(asker, pid, (number,), slots, lambda outcome: outcome >= enough, Slices(), 0.0, charged)


def spend(clock: Clock, worker: Worker, outcome: Any, seconds: float = 0.05) -> None:
    clock.now += seconds
    worker.answers(outcome, seconds=seconds)
