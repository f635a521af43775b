"""What a cut scores once it is repaired: asked of a worker that no slider waits for, and looked at from poll to poll."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pruning.execution.followed import Asker
from pruning.interactive.cut import cut_of
from pruning.interactive.queries import estimate_repaired
from pruning.interactive.responses import RepairPreview
from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair
from views.shared.server import asked, asker_at
from views.shared.state import remembered


@dataclass(frozen=True)
class KnownRepair:
    """The repaired cut of one recipe as far as it is known."""

    recipe: Recipe
    outcome: RepairPreview | None = None
    problem: str = ""
    begun: bool = False
    """Whether it was asked for: a cut that moves is not."""
    more_by_now: Callable[[], bool] = field(default=lambda: False, compare=False)
    """As in `Progress`."""

    @property
    def complete(self) -> bool:
        """Whether there is no more to ask: nothing repairs, or all samples were seen, or it cannot be known."""
        measured = self.outcome is not None and self.outcome.estimate.measured
        return isinstance(self.recipe.repair, NoRepair) or bool(self.problem) or measured


@dataclass
class RepairState:
    known: KnownRepair | None = None


@dataclass(frozen=True)
class Repairs:
    """What a session knows of its repaired cut, and asks for. Needs no page once it is made."""

    state: RepairState
    asker: Asker

    def known(self, recipe: Recipe) -> KnownRepair:
        """What was known of the recipe's repaired cut when it was asked for last; asks nothing."""
        known = self.state.known
        return known if known is not None and known.recipe == recipe else KnownRepair(recipe)

    def ask_more(self, recipe: Recipe) -> KnownRepair:
        """Ask for the repair, or for more samples of what is repaired; never waits for the answer."""
        known = self.known(recipe)
        if not known.complete:
            cut = cut_of(recipe, repaired=True)
            now = asked(self.asker, estimate_repaired, cut, complete=_measured, background=True)
            problem = "" if now.error is None else str(now.error)
            known = KnownRepair(recipe, now.outcome, problem, begun=True, more_by_now=now.more_by_now)
            self.state.known = known
        return known


def repairs() -> Repairs:
    """This session's."""
    return Repairs(remembered(RepairState), asker_at("repair"))


def _measured(outcome: RepairPreview) -> bool:
    return outcome.estimate.measured
