"""The run worker's side: it takes runs out of the store and writes down what happens."""

import logging
import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import torch

from pruning.errors import JobError, PruningError, RecipeError
from pruning.events import Event, Failed, Finished, TuningStep
from pruning.jobs.faults import explain
from pruning.jobs.link import Link, log_file
from pruning.jobs.store import Store
from pruning.recipe import Recipe
from pruning.workload import Workload, Workloads

POLL_S = 0.1
ASK_STOP_S = 0.2
BEAT_S = 1.0
WRITE_S = 0.1

log = logging.getLogger(__name__)


class CarryOut(Protocol):
    """`pruning.runs.carry_out`: all events of a run, the last one Finished; PruningError for what a person can mend."""

    def __call__(
        self, workload: Workload, recipe: Recipe, out: Path, reference: str, stop: Callable[[], bool]
    ) -> Generator[Event, None, object]: ...


def serve_runs(link: Link, workloads: Workloads, carry_out: CarryOut) -> None:
    """Carry out queued runs, one after the other, for ever."""
    store = Store(link.home)
    link.ready()
    while True:
        try:
            run = store.claim(link.worker)
        except JobError:
            log.exception("the store does not answer")
            run = None
            time.sleep(1.0)
        if run is None:
            time.sleep(POLL_S)
            continue
        _carry_out(store, run, workloads, carry_out, link.home)
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()  # the interactive worker shares the device


def _carry_out(store: Store, run: str, workloads: Workloads, carry_out: CarryOut, home: Path) -> None:
    less_memory = "lower tuning.batch_size"
    with Journal(store, run) as journal:
        try:
            recipe = store.run(run).recipe
            less_memory = f"lower tuning.batch_size (it is {recipe.tuning.batch_size})"
            if recipe.workload not in workloads:
                raise RecipeError(f"workload is {recipe.workload!r}; use one of {', '.join(sorted(workloads))}")
            workload = workloads[recipe.workload]()
            events = carry_out(workload, recipe, store.folder(run), recipe.workload, journal.stop)
            with closing(events):
                for event in events:
                    journal.add(event)
            if not journal.over:
                raise JobError(f"the run ended without a result; this is a fault of the program, see {log_file(home)}")
        except Exception as error:
            journal.add(Failed(str(explain(error, "the run", less_memory, log_file(home)))))


class Journal:
    """Writes a run's events into the store while the block lasts, and says that the worker lives.

    Tuning steps come by the hundred a second: those within WRITE_S of the last write wait for the next one. Every other
    event is written at once, and what waits before it.
    """

    def __init__(self, store: Store, run: str) -> None:
        self.over = False
        """Whether the last event has been written."""
        self._store = store
        self._run = run
        self._lock = threading.Lock()
        self._waiting: list[Event] = []
        self._written = -math.inf
        self._asked = -math.inf
        self._stop = False
        self._ended = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._heart.join()

    def add(self, event: Event) -> None:
        if isinstance(event, Finished | Failed):
            self._flush()
            self._store.finish(self._run, event)
            self.over = True
            return
        with self._lock:
            self._waiting.append(event)
        if not isinstance(event, TuningStep) or time.monotonic() - self._written >= WRITE_S:
            self._flush()

    def stop(self) -> bool:
        """Whether somebody asked for the run to end early. Asks the store now and then; once true, it stays so."""
        now = time.monotonic()
        if not self._stop and now - self._asked >= ASK_STOP_S:
            self._asked = now
            self._stop = self._store.stop_requested(self._run)
        return self._stop

    def _flush(self) -> None:
        with self._lock:
            events, self._waiting = self._waiting, []
            self._written = time.monotonic()
            if events:
                self._store.append(self._run, *events)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                # the last steps before a long measurement would else be shown only after it
                self._flush()
                if not self._store.heartbeat(self._run):
                    self._stop = True
            except PruningError:
                log.exception("run %s: no heartbeat", self._run)
