"""The one backend of this server, shared by all sessions, and how a page asks it something."""

import gc
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

from pruning.execution.backend import Backend
from pruning.execution.backends import made_backend
from pruning.execution.followed import Asker, Progress
from pruning.execution.store.store import default_home
from pruning.interactive.responses import ModelView
from sample_models import MODELS
from views.shared.person import person
from views.shared.state import shared_state
from views.shared.waiting import waited, waited_until

if TYPE_CHECKING:
    from pruning.interactive.session import PreviewSession

LONGEST_S = 180.0  # the slowest answer is a data-driven criterion on a large model
POLL_S = 0.25
SELDOM_S = 3.0  # as rarely does a page ask when many do: workers go on for longer than that
POLLS_A_SECOND = 20  # of all people together: a poll costs the server ten milliseconds, as a fragment's run does

Arguments = TypeVarTuple("Arguments")
Answer = TypeVar("Answer")

_opened: dict[str, ModelView] = {}
"""Models never change: every page asks for them at every run of its script."""


class _Shared:
    """What there is once in this process. Not in Streamlit's cache, which any page may clear by a message of two bytes:
    workers would be started again and again, and the old ones left.
    """

    lock = threading.Lock()
    backend: Backend | None = None
    opened_ahead: bool = False


def backend() -> Backend:
    """Workers start here, once, when the first page is opened. `PRUNING_HOME` says where runs are kept."""
    with _Shared.lock:
        if _Shared.backend is None:
            _Shared.backend = made_backend(default_home())
            gc.collect()
            gc.freeze()  # what is imported by now stays for good: later collections need not walk it
        return _Shared.backend


def ask(function: "Callable[[PreviewSession, Unpack[Arguments]], Answer]", *arguments: *Arguments) -> Answer:
    """The answer of a function of `pruning.interactive.queries` that a page needs at once. PruningError if it cannot answer.

    Where the page is drawn anew in the meantime, this run of its script ends here.
    """
    return waited(backend().ask(person(), function, *arguments), LONGEST_S)


def opened(workload: str) -> ModelView:
    """The model as it is. PruningError if it cannot be opened."""
    from pruning.interactive.queries import open_workload

    if workload not in _opened:
        _opened[workload] = ask(open_workload, workload)
    return _opened[workload]


def follow(
    place: str,
    function: "Callable[..., Answer | None]",
    *arguments: Any,
    complete: Callable[[Answer], bool],
    background: bool = False,
    part: int | None = None,
    wait: float = 0.0,
) -> Progress[Answer]:
    """What is known by now of what `function(session, *arguments, seconds)` finds out little by little; asks for more.

    Each `place` of a session's pages follows one question at a time.
    """
    asker = asker_at(place)

    def known() -> Progress[Answer]:
        return backend().follow(asker, function, arguments, complete, background, part)

    return waited_until(known, _is_known, wait)


def asked(
    asker: Asker,
    function: "Callable[..., Answer | None]",
    *arguments: Any,
    complete: Callable[[Answer], bool],
    background: bool = False,
) -> Progress[Answer]:
    """As `follow`, where no page is being drawn; never waits."""
    return backend().follow(asker, function, arguments, complete, background)


def _is_known(now: Progress[Any]) -> bool:
    return now.over or now.outcome is not None


def unfollow(place: str) -> None:
    """Nothing more is asked at this place."""
    backend().unfollow(asker_at(place))


def poll_s(others: int) -> float:
    """Seconds between two polls of a page while so many other people's pages poll too."""
    return min(max(POLL_S, (others + 1) / POLLS_A_SECOND), SELDOM_S)


def asker_at(place: str) -> Asker:
    """Who asks at this place of this session's pages."""
    return Asker(person(), f"{shared_state().tab}:{place}")


def share_out(function: "Callable[..., Answer]", parts: Sequence[tuple[Any, ...]]) -> list[Answer]:
    """The answers of `function(lab, *part)`, each by a worker that no slider waits for: part i always by the same."""
    return [waited(answer, LONGEST_S) for answer in backend().fan_out(function, parts)]


def open_all(shown: str) -> None:
    """Have all workers open the models before anybody asks: the one that is shown first. Once for this server."""
    from pruning.interactive.queries import open_workload

    with _Shared.lock:
        if _Shared.opened_ahead:
            return
        _Shared.opened_ahead = True
    backend().open_ahead(open_workload, [shown, *(name for name in MODELS if name != shown)])
