"""The one backend of this server, shared by all sessions, and how a page asks it something."""

import gc
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, TypeVar

from pruning.errors import JobError, PruningError
from pruning.execution.backend import Backend
from pruning.execution.backends import made_backend
from pruning.execution.store.store import default_home

if TYPE_CHECKING:
    from pruning.interactive.session import PreviewSession

LONGEST_S = 180.0  # the slowest answer is a data-driven criterion on a large model

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class _Shared:
    """What there is once in this process. Not in Streamlit's cache, which any page may clear by a message of two bytes:
    workers would be started again and again, and the old ones left.
    """

    lock = threading.Lock()
    backend: Backend | None = None
    opened_elsewhere: ClassVar[set[str]] = set()


def backend() -> Backend:
    """Workers start here, once, when the first page is opened. `PRUNING_HOME` says where runs are kept."""
    with _Shared.lock:
        if _Shared.backend is None:
            _Shared.backend = made_backend(default_home())
            gc.collect()
            gc.freeze()  # what is imported by now stays for good: later collections need not walk it
        return _Shared.backend


def ask(
    function: "Callable[Concatenate[PreviewSession, Arguments], Answer]",
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Answer:
    """The answer of a function of `pruning.interactive.queries` that a page needs at once. PruningError if it cannot answer."""
    return _waited(backend().call(function, *arguments, **named))


def share_out(function: "Callable[..., Answer]", parts: Sequence[tuple[Any, ...]]) -> list[Answer]:
    """The answers of `function(lab, *part)`, each by a worker that no slider waits for: part i always by the same."""
    return [_waited(answer) for answer in backend().fan_out(function, parts)]


def open_elsewhere(workload: str) -> None:
    """Let the workers that share maps and comparisons open the model before they are asked: once for this server."""
    from pruning.interactive.queries import open_workload

    with _Shared.lock:
        if workload in _Shared.opened_elsewhere:
            return
        _Shared.opened_elsewhere.add(workload)
    with suppress(PruningError):  # whoever asks them gets the error
        backend().fan_out(open_workload, [(workload,)] * backend().workers)


def _waited(future: "Future[Answer]") -> Answer:
    try:
        return future.result(LONGEST_S)
    except FutureTimeout:
        future.cancel()
        raise JobError(f"no answer within {LONGEST_S:.0f} s; choose a smaller model or another criterion") from None
