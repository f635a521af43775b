"""What the page Compare remembers from one run of its script to the next."""

from dataclasses import dataclass, field

from pruning.pipeline.comparison import Compared
from pruning.recipe.recipe import Recipe
from views.shared.state import remembered


@dataclass
class CompareState:
    """Nothing here is a control's own value."""

    known: dict[Recipe, Compared] = field(default_factory=dict[Recipe, Compared])
    """Recipe -> what is known of its criterion so far."""
    drawn: dict[str, Recipe] | None = None
    """The criteria in the table that was last drawn."""


def compare_state() -> CompareState:
    return remembered(CompareState)
