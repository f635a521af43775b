"""What a cut scores once it is repaired: asked of a worker that no slider waits for, and looked at from poll to poll."""

from collections.abc import Callable
from dataclasses import dataclass, field

from pruning.execution.followed import Asker
from pruning.interactive.cut import cut_of
from pruning.interactive.queries import estimate_repaired
from pruning.interactive.responses import Repairing, RepairPreview
from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair
from pruning.reporting.formatting import duration
from views.shared.language import _
from views.shared.server import asked, asker_at
from views.shared.state import remembered


@dataclass(frozen=True)
class KnownRepair:
    """The repaired cut of one recipe as far as it is known."""

    recipe: Recipe
    outcome: RepairPreview | None = None
    seconds_left: float = 0.0
    """Of computing, about; 0 where that is not known."""
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
            done = now.outcome if isinstance(now.outcome, RepairPreview) else None
            left = now.outcome.seconds_left if isinstance(now.outcome, Repairing) else 0.0
            known = KnownRepair(recipe, done, left, problem, begun=True, more_by_now=now.more_by_now)
            self.state.known = known
        return known


def repairs() -> Repairs:
    """This session's."""
    return Repairs(remembered(RepairState), asker_at("repair"))


def words_for(known: KnownRepair, waiting: str) -> str:
    """What stands in the place of a repaired cut's score as long as there is none: `waiting` before it is asked for."""
    if known.problem or not known.begun:
        return known.problem or waiting
    if known.seconds_left < 1:
        return _("repairing")
    return _("repairing, about {time} of computing left").format(time=duration(known.seconds_left))


def _measured(outcome: RepairPreview | Repairing) -> bool:
    return isinstance(outcome, RepairPreview) and outcome.estimate.measured
