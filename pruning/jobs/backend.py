"""What carries out work for the page, wherever that may be: short interactive calls and runs."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from pruning.jobs.store import Store

if TYPE_CHECKING:
    from pruning.recipe import Recipe
    from pruning.workbench import Lab

P = ParamSpec("P")
T = TypeVar("T")


class Backend(Protocol):
    """Two verbs, from any thread: `call` for what a person waits for, `start` and `cancel` for runs.

    The page reads runs and their events from the `store`.
    """

    @property
    def store(self) -> Store: ...

    def call(self, function: "Callable[Concatenate[Lab, P], T]", *arguments: P.args, **named: P.kwargs) -> "Future[T]":
        """The result of `function(lab, *arguments)` in a worker, which imports the function by its name.

        What goes wrong comes out of the future as a PruningError. `cancel()` takes back a call that has not been sent.
        """
        ...

    @property
    def workers(self) -> int:
        """How many workers answer calls."""
        ...

    def fan_out(self, function: "Callable[..., T]", parts: Sequence[tuple[Any, ...]]) -> "list[Future[T]]":
        """`function(lab, *part)` for each part, part i always on worker i mod `workers`: it finds what it kept of it."""
        ...

    def start(self, recipe: "Recipe", session: str) -> str:
        """Queue a run of the recipe and return its id."""
        ...

    def cancel(self, run: str) -> None:
        """Ask for the run to end early and keep what there is by then; a queued run ends at once."""
        ...

    def close(self) -> None:
        """End all workers. Runs that are going on fail; queued runs wait for the next backend."""
        ...
