"""The sensitivity map as this session knows it: of what it is, how far it has come, and the asking for more."""

import time
from dataclasses import dataclass, replace

import streamlit as st

from pruning.errors import PruningError
from pruning.interactive.queries import sensitivity
from pruning.layer_sensitivity.result import LEVELS, Sensitivity, merged
from pruning.recipe.recipe import Recipe
from views.shared.server import backend, share_out

A_POLL_S = 0.2  # how long one poll lets the worker evaluate samples
TIMED_S = 1.0  # of so much measuring a time left can be told


# not in the page's own file: Streamlit executes that anew at every run, and instances of two runs would never be equal
@dataclass(frozen=True)
class Question:
    """What a map is of: the recipe without what does not change it, how narrow its intervals shall be, and `max_drop`.

    That is what a layer's largest cut may cost, in [0, 1].
    """

    recipe: Recipe
    half_width: float
    max_drop: float


@dataclass(frozen=True)
class Told:
    """What this session has been told. `map` may still be as sharp as was asked before: what it says stays true.

    `before` is the map of another criterion or other units, shown greyed until there is one of these.

    Since `began`, a monotonic time, the samples beyond `spent` were evaluated: that gives the time left.
    """

    question: Question
    map: Sensitivity | None = None
    before: Sensitivity | None = None
    problem: str = ""
    stopped: bool = False
    began: float = 0.0
    spent: int = 0

    @property
    def done(self) -> bool:
        asked = self.question
        if self.map is None or (self.map.half_width, self.map.max_drop) != (asked.half_width, asked.max_drop):
            return False
        return self.map.done

    @property
    def going_on(self) -> bool:
        return not self.problem and not self.stopped and not self.done


def question_of(recipe: Recipe, half_width: float, max_drop: float) -> Question:
    """Another scope, amount or tuning does not make another map."""
    same = Recipe(recipe.workload, recipe.criterion, recipe.granularity, seed=recipe.seed)
    return Question(same, half_width, max_drop)


def reported_of(question: Question) -> Told:
    """What this session has been told that bears on the question."""
    known: Told | None = st.session_state.get("sensitivity_reported")
    if known is None or known.question.recipe.workload != question.recipe.workload:
        known = Told(question)
    elif known.question.recipe != question.recipe:
        known = Told(question, before=known.map or known.before)
    elif known.question != question:
        stopped = known.stopped and known.question.half_width == question.half_width  # another limit starts nothing
        known = Told(question, known.map, known.before, stopped=stopped)
    st.session_state.sensitivity_reported = known
    if st.session_state.pop("sensitivity_stop_asked", False):
        known = st.session_state.sensitivity_reported = replace(known, stopped=True)
    return known


def ask_more(question: Question) -> None:
    """For the time of a poll, let the workers evaluate more samples, each in its share of the rows."""
    known = reported_of(question)
    if not known.going_on:
        return
    try:
        n = backend().workers
        asked = (question.recipe, LEVELS, question.half_width, A_POLL_S)
        parts = [(*asked, (i, n), question.max_drop) for i in range(n)]
        sensed = merged(share_out(sensitivity, parts))
    except PruningError as error:
        st.session_state.sensitivity_reported = replace(known, problem=str(error))
        return
    if not known.began:
        known = replace(known, began=time.monotonic(), spent=sensed.spent)
    st.session_state.sensitivity_reported = replace(known, map=sensed)


def stop() -> None:
    """What goes on when the page is next drawn: that may by then be the map of a choice made just before."""
    st.session_state.sensitivity_stop_asked = True


def go_on() -> None:
    st.session_state.sensitivity_reported = replace(
        st.session_state.sensitivity_reported, stopped=False, problem="", began=0.0
    )


def seconds_left(known: Told) -> float | None:
    """By the pace since the measuring began or went on, polls and other sessions' questions included."""
    if known.map is None or not known.began:
        return None
    passed, evaluated = time.monotonic() - known.began, known.map.spent - known.spent
    if passed < TIMED_S or evaluated <= 0:
        return None
    return max(known.map.planned - known.map.spent, 0) * passed / evaluated
