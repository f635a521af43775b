"""Search: how much of each layer goes, chosen by the machine. Reads top to bottom as the page looks."""

from dataclasses import replace

import streamlit as st

from pruning.criteria import Taylor
from pruning.errors import PruningError
from pruning.granularities import Channels
from pruning.interactive.queries import search, verify
from pruning.interactive.responses import ModelView
from pruning.level_search.result import FrontPoint, Searched, nearest, to_verify
from pruning.recipe.recipe import Recipe
from pruning.repair import LeastSquares, NoRepair
from pruning.reporting.formatting import bare_width, change_text, count, duration, percent, score_text
from pruning.reporting.plots_search import COST_NAMES, front_figure
from pruning.selection.goal import COSTS, Goal
from views.search.state import BATCHES, Asked, search_state
from views.shared import recipe_sidebar
from views.shared.language import _
from views.shared.pages import LAB
from views.shared.plain_text import plain
from views.shared.scoring import scored
from views.shared.server import backend, follow, opened

POLL_S = 0.5
LEAVE_S = 0.3


def page() -> None:
    if problem := recipe_sidebar.restore():
        st.error(plain(problem))
    choice = recipe_sidebar.choose()
    st.subheader(_("Search"))
    st.caption(
        _(
            "How much of each layer should go? Each layer is cut alone, repaired and measured; then the best levels of all layers are solved for, and the best cuts evaluated. Criterion, units and repair on the left matter here; scope, amount and fine-tuning do not."
        )
    )
    try:
        model = opened(choice.recipe.workload)
    except PruningError as error:
        st.error(plain(error))
        return
    goal = _controls(model, choice.recipe)
    state = search_state()
    if state.going_on and state.found is None and state.asked is not None and not _scored(state.asked.recipe):
        return
    leaving = state.leaving != "no"
    polling = (state.going_on or _verifies(goal)) and not leaving
    st.fragment(_sharpen, run_every=POLL_S if polling else None, key="search")(model, goal, polling, leaving)
    if leaving:
        st.fragment(_leave, run_every=LEAVE_S, key="search_leave")()


def _scored(recipe: Recipe) -> bool:
    """Whether the search may begin; else draws how far scoring is, or why its units cannot be scored."""
    try:
        return scored(recipe, "search_scores", stop=False)
    except PruningError as error:
        st.error(plain(error))
        return False


def _controls(model: ModelView, recipe: Recipe) -> Goal:
    """What becomes small, how much may be left and lost, and the buttons that begin."""
    state = search_state()  # Streamlit forgets a page's controls
    unit = _("points") if model.metric.percent else model.metric.name
    one = 1.0 if model.metric.percent else model.metric.tolerance(model.score)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        state.cost = st.segmented_control(
            _("make smaller"), list(COSTS), default=state.cost, key="search_cost", required=True,
            format_func=lambda kind: _(COST_NAMES[kind]),
            help=_("Parameters that are not zero, bytes of the file, multiply-accumulates, or the time of a pass on this machine."),
        )  # fmt: skip
        state.batch = st.segmented_control(
            _("samples in a pass"), BATCHES, default=state.batch, key="search_batch", required=True,
            help=_("Whose time counts. Of a single sample, much of the time is spent between the layers, and removing units saves little."),
        )  # fmt: skip
        state.left = st.slider(
            _("at most so much is left, %"), 5, 100, round(100 * state.left), key="search_left",
            help=_("Of the dense network's cost. 100: only the loss is limited, and the cheapest cut is looked for."),
        ) / 100  # fmt: skip
        state.lost = st.slider(
            _("at most so much is lost, {unit}").format(unit=unit), 0.0, 10.0 * one, min(state.lost, 10.0) * one, 0.1 * one, key=f"search_lost_{unit}",
            help=_("Of the score on the validation split. Within a budget the cut that loses least is looked for, and it is said whether it keeps to this."),
        ) / one  # fmt: skip
    lost = state.lost * one / (100 if model.metric.percent else 1)
    goal = Goal(state.cost, None if state.left >= 1 else state.left, lost)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            _("Half as slow, at most a point lost") if model.metric.percent else _("Half as slow"), key="search_half", on_click=_begin,
            args=(_fast(recipe), Goal("latency", 0.5, one / (100 if model.metric.percent else 1)), state.batch),
            help=_("Channels with a repair, until a pass takes half of the time on this machine."),
        )  # fmt: skip
        st.button(_("Search"), type="primary", key="search_begin", on_click=_begin, args=(recipe, goal, state.batch))
        st.button(_("Stop"), key="search_stop", shortcut="Esc", on_click=_stop, disabled=not state.going_on)
        if isinstance(recipe.repair, NoRepair):
            st.caption(_("Without a repair: choose one on the left, and far more can go."))
    return goal


def _fast(recipe: Recipe) -> Recipe:
    """The recipe with choices that make a network faster: weights that are set to zero do not."""
    repair = LeastSquares() if isinstance(recipe.repair, NoRepair) else recipe.repair
    if recipe.granularity.removable:
        return replace(recipe, repair=repair)
    return Recipe(recipe.workload, Taylor(), Channels(), tuning=recipe.tuning, schedule=recipe.schedule, seed=recipe.seed, repair=repair)  # fmt: skip


def _verifies(goal: Goal) -> bool:
    """Whether the limits stand at a cut that is only estimated: it is measured, and nobody waits for that."""
    state = search_state()
    if state.found is None or state.asked is None or state.problem or state.stopped:
        return False
    return state.verifying is not None or to_verify(state.found, goal) is not None


def _verify(goal: Goal) -> None:
    """Ask a worker for the cut at the limits, or take its answer."""
    state = search_state()
    if state.verifying is not None and state.verifying.done():
        answer, state.verifying = state.verifying, None
        try:
            found = answer.result()
        except PruningError as error:
            state.problem = str(error)
        else:
            # a worker that has forgotten the search makes it anew, step by step: what was found stays until then
            state.found = found if found is not None and found.done else state.found
    elif state.verifying is None and state.found is not None and state.asked is not None:
        point, asked = to_verify(state.found, goal), state.asked
        if point is not None:
            [state.verifying] = backend().fan_out(verify, [(asked.recipe, asked.goal, asked.batch, dict(point.shares))])


def _begin(recipe: Recipe, goal: Goal, batch: int) -> None:
    state = search_state()
    state.verifying = None
    state.asked, state.found, state.problem, state.stopped = Asked(recipe, goal, batch), None, "", False


def _stop() -> None:
    search_state().stopped = True


def _sharpen(model: ModelView, goal: Goal, polling: bool, leaving: bool) -> None:
    """What is found so far, more at every poll."""
    state = search_state()
    if state.leaving != "no" and not leaving:
        st.rerun()  # the whole page, which leaves
    if state.going_on and polling and state.asked is not None:
        asked = state.asked
        now = follow("search", search, asked.recipe, asked.goal, asked.batch, complete=_done, background=True, part=0)
        state.found, state.problem = now.outcome or state.found, "" if now.error is None else str(now.error)
    elif polling:
        _verify(goal)
    if state.problem:
        st.error(plain(state.problem))
    elif state.asked is None:
        st.info(_("Nothing was searched for yet."))
    elif state.found is None and state.stopped:
        st.info(_("Stopped before anything was found."))
    elif state.found is None:
        st.progress(0.0, _("cutting the first group"))
    else:
        _show(model, state.found, goal)
    if polling != ((state.going_on or _verifies(goal)) and state.leaving == "no"):
        st.rerun()


def _done(found: Searched) -> bool:
    return found.done


def _show(model: ModelView, found: Searched, goal: Goal) -> None:
    share = 1.0 if found.done else min(found.evaluations / max(found.planned, 1), 1.0)
    st.progress(share, _where(found))
    if found.best is not None:
        st.markdown(_("**{sentence}**").format(sentence=_sentence(found, found.best)))
    if not found.front:
        return
    point = None if goal.cost != found.goal.cost else nearest(found, goal)
    if point is None and found.done and goal.cost == found.goal.cost:
        st.caption(_("No cut that is known keeps to the limits above: allow more, or search again with them."))
    if point is not None and point != found.best:
        measuring = _("; it is being measured") if search_state().verifying is not None else ""
        st.caption(_("With the limits above: {sentence}{measuring}").format(sentence=_sentence(found, point), measuring=measuring))  # fmt: skip
    chosen = st.plotly_chart(
        front_figure(found), key=f"search_front_{found.evaluations if not found.done else 'done'}", width="stretch", on_select="rerun", selection_mode="points",
        config={"displayModeBar": False}, alt=_("score over what is left of the cost: the points are in the list below"),
    )  # fmt: skip
    _take_home(found, _clicked(chosen))


def _clicked(chosen: object) -> int | None:
    """The place in the front of the point that was clicked."""
    points = chosen["selection"]["points"] if isinstance(chosen, dict) else []
    return next((int(point["customdata"]) for point in points if "customdata" in point), None)


def _take_home(found: Searched, clicked: int | None) -> None:
    """A list of the points for who uses a keyboard, and the way to the Lab."""
    places = list(range(len(found.front)))
    best = found.front.index(found.best) if found.best in found.front else len(places) - 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        place = st.selectbox(
            _("point of the front"), places, index=best if clicked is None else clicked, key=f"search_point_{clicked}_{found.done}",
            format_func=lambda at: _sentence(found, found.front[at]),
        )  # fmt: skip
        st.button(
            _("Load into the Lab"), type="primary", key="search_load", disabled=not found.done and not search_state().stopped,
            help=_("Sets each layer's sparsity, the criterion, the units and the repair in the Lab."),
            on_click=_load, args=(found.front[place].recipe(found.recipe),),
        )  # fmt: skip


def _sentence(found: Searched, point: FrontPoint) -> str:
    """What a point leaves and loses, and how that is known."""
    metric = found.metric
    change = change_text(-point.drop if metric.better == "higher" else point.drop, metric)
    width = "" if point.provenance == "measured" else f" ± {bare_width(point.half_width, metric, 2)}"
    return _("{left} of the {cost} left, {change}{width} ({how})").format(
        left=percent(point.cost),
        cost=_(COST_NAMES[found.goal.cost]),
        change=change,
        width=width,
        how=_(point.provenance),
    )


def _where(found: Searched) -> str:
    if not found.done:
        words = _("{phase}: cut {made} of about {planned}")
        return words.format(phase=_(found.phase), made=count(found.evaluations), planned=count(found.planned))
    words = _("done: {made} cuts in {time}; dense {dense}") if found.met else _("done: {made} cuts in {time}, none keeps to all limits; dense {dense}")  # fmt: skip
    return words.format(
        made=count(found.evaluations), time=duration(found.seconds), dense=score_text(found.dense, found.metric)
    )


def _load(recipe: Recipe) -> None:
    recipe_sidebar.reopen(recipe)
    search_state().leaving = "asked"


def _leave() -> None:
    """Go to the Lab, not now but at the first tick: a poll that arrives while Streamlit switches leaves a blank page."""
    state = search_state()
    if state.leaving == "drawn":
        state.leaving = "no"
        st.switch_page(LAB)
    state.leaving = "drawn"


page()
