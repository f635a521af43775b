"""What the page Runs remembers from one run of its script to the next."""

from dataclasses import dataclass, field

from pruning.recipe.recipe import Recipe
from views.shared.state import remembered

A_PAGE = 50


@dataclass
class RunsState:
    """Nothing here is a control's own value."""

    selected: list[str] = field(default_factory=list[str])
    """The selected runs, in the order in which they were selected."""
    followed: str | None = None
    """The run of the URL that was selected because it stood there."""
    most: int = A_PAGE
    """How many runs the list shows."""
    deleting: str = ""
    """The run that the page asks once more about before it is deleted."""
    grid_base: Recipe | None = None
    """The recipe that the form of a new experiment began at."""
    opened_sweep: str = ""
    """The experiment that was queued a moment ago, to be opened."""
    problem: str = ""
    """What went wrong in a click, to be shown once."""
    title_known: tuple[str, str] | None = None
    """The run whose title is in its text box, and the title that the store had then."""


def runs_state() -> RunsState:
    return remembered(RunsState)
