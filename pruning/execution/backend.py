"""What carries out work for the page, wherever that may be: short interactive calls and runs."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from pruning.execution.followed import Asker, Progress
from pruning.execution.server_state import ServerState
from pruning.execution.store.store import Store

if TYPE_CHECKING:
    from pruning.halving.halving import Halving
    from pruning.interactive.session import PreviewSession
    from pruning.recipe.recipe import Recipe
    from pruning.sweeps.grid import Grid

P = ParamSpec("P")
T = TypeVar("T")


class Backend(Protocol):
    """From any thread: `call` and `fan_out` for what a person waits for; `start`, `cancel` and `end` for runs.

    The page reads runs and their events from the `store`.
    """

    @property
    def store(self) -> Store: ...

    def call(
        self, function: "Callable[Concatenate[PreviewSession, P], T]", *arguments: P.args, **named: P.kwargs
    ) -> "Future[T]":
        """The result of `function(session, *arguments)` in a worker, which keeps the session.

        The worker imports the function by its name. The future raises what went wrong as a PruningError. Its
        `cancel()` takes back a call that has not been sent.
        """
        ...

    def ask(self, person: str, function: "Callable[..., T]", *arguments: Any) -> "Future[T]":
        """The same for a person: of all that waits, what was asked by the one who was served longest ago is next.

        Who asks what another is waiting for gets the same answer.
        """
        ...

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
        """What is known by now of what `function(session, *arguments, seconds)` finds out little by little.

        Workers go on with it, a slice at a time and in turns with what others ask, until its outcome is `complete`, or
        the asker asks something else, or nothing for eight seconds. The function gives None while nothing is known yet,
        and goes on where its last call ended. `background` is for what takes long in one piece: no slider waits for it.
        Part i of a question is always worker i mod `workers`', which keeps what it found out; None: any worker's.
        `wait` for so many seconds where nothing is known yet.
        """
        ...

    def unfollow(self, asker: Asker) -> None:
        """Nothing more is asked at this place."""
        ...

    def open_ahead(self, function: "Callable[..., object]", names: Sequence[str]) -> None:
        """Have every worker carry out `function(session, name)` for each name when nobody waits for anything."""
        ...

    @property
    def workers(self) -> int:
        """How many workers share what is fanned out."""
        ...

    def fan_out(self, function: "Callable[..., T]", parts: Sequence[tuple[Any, ...]]) -> "list[Future[T]]":
        """`function(session, *part)` for each part, part i always on worker i mod `workers`, which keeps answers."""
        ...

    def start(self, recipe: "Recipe", session: str, again: bool = False) -> str:
        """A run of the recipe; returns its id. JobError if the session has as many as it may have.

        What is carried out already is not once more, unless `again`: the run is the session's own that is there, or
        shows what somebody else's comes to.
        """
        ...

    def start_sweep(self, grid: "Grid", session: str) -> list[str]:
        """Queue those of the grid's runs that nobody has run yet, and return their ids.

        They start in turns with other sessions' runs, after the session's own single runs.
        """
        ...

    def start_halving(self, halving: "Halving", session: str, seconds: float) -> str:
        """Look for the best setting of a grid for so long from now, and return the halving's name.

        One that was stopped, or whose time was over, goes on where it was. JobError where Optuna is not installed.
        """
        ...

    def stop_halving(self, name: str) -> None:
        """End a halving and what it has running; what is over is kept."""
        ...

    def cancel(self, run: str) -> None:
        """Ask for the run to end early and keep what there is by then; a queued run ends at once, and so does one that
        others wait for too: it goes on for them.

        Its training ends within 2 s. Then the network is measured and exported, for however long that takes.
        """
        ...

    def end(self, run: str) -> None:
        """Stop the run at once: within 5 s nothing of it is left running. Nothing more is measured or exported."""
        ...

    def server_state(self) -> ServerState:
        """What all workers do now, and what waits for them."""
        ...

    def end_questions(self, person: str) -> int:
        """Answer all that this person asks of interactive workers with a sentence; returns how many that were.

        A page that asks again begins anew.
        """
        ...

    def restart_worker(self, worker: str) -> None:
        """End a worker, with what it is at; another takes its place. JobError if there is none of that id.

        A run that it carries out goes on from its last checkpoint, and no attempt is counted as lost.
        """
        ...

    def close(self) -> None:
        """End all workers. Runs that are going on, and those queued, wait for the next backend on this home."""
        ...
