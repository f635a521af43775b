"""What the store hands out: a run, a worker's lease of it, the files that it left."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pruning.errors import PruningError, RecipeError

if TYPE_CHECKING:
    from pruning.recipe.recipe import Recipe

UNREADABLE = "made by a newer version, or damaged"
"""How the sentence begins that stands in the place of what this version cannot read."""

RunState = Literal["queued", "running", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class RunRow:
    """A run as the store knows it. Times are seconds since 1970, None until they have come.

    `sentence` says why a run failed or what is left of one that was ended by force, else it is empty. `stopping` means
    that somebody asked for it to end early. `title` is what a person calls it, "" = nothing.
    """

    id: str
    recipe_json: str
    session: str
    state: RunState
    sentence: str
    created: float
    started: float | None
    """When the present attempt began; None again while a lost run waits for its next one."""
    finished: float | None
    stopping: bool
    title: str
    pinned: bool
    attempt: int
    """Counts how often the run was begun or resumed; 0 before the first time. Events are only ever added as long as it
    stays the same: a reader who keeps them starts over when it changes."""
    private: bool = False
    """Shown to its owner alone: `session` says whose it is (`ownership.may_see`)."""
    seconds: float = 0.0
    """How long the present attempt has run, by its worker's own clock: whoever sets the machine's changes nothing."""
    needs: int = 0
    """Bytes that must be free before it goes on, after the disk was full; 0 where it never was."""
    carrier: str = ""
    """The run that carries it out, whose events and files these are: itself, or one of somebody who asked before."""
    ran: float = 0.0
    """How long the attempts before this one have run."""

    @property
    def number(self) -> int:
        """Counts the runs of the recipe."""
        return int(self.id.rpartition("-")[2])

    @cached_property
    def recipe(self) -> "Recipe":
        """The recipe; RecipeError if this version cannot read it, which must not spoil the list of all runs."""
        from pruning.recipe.recipe import from_json

        if self.unreadable:
            raise RecipeError(self.unreadable)
        return from_json(self.recipe_json)

    @property
    def unreadable(self) -> str:
        """Why this version cannot read the run's recipe, in a sentence; "" if it can."""
        return _unreadable(self.recipe_json)

    @property
    def name(self) -> str:
        """The recipe's name: the id without the number of the run."""
        return self.id.rpartition("-")[0]

    @property
    def over(self) -> bool:
        return self.state not in ("queued", "running")


@dataclass(frozen=True)
class SweepRow:
    """A grid that somebody queued, in seconds since 1970. `title` is what a person calls it, "" = nothing."""

    name: str
    title: str
    grid_json: str
    created: float
    session: str = ""
    """Who asked for it first."""


@dataclass(frozen=True)
class HalvingRow:
    """A halving that somebody asked for, in seconds since 1970. `title` is what a person calls it, "" = nothing.

    It is `open` until its time is over (`ends`), all settings were tried, or somebody stops it; `sentence` says why it
    is no longer. `ranking_json` is what it came to so far.
    """

    name: str
    title: str
    halving_json: str
    session: str
    created: float
    ends: float
    state: Literal["open", "over", "stopped", "failed"]
    sentence: str
    ranking_json: str


@dataclass(frozen=True)
class Lease:
    """A worker's right to carry a run out and to write down what happens. It lasts until the worker is given up."""

    run: str
    worker: str
    attempt: int


@dataclass(frozen=True)
class Artefact:
    """A file that a run left. `sha256` (hexadecimal) is of the file as it was when the run exported it."""

    kind: str
    path: Path
    bytes: int
    sha256: str


@lru_cache(maxsize=2000)  # a recipe takes 2 ms to read, and a page asks once a second
def _unreadable(recipe_json: str) -> str:
    from pruning.recipe.recipe import from_json

    try:
        from_json(recipe_json)
    except PruningError as error:
        return f"{UNREADABLE}: {error}"
    return ""
