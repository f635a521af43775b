"""What a cut scores once it is repaired: asked of a worker that no slider waits for, and looked at from poll to poll."""

from concurrent.futures import CancelledError, Future
from dataclasses import dataclass

from pruning.errors import PruningError
from pruning.interactive.queries import estimate_repaired
from pruning.interactive.responses import RepairPreview
from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair
from views.shared.server import backend
from views.shared.state import remembered

A_POLL_S = 0.2  # how long one question lets the worker evaluate samples


@dataclass(eq=False)
class KnownRepair:
    """The repaired cut of one recipe as far as it is known, and the question that is under way."""

    recipe: Recipe
    outcome: RepairPreview | None = None
    problem: str = ""
    asked: Future[RepairPreview] | None = None

    @property
    def complete(self) -> bool:
        """Whether there is no more to ask: nothing repairs, or all samples were seen, or it cannot be known."""
        measured = self.outcome is not None and self.outcome.estimate.measured
        return isinstance(self.recipe.repair, NoRepair) or bool(self.problem) or measured


@dataclass
class RepairState:
    known: KnownRepair | None = None


def known_repair(recipe: Recipe) -> KnownRepair:
    """What this session knows of the recipe's repaired cut, with what has been answered since; asks nothing."""
    state = remembered(RepairState)
    if state.known is None or state.known.recipe != recipe:
        if state.known is not None and state.known.asked is not None:
            state.known.asked.cancel()  # a newer cut: one that has not been sent need not be
        state.known = KnownRepair(recipe)
    known = state.known
    if known.asked is not None and known.asked.done():
        answer, known.asked = known.asked, None
        try:
            known.outcome = answer.result()
        except CancelledError:
            pass  # it is asked again
        except PruningError as error:
            known.problem = str(error)
    return known


def ask_more(recipe: Recipe) -> KnownRepair:
    """Ask for the repair, or for more samples of what is repaired; never waits for the answer."""
    known = known_repair(recipe)
    if not known.complete and known.asked is None:
        (known.asked,) = backend().fan_out(estimate_repaired, [(recipe, A_POLL_S)])
    return known
