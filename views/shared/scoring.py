"""Units are scored before anything can be shown of them: how far that is, how long it takes, and how to stop it."""

from dataclasses import dataclass, field

import streamlit as st

from pruning.criteria import LooksAtData
from pruning.errors import PruningError
from pruning.interactive.queries import score
from pruning.interactive.responses import Scoring
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from pruning.reporting.formatting import duration
from views.shared.language import _
from views.shared.server import follow, unfollow
from views.shared.state import remembered

AT_ONCE_S = 0.6  # a page waits so long before it shows how far scoring is: most criteria are done by then
POLL_S = 0.5


@dataclass
class ScoringState:
    stopped: set[Recipe] = field(default_factory=set[Recipe])
    """What was stopped by hand, each without what does not change its units' scores."""


def scored(recipe: Recipe, place: str = "scores", stop: bool = True) -> bool:
    """Whether the recipe's units have their scores. If not, draws how far they are, and draws the page again when done.

    PruningError where they cannot be scored, or not in the time that a page has. Each `place` of a page scores one
    recipe's units at a time. Without `stop` the page has a button of its own that stops it.
    """
    if not isinstance(recipe.criterion, LooksAtData):
        return True  # weights alone: a moment
    question = _of_scores(recipe)
    if question in remembered(ScoringState).stopped:
        st.info(_("Scoring was stopped: choose another criterion, or go on."))
        st.button(_("Go on"), key=f"{place}_go_on", on_click=_go_on, args=(question,))
        return False
    if _now(question, place, AT_ONCE_S) is None:
        return True
    st.fragment(_wait, run_every=POLL_S, key=place)(question, place, stop)
    return False


def scored_by_now(recipe: Recipe) -> bool:
    """Whether the recipe's units have their scores; draws nothing."""
    return not isinstance(recipe.criterion, LooksAtData) or _now(_of_scores(recipe), "scores", 0.0) is None


def _of_scores(recipe: Recipe) -> Recipe:
    """The recipe without what does not change its units' scores."""
    return Recipe(recipe.workload, recipe.criterion, recipe.granularity, seed=recipe.seed)


def _now(question: Recipe, place: str, wait: float) -> tuple[Scoring, int] | None:
    """How far it is, and how many others' questions are answered in turn with it; None once it is done."""
    now = follow(place, score, question, complete=_done, background=True, wait=wait)
    known = now.known()
    return None if now.over else (known or Scoring(0.0, 0.0), now.others)


def _done(known: Scoring) -> bool:
    return known.done


def _wait(question: Recipe, place: str, stop: bool) -> None:
    if question in remembered(ScoringState).stopped:
        st.rerun()  # Stop was pressed: a button in a part of the page draws that part alone
    try:
        now = _now(question, place, 0.0)
    except PruningError:
        st.rerun()  # the page says what went wrong
    if now is None:
        st.rerun()
    words = _("{criterion} scores the units").format(criterion=kind_of(question.criterion).replace("_", " "))
    known, others = now
    left = _(", about {time} left").format(time=duration(known.seconds_left)) if known.seconds_left else ""
    turns = _(" of computing, in turns with {n} others").format(n=others) if left and others else ""
    st.progress(known.share, words + left + turns)
    if stop:
        st.button(_("Stop"), key=f"{place}_stop", on_click=_stop, args=(question, place))


def _stop(question: Recipe, place: str) -> None:
    remembered(ScoringState).stopped.add(question)
    unfollow(place)


def _go_on(question: Recipe) -> None:
    remembered(ScoringState).stopped.discard(question)
