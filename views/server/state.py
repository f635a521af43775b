"""What the page Server remembers from one run of its script to the next."""

from dataclasses import dataclass

from views.shared.state import remembered


@dataclass(frozen=True)
class Asked:
    """What a button was pressed for, and what the page asks before it does it."""

    action: str
    """`stop_run`, `stop_waiting`, `end_questions` or `restart_worker`: a method of the desk."""
    id: str
    """Of the run, the person or the worker."""
    question: str
    do: str
    """The label of the button that does it."""


@dataclass
class ServerPageState:
    """Nothing here is a control's own value."""

    asked: Asked | None = None
    """What waits for a second word."""
    problem: str = ""
    """What went wrong in a click, to be shown once."""
    done: str = ""
    """What the last click came to."""


def server_page_state() -> ServerPageState:
    return remembered(ServerPageState)
