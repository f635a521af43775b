"""The run worker's side: it takes runs out of the store, carries them out and writes their events into it."""

import logging
import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import torch

from pruning.errors import JobError, NoRoomError, PruningError, RecipeError, no_room
from pruning.events import Event, Failed, Finished, Searching, TuningStep
from pruning.execution.error_messages import explain
from pruning.execution.ipc import WorkerLink, end_now, log_file
from pruning.execution.store.records import Lease, RunRow
from pruning.execution.store.run_folders import discard_checkpoints, take_over
from pruning.execution.worker_memory import give_back
from pruning.recipe.recipe import Recipe
from pruning.workload import Workload, Workloads

POLL_S = 0.1
ASK_STOP_S = 0.2
BEAT_S = 1.0
WRITE_S = 0.1
WAIT_S = 1.0

log = logging.getLogger(__name__)


class CarryOut(Protocol):
    """`pruning.run.experiment.carry_out` of the workload that its table names `reference`: events, the last Finished.

    It raises PruningError for what a person can mend, goes on from what lies in the folder `checkpoints`, and writes
    its own checkpoints there.
    """

    def __call__(
        self,
        workload: Workload,
        recipe: Recipe,
        out: Path,
        reference: str,
        stop: Callable[[], bool],
        *,
        checkpoints: Path,
    ) -> Generator[Event, None, object]: ...


class RunStore(Protocol):
    """What a worker for runs asks of a store: its `Leases`, or those of the server's store over a connection."""

    def has_work(self) -> bool: ...
    def claim(self, worker: str) -> Lease | None: ...
    def carried_out(self, run: str) -> RunRow: ...
    def folder(self, run: str) -> Path: ...
    def append(self, lease: Lease, *events: Event) -> None: ...
    def finish(self, lease: Lease, event: Finished | Failed) -> bool: ...
    def pause(self, lease: Lease) -> bool: ...
    def heartbeat(self, lease: Lease) -> bool: ...
    def stop_requested(self, run: str) -> bool: ...


def serve_runs(link: WorkerLink, store: RunStore, workloads: Workloads, carry_out: CarryOut) -> None:
    """Carry out queued runs, one after the other, for ever."""
    link.ready()
    said = ""
    while True:
        try:
            lease = store.claim(link.worker) if store.has_work() else None
            said = ""
        except JobError as error:
            if str(error) != said:  # once, and not every second for as long as it lasts
                log.warning("the store does not answer: %s", said := str(error))
            lease = None
            time.sleep(WAIT_S)
        if lease is None:
            time.sleep(POLL_S)
            continue
        carry_out_run(store, lease, workloads, carry_out, link.home)
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()  # the interactive worker shares the device
        give_back()


def carry_out_run(store: RunStore, lease: Lease, workloads: Workloads, carry_out: CarryOut, home: Path) -> None:
    """Carry out the run of the lease to its end; what goes wrong becomes its last event, in a sentence.

    Where the disk takes nothing more, the run waits and goes on later from its checkpoint.
    """
    try:
        _to_its_end(store, lease, workloads, carry_out, home)
    except Exception as error:
        if not no_room(error):
            raise
        log.warning("run %s waits for room on the disk: %s", lease.run, error)
    else:
        return
    # outside the handler: the error's traceback would hold on to the tensors
    while True:
        with suppress(NoRoomError):
            store.pause(lease)
            break
        time.sleep(WAIT_S)
    time.sleep(WAIT_S)


def _to_its_end(store: RunStore, lease: Lease, workloads: Workloads, carry_out: CarryOut, home: Path) -> None:
    less_memory = "lower tuning.batch_size"
    folder = store.folder(lease.run)
    with EventWriter(store, lease, given_up=end_now) as writer:
        try:
            recipe = store.carried_out(lease.run).recipe
            less_memory = f"lower tuning.batch_size (it is {recipe.tuning.batch_size})"
            if recipe.workload not in workloads:
                raise RecipeError(f"workload is {recipe.workload!r}; use one of {', '.join(sorted(workloads))}")
            workload = workloads[recipe.workload]()
            checkpoints = take_over(folder, lease.attempt)
            events = carry_out(workload, recipe, folder, recipe.workload, writer.stop, checkpoints=checkpoints)
            with closing(events):
                for event in events:
                    writer.add(event)
            if not writer.over:
                raise JobError(f"the run ended without a result; this is a fault of the program, see {log_file(home)}")
        except Exception as error:
            if writer.broken or no_room(error):
                raise  # this worker ends, or waits; the run is queued again and goes on from its checkpoint
            writer.add(Failed(str(explain(error, "the run", less_memory, log_file(home)))))
    if writer.end_recorded:
        discard_checkpoints(folder)


class EventWriter:
    """Writes a run's events into the store while the block lasts, and says that the worker lives.

    Tuning steps, and the cuts of a search, come by the hundred: those within WRITE_S of the last write wait for the
    next one. Every other event is written at once, and what waits before it. `given_up` is called, in the writer's own
    thread, when the run is no longer this worker's.
    """

    def __init__(self, store: RunStore, lease: Lease, given_up: Callable[[], object]) -> None:
        self.over = False
        """Whether the last event has been given to the store."""
        self.end_recorded = False
        """Whether the store took it: else the run is another worker's by now."""
        self.broken = False
        """Whether the store could not be written or read when the run had to."""
        self._store = store
        self._lease = lease
        self._given_up = given_up
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
            with self._watched():
                self._flush()
            self._ended.set()  # no heartbeat may find the run over and take this worker for one that was given up
            with self._watched():
                self.end_recorded = self._store.finish(self._lease, event)
            self.over = True
            return
        with self._lock:
            self._waiting.append(event)
        if not isinstance(event, TuningStep | Searching) or time.monotonic() - self._written >= WRITE_S:
            with self._watched():
                self._flush()

    def stop(self) -> bool:
        """Whether somebody asked for the run to end early. Asks the store now and then; once true, it stays so."""
        now = time.monotonic()
        if not self._stop and now - self._asked >= ASK_STOP_S:
            self._asked = now
            with self._watched():
                self._stop = self._store.stop_requested(self._lease.run)
        return self._stop

    @contextmanager
    def _watched(self) -> Generator[None]:
        try:
            yield
        except JobError:
            self.broken = True
            raise

    def _flush(self) -> None:
        with self._lock:
            self._written = time.monotonic()
            if self._waiting:
                self._store.append(self._lease, *self._waiting)
                self._waiting = []

    def _beat(self) -> None:
        said = False
        while not self._ended.wait(BEAT_S):
            try:
                if not self._store.heartbeat(self._lease):
                    self._given_up()
                    return
                # the last steps before a long measurement would else be shown only after it
                self._flush()
                said = False
            except PruningError as error:
                if not said:  # once, and not every second for as long as it lasts
                    log.warning("run %s: no heartbeat: %s", self._lease.run, error)
                said = True
