"""The backend on this machine: resident worker processes, and the threads that watch over them."""

import atexit
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from pruning.errors import JobError
from pruning.jobs.calls import CallDesk
from pruning.jobs.link import Reception
from pruning.jobs.resident import Resident
from pruning.jobs.store import Store

if TYPE_CHECKING:
    from pruning.recipe import Recipe
    from pruning.workbench import Lab

P = ParamSpec("P")
T = TypeVar("T")

WORKER = (sys.executable, "-m", "pruning.jobs.worker")
LOOK_S = 2.0
LOST_AFTER_S = 10.0
LOST = "worker lost: the process that carried the run out has ended; start the run again"

log = logging.getLogger(__name__)


class LocalBackend:
    """Workers in processes of their own, because a training thread would make every page several times slower.

    The interactive worker starts at once. The workers for runs start after the first answer or with the first run, so
    that the first page does not share the processor with them.
    """

    def __init__(self, home: Path, interactive: int = 1, runners: int = 1, command: Sequence[str] = WORKER) -> None:
        self.store = Store(home)
        self._reception = Reception()
        self._desk = CallDesk()
        runs = _RunDesk(self.store)
        self._interactive = [
            Resident("calls", self.store.home, command, self._reception, self._desk) for _ in range(interactive)
        ]
        self._runners = [Resident("runs", self.store.home, command, self._reception, runs) for _ in range(runners)]
        self._closed = threading.Event()
        self._answered = False
        for resident in self._interactive:
            resident.start()
        threading.Thread(target=self._look_after, name="look after runs", daemon=True).start()
        atexit.register(self.close)

    def call(self, function: "Callable[Concatenate[Lab, P], T]", *arguments: P.args, **named: P.kwargs) -> "Future[T]":
        """The result of `function(lab, *arguments)`, in order of arrival. A call not yet sent can be cancelled."""
        answer = self._desk.call(function, arguments, named)
        for resident in self._interactive:
            resident.start()  # again, if it was given up
        if not self._answered:
            answer.add_done_callback(self._first_answer)
        return answer

    @property
    def workers(self) -> int:
        """How many workers answer calls."""
        return len(self._interactive)

    def fan_out(self, function: "Callable[..., T]", parts: Sequence[tuple[Any, ...]]) -> "list[Future[T]]":
        """`function(lab, *part)` for each part, part i always on worker i mod `workers`: it finds what it kept of it."""
        for resident in self._interactive:
            resident.start()
        placed = [self._interactive[i % self.workers] for i in range(len(parts))]
        return [self._desk.call(function, part, {}, place) for part, place in zip(parts, placed, strict=True)]

    def start(self, recipe: "Recipe", session: str) -> str:
        """Queue a run of the recipe and return its id. One still queued at the end waits for the next start."""
        if self._closed.is_set():
            raise JobError("the program is ending: start it again, then start the run")
        run = self.store.create(recipe, session)
        self._start_runners()
        return run

    def cancel(self, run: str) -> None:
        """Ask for the run to end early; a queued run ends at once.

        A running one measures and exports what there is by then, which may take a quarter of a minute. So it is only
        asked, never killed.
        """
        self.store.request_stop(run)

    def close(self) -> None:
        """End all workers with their children. May be called again; happens by itself when the program ends."""
        if self._closed.is_set():
            return
        self._closed.set()
        atexit.unregister(self.close)
        self._desk.close()
        for resident in (*self._interactive, *self._runners):
            resident.close()
        self._reception.close()
        self.store.close()

    def _first_answer(self, answer: "Future[T]") -> None:
        if not answer.cancelled() and not self._answered:
            self._answered = True
            self._start_runners()

    def _start_runners(self) -> None:
        for resident in self._runners:
            resident.start()

    def _look_after(self) -> None:
        """Fail runs whose server has died with its workers. Our own workers are watched by their residents."""
        while True:
            try:
                self.store.fail_lost(LOST_AFTER_S, LOST, [resident.worker for resident in self._runners])
            except JobError:
                log.exception("the store does not answer")
            if self._closed.wait(LOOK_S):
                return


class _RunDesk:
    """Hears of the workers for runs. They take runs out of the store by themselves."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ready(self, resident: Resident) -> None:
        pass

    def received(self, resident: Resident, message: bytes) -> None:
        pass

    def lost(self, resident: Resident) -> None:
        try:
            self._store.fail_worker(resident.worker, LOST)
        except JobError:
            log.exception("run of worker %s", resident.worker)

    def gave_up(self, sentence: str) -> None:
        try:
            self._store.fail_queued(sentence)
        except JobError:
            log.exception("queued runs")
