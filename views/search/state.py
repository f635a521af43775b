"""What the page Search remembers from one run of its script to the next."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal

from pruning.level_search.result import Searched
from pruning.recipe.recipe import Recipe
from pruning.selection.goal import CostKind, Goal
from views.shared.state import remembered

BATCHES = (1, 64)
"""Samples in a pass whose time counts: of one, much of the time is spent between the layers."""


@dataclass(frozen=True)
class Asked:
    """A search: of which recipe, and what for; how many samples are in a pass whose time counts."""

    recipe: Recipe
    goal: Goal
    batch: int = 1


@dataclass
class SearchState:
    """`left` is a share of the cost, `lost` in points of accuracy or in the score's own unit."""

    cost: CostKind = "macs"
    batch: int = 64
    left: float = 0.5
    lost: float = 1.0
    asked: Asked | None = None
    found: Searched | None = None
    problem: str = ""
    stopped: bool = False
    verifying: "Future[Searched | None] | None" = None
    """A cut that was estimated and is measured now, for the limits were moved to it."""
    leaving: Literal["no", "asked", "drawn"] = "no"
    """Whether a point was loaded into the Lab, where the page goes once it was drawn without polls."""

    @property
    def going_on(self) -> bool:
        done = self.found is not None and self.found.done
        return self.asked is not None and not (done or self.problem or self.stopped)


def search_state() -> SearchState:
    return remembered(SearchState)
