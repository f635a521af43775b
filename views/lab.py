"""The Lab: see a network, cut it, heal it, take it home. Reads top to bottom as the page looks."""

import streamlit as st

from pruning.errors import PruningError
from pruning.lab import Look, ModelView, Outcome, estimate, look, open_workload
from pruning.recipe import Recipe
from views import controls, layer_panel, result, run_panel, strip
from views.server import ask

FIRST_S, NEXT_S = 0.02, 0.2  # how long the worker judges samples before the page hears of it
POLL_S = 0.25


def page() -> None:
    if problem := controls.restore():
        st.error(problem)
    choice = controls.choose()
    run_panel.start_button(choice.recipe, choice.problem)
    top = st.container()
    try:
        model = ask(open_workload, choice.recipe.workload)
        now = ask(look, choice.recipe, layer_panel.axis())
    except PruningError as error:
        top.error(str(error))
        return
    with top:
        _accuracy(model, now, choice.recipe)
    layer_panel.show(model, now, choice.recipe)
    left, right = st.columns([1, 1], gap="large")
    with left:
        layer_panel.show_heatmap(model, choice.recipe)
    with right:
        run_panel.show()
    if (row := run_panel.shown()) is not None:
        result.show(row.id)


def _accuracy(model: ModelView, now: Look, recipe: Recipe) -> None:
    """The strip: sizes at once, then accuracy, first from a few samples and then from more until all are seen."""
    place = st.empty()
    with place:
        strip.show([strip.accuracy(model, None), *strip.sizes(model, now, None)])
    try:
        first = ask(estimate, recipe, FIRST_S)
    except PruningError as error:
        st.error(str(error))
        return
    if first.estimate.measured and first.gzip_bytes is not None:
        with place:
            _strip(model, now, first)
        return
    with place.container():
        st.fragment(_sharpen, run_every=POLL_S, key="strip")(model, now, recipe, first)


def _strip(model: ModelView, now: Look, outcome: Outcome) -> None:
    strip.show([strip.accuracy(model, outcome), *strip.sizes(model, now, outcome)])


def _sharpen(model: ModelView, now: Look, recipe: Recipe, first: Outcome) -> None:
    """Ask for more samples at every poll. A newer slider position draws the page anew and asks for something else."""
    started = st.session_state.get("strip_of") == recipe
    st.session_state.strip_of = recipe
    outcome = ask(estimate, recipe, NEXT_S) if started else first
    _strip(model, now, outcome)
    if outcome.estimate.measured and outcome.gzip_bytes is not None:
        st.session_state.strip_of = None
        st.rerun()


page()
