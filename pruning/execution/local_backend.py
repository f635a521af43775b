"""The backend on this machine: resident worker processes, and the threads that watch over them."""

import atexit
import logging
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from pruning.errors import JobError
from pruning.execution.answer_folder import answer_folder
from pruning.execution.call_queue import CallQueue
from pruning.execution.followed import Asker, Progress, Slices
from pruning.execution.fork_server import ForkServer, can_fork
from pruning.execution.halving_driver import HalvingDriver
from pruning.execution.ipc import WorkerKind, WorkerListener
from pruning.execution.server_state import ServerState, WorkerState
from pruning.execution.settings import Limits, available_cores
from pruning.execution.store.run_folders import discard_checkpoints
from pruning.execution.store.server_lock import ServerLock
from pruning.execution.store.store import Store
from pruning.execution.supervisor import WorkerOwner, WorkerProcess, WorkerSlot, shorten_log
from pruning.execution.worker_memory import give_back
from pruning.execution.worker_start import WorkerStarter

if TYPE_CHECKING:
    from pruning.halving.halving import Halving
    from pruning.interactive.session import PreviewSession
    from pruning.recipe.recipe import Recipe
    from pruning.sweeps.grid import Grid

P = ParamSpec("P")
T = TypeVar("T")

SLICES_IN_BACKGROUND = Slices(0.2, 0.2)
WORKER = (sys.executable, "-m", "pruning.execution.worker_main")
LOOK_S = 2.0
GIVE_BACK_LOOKS = 30  # from one time that this process gives memory back to the next
RESTARTED = "the worker was ended by whoever runs the server; another one takes its place: repeat what you did"

log = logging.getLogger(__name__)


class SupervisedBackend:
    """Workers that are kept alive, in slots that `make_slot` makes: on this machine or on others.

    Interactive workers answer what a person waits for, background workers what takes longer: a slider never waits
    behind a map. Where there are no background workers the interactive ones do both. The first starts at once, all
    others after the first answer or when they are needed: the first page does not share the processor with them.
    """

    def __init__(
        self,
        store: Store,
        make_slot: Callable[[WorkerKind, WorkerOwner], WorkerSlot],
        interactive: int,
        background: int,
        runners: int | None,
        cores: int = 0,
    ) -> None:
        """`runners` is how many runs are carried out at once; None: as many as the limits say.

        `cores` are what interactive workers share; 0: each takes what it likes.
        """
        self.store = store
        self._alive = ServerLock(store.home)
        shorten_log(store.home)
        self._notice_strangers()
        self._calls = CallQueue(cores, store.limits.scoring_s_per_hour)
        self._runs = _RunWatch(store)
        self._interactive = [make_slot("calls", self._calls) for _ in range(interactive)]
        self._background = [make_slot("background", self._calls) for _ in range(background)]
        self._runners = [
            make_slot("runs", self._runs) for _ in range(store.limits.run_workers if runners is None else runners)
        ]
        self._halvings = HalvingDriver(store, self._started, self.end, max(len(self._runners), 1))
        self._closed = threading.Event()
        self._answered = False
        for slot in self._interactive[:1]:
            slot.start()
        threading.Thread(target=self._look_after, name="look after runs", daemon=True).start()
        atexit.register(self.close)

    def call(
        self, function: "Callable[Concatenate[PreviewSession, P], T]", *arguments: P.args, **named: P.kwargs
    ) -> "Future[T]":
        """The result of `function(session, *arguments)`. A call not yet sent can be cancelled."""
        return self._asked(function, arguments, named, "")

    def ask(self, person: str, function: "Callable[..., T]", *arguments: Any) -> "Future[T]":
        """The same for this person, who has turns with others."""
        return self._asked(function, arguments, {}, person)

    def follow(
        self,
        asker: Asker,
        function: "Callable[..., T | None]",
        arguments: tuple[Any, ...],
        complete: Callable[[T], bool],
        background: bool = False,
        part: int | None = None,
        wait: float = 0.0,
    ) -> "Progress[T]":
        """What is known by now of what `function(session, *arguments, seconds)` finds out little by little."""
        slots = self._sharing if background else self._interactive
        for slot in slots:
            slot.start()
        slices = SLICES_IN_BACKGROUND if background else Slices()
        if part is not None:
            slots = [slots[part % len(slots)]]
        return self._calls.follow(asker, function, arguments, slots, complete, slices, wait, charged=background)

    def unfollow(self, asker: Asker) -> None:
        """Nothing more is asked at this place."""
        self._calls.unfollow(asker)

    def open_ahead(self, function: "Callable[..., object]", names: Sequence[str]) -> None:
        """Have every worker carry out `function(session, name)` for each name when nobody waits for anything."""
        for slot in (*self._interactive, *self._background):
            for name in names:
                self._calls.call(function, (name,), {}, [slot], urgency="ahead")

    @property
    def workers(self) -> int:
        """How many workers share what is fanned out."""
        return len(self._sharing)

    @property
    def _sharing(self) -> Sequence[WorkerSlot]:
        return self._background or self._interactive

    def fan_out(self, function: "Callable[..., T]", parts: Sequence[tuple[Any, ...]]) -> "list[Future[T]]":
        """`function(session, *part)` for each part, part i always on worker i mod `workers`, which keeps answers."""
        for slot in self._sharing:
            slot.start()
        slots = [self._sharing[i % self.workers] for i in range(len(parts))]
        return [self._calls.call(function, part, {}, [slot]) for part, slot in zip(parts, slots, strict=True)]

    def _asked(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any], person: str
    ) -> "Future[Any]":
        answer = self._calls.call(function, arguments, named, self._interactive, person)
        for slot in self._interactive[: None if self._answered else 1]:
            slot.start()  # again, if it was given up
        if not self._answered:
            answer.add_done_callback(self._first_answer)
        return answer

    def start(self, recipe: "Recipe", session: str, again: bool = False) -> str:
        """A run of the recipe; returns its id. One still queued at the end waits for the next start."""
        self._require_open()
        run = self.store.create(recipe, session) if again else self.store.share(recipe, session)
        self._runs.queued(run)
        self._start_runners()
        return run

    def start_sweep(self, grid: "Grid", session: str) -> list[str]:
        """Queue those of the grid's runs that nobody has run yet, and return their ids."""
        from pruning.sweeps.expansion import expand
        from pruning.sweeps.grid import grid_to_json

        self._require_open()
        recipes = [planned.recipe for planned in expand(grid).runs]
        runs = self.store.sweeps.queue(grid.name, grid_to_json(grid), recipes, session)
        for run in runs:
            self._runs.queued(run)
        self._start_runners()
        return runs

    def start_halving(self, halving: "Halving", session: str, seconds: float) -> str:
        """Look for the best setting of a grid for so long from now, and return the halving's name."""
        from pruning.halving.contest import require_optuna
        from pruning.halving.halving import halving_to_json

        self._require_open()
        require_optuna()
        self.store.halvings.open(halving.name, halving_to_json(halving), session, seconds)
        self._start_runners()
        return halving.name

    def stop_halving(self, name: str) -> None:
        """End a halving and what it has running; what is over is kept."""
        self._halvings.stop(name)

    def cancel(self, run: str) -> None:
        """Ask for the run to end early; a queued run ends at once.

        A running one measures and exports what there is by then, which may take a quarter of a minute. So it is only
        asked, never killed: `end` is there for who does not want to wait.
        """
        self.store.request_stop(run)

    def end(self, run: str) -> None:
        """Stop the run at once, with its worker and the worker's children; another worker follows."""
        carrier = self.store.run(run).carrier
        worker = self.store.end(run)
        # a worker of another server on this home finds out by its next heartbeat, and ends itself
        for slot in self._runners:
            if worker and slot.worker == worker:
                slot.end_worker(worker)
                discard_checkpoints(self.store.folder(carrier))

    def server_state(self) -> ServerState:
        """What all workers do now, and what waits for them."""
        answering, running = self._calls.answering(), self.store.workers()
        return ServerState(
            tuple(
                WorkerState(
                    slot.worker, slot.kind, answering.get(slot), running.get(slot.worker, ""), slot.memory_bytes,
                    slot.allowed_bytes, slot.starting,
                )
                for slot in self._slots if slot.worker
            ),
            tuple(self._calls.questions()),
        )  # fmt: skip

    def end_questions(self, person: str) -> int:
        """Answer all that this person asks of interactive workers with a sentence; returns how many that were."""
        return self._calls.end_questions(person)

    def restart_worker(self, worker: str) -> None:
        """End a worker, with what it is at; another takes its place. JobError if there is none of that id."""
        slot = next((slot for slot in self._slots if slot.worker == worker), None)
        if slot is None:
            raise JobError(f"there is no worker {worker} any more: it has ended, and another took its place")
        if slot.kind == "runs":
            self.store.leases.hand_back(worker)  # before it is lost: it is not the run's fault
        else:
            slot.ended_because = RESTARTED
        slot.end_worker(worker)

    @property
    def _slots(self) -> Sequence[WorkerSlot]:
        return (*self._interactive, *self._background, *self._runners)

    def close(self) -> None:
        """End all workers with their children. May be called again; happens by itself when the program ends."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._runs.closing = True
        atexit.unregister(self.close)
        self._calls.close()
        for slot in self._slots:
            slot.close()
        self._halvings.close()
        self.store.close()
        self._alive.release()

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise JobError("the program is ending: start it again, then start the run")

    def _first_answer(self, answer: "Future[T]") -> None:
        if not answer.cancelled() and not self._answered:
            self._answered = True
            for slot in (*self._interactive, *self._background):
                slot.start()
            self._start_runners()

    def _started(self, run: str) -> None:
        """A halving has queued a run."""
        self._runs.queued(run)
        self._start_runners()

    def _start_runners(self) -> None:
        for slot in self._runners:
            slot.start()

    def _notice_strangers(self) -> None:
        """Before anything is queued: ids never repeat over existing folders."""
        try:
            found = self.store.upkeep.notice_strangers()
        except (JobError, OSError) as error:
            log.warning("the folders of runs cannot be looked through: %s", error)
            return
        if found:
            log.warning("%d folders in %s are of runs that the store does not know", len(found), self.store.home)

    def _look_after(self) -> None:
        """Take up what a server has left that died with its workers. Our own workers are watched by their slots."""
        left, said = False, ""
        try:
            self.store.upkeep.sweep()
            left = bool(self.store.runs(["queued"]))
        except (JobError, OSError) as error:
            log.warning("what an earlier server left cannot be looked through: %s", error)
        looks = 0
        while not self._closed.wait(LOOK_S):
            shorten_log(self.store.home)
            if (looks := looks + 1) % GIVE_BACK_LOOKS == 0:
                give_back()
            waited = self.store.disk.shortage
            try:
                if self._runners and self.store.disk.look():
                    continue  # the page says so; what there is to do is done once there is room
                alive = [slot.worker for slot in self._runners]
                if self.store.leases.release_expired(alive) or left or waited:
                    self._start_runners()
                left, said = False, ""
                self._halvings.look()
                self.store.wastebasket.look()
            except JobError as error:
                if str(error) != said:  # once, and not every two seconds for as long as it lasts
                    log.warning("the store does not answer: %s", said := str(error))


class LocalBackend(SupervisedBackend):
    """Processes of their own on this machine, because a training thread would make every page several times slower."""

    def __init__(
        self,
        home: Path,
        interactive: int = 1,
        runners: int | None = None,
        command: Sequence[str] = WORKER,
        limits: Limits | None = None,
        background: int = 0,
    ) -> None:
        limits = limits or Limits.from_environment()
        store = Store(home, limits if runners is None else replace(limits, run_workers=max(runners, 1)))
        self._answers = answer_folder(store.home)
        self._listener = WorkerListener(str(self._answers))
        starter = WorkerStarter(command, store.home, store.limits.environment())
        self._forks = ForkServer(starter, self._listener) if can_fork() else None

        def make_slot(kind: WorkerKind, owner: WorkerOwner) -> WorkerSlot:
            forks = None if kind == "runs" else self._forks
            return WorkerProcess(kind, starter, self._listener, owner, store.limits, forks)

        super().__init__(store, make_slot, interactive, background, runners, cores=available_cores())

    def close(self) -> None:
        if self._forks is not None:
            self._forks.close()
        super().close()
        self._listener.close()
        shutil.rmtree(self._answers, ignore_errors=True)


class _RunWatch:
    """What becomes of runs when their workers end. Workers take runs out of the store by themselves."""

    def __init__(self, store: Store) -> None:
        self.closing = False
        """Whether workers end because the program does."""
        self._store = store
        self._ours: set[str] = set()

    def queued(self, run: str) -> None:
        self._ours.add(run)

    def ready(self, slot: WorkerSlot) -> None:
        pass

    def received(self, slot: WorkerSlot, message: bytes) -> None:
        pass

    def lost(self, slot: WorkerSlot) -> None:
        try:
            if self.closing:
                self._store.leases.hand_back(slot.worker)
            elif slot.ended_because:
                self._store.leases.fail_running(slot.worker, slot.ended_because)
            else:
                self._store.leases.release(slot.worker)
        except JobError:
            log.exception("run of worker %s", slot.worker)

    def gave_up(self, sentence: str) -> None:
        # only what was asked for here: another server on this home may have workers that start
        runs, self._ours = self._ours, set()
        try:
            self._store.leases.fail_queued(runs, sentence)
        except JobError:
            log.exception("queued runs")
