"""Asking for a sensitivity map: of what it is, how far it has come, and more of it at every poll."""

import time
from dataclasses import replace

from pruning.errors import PruningError
from pruning.interactive.queries import sensitivity
from pruning.layer_sensitivity.result import LEVELS, Sensitivity, merged
from pruning.recipe.recipe import Recipe
from views.sensitivity.state import KnownMap, Question, sensitivity_state
from views.shared.server import backend, follow, unfollow

TIMED_S = 1.0  # after so much measuring the time left is shown


def question_of(recipe: Recipe, half_width: float, max_drop: float) -> Question:
    """Another scope, amount or tuning does not make another map."""
    same = Recipe(recipe.workload, recipe.criterion, recipe.granularity, seed=recipe.seed, repair=recipe.repair)
    return Question(same, half_width, max_drop)


def known_of(question: Question) -> KnownMap:
    """What this session knows that bears on the question."""
    state = sensitivity_state()
    known = state.known
    if known is None or known.question.recipe.workload != question.recipe.workload:
        known = KnownMap(question)
    elif known.question.recipe != question.recipe:
        known = KnownMap(question, before=known.map or known.before)
    elif known.question != question:
        stopped = known.stopped and known.question.half_width == question.half_width  # another limit starts nothing
        known = KnownMap(question, known.map, known.before, stopped=stopped)
    if state.stop_asked:
        state.stop_asked, known = False, replace(known, stopped=True)
    state.known = known
    return known


def ask_more(question: Question) -> None:
    """Take what the workers know by now, each of its share of the rows; they go on as long as they are asked."""
    known = known_of(question)
    if not known.going_on:
        return
    n = backend().workers
    asked = (question.recipe, LEVELS, question.half_width, question.max_drop)
    parts = [follow(f"map {i}", sensitivity, *asked, (i, n), complete=_done, background=True, part=i) for i in range(n)]
    try:
        rows = [part.known() for part in parts]
    except PruningError as error:
        sensitivity_state().known = replace(known, problem=str(error))
        return
    found = [row for row in rows if row is not None]
    if len(found) < n:
        return
    sensed = merged(found)
    if not known.began:
        known = replace(known, began=time.monotonic(), spent=sensed.spent)
    sensitivity_state().known = replace(known, map=sensed)


def _done(sensed: Sensitivity) -> bool:
    return sensed.done


def stop() -> None:
    """Stop what is going on when the page is next drawn: by then that may be the map of a choice made just before."""
    sensitivity_state().stop_asked = True


def go_on() -> None:
    """From where it was stopped; where it failed, it is tried again."""
    state = sensitivity_state()
    if state.known is not None:
        for i in range(backend().workers):
            unfollow(f"map {i}")
        state.known = replace(state.known, stopped=False, problem="", began=0.0)


def seconds_left(known: KnownMap) -> float | None:
    """By the pace since the measuring began or went on, polls and other sessions' questions included."""
    if known.map is None or not known.began:
        return None
    passed, evaluated = time.monotonic() - known.began, known.map.spent - known.spent
    if passed < TIMED_S or evaluated <= 0:
        return None
    return max(known.map.planned - known.map.spent, 0) * passed / evaluated
