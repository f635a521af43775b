"""What a cut scores once it is repaired: asked of a worker that no slider waits for, and looked at from poll to poll."""

from dataclasses import dataclass

from pruning.interactive.queries import cut_of, estimate_repaired
from pruning.interactive.responses import RepairPreview
from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair
from views.shared.server import follow
from views.shared.state import remembered


@dataclass(frozen=True)
class KnownRepair:
    """The repaired cut of one recipe as far as it is known."""

    recipe: Recipe
    outcome: RepairPreview | None = None
    problem: str = ""

    @property
    def complete(self) -> bool:
        """Whether there is no more to ask: nothing repairs, or all samples were seen, or it cannot be known."""
        measured = self.outcome is not None and self.outcome.estimate.measured
        return isinstance(self.recipe.repair, NoRepair) or bool(self.problem) or measured


@dataclass
class RepairState:
    known: KnownRepair | None = None


def known_repair(recipe: Recipe) -> KnownRepair:
    """What this session knew of the recipe's repaired cut when it asked last; asks nothing."""
    known = remembered(RepairState).known
    return known if known is not None and known.recipe == recipe else KnownRepair(recipe)


def ask_more(recipe: Recipe) -> KnownRepair:
    """Ask for the repair, or for more samples of what is repaired; never waits for the answer."""
    known = known_repair(recipe)
    if not known.complete:
        cut = cut_of(recipe, repaired=True)
        now = follow("repair", estimate_repaired, cut, complete=_measured, background=True)
        known = KnownRepair(recipe, now.outcome, "" if now.error is None else str(now.error))
        remembered(RepairState).known = known
    return known


def _measured(outcome: RepairPreview) -> bool:
    return outcome.estimate.measured
