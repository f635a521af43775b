"""The Lab: see a network, prune it, fine-tune it, take it home. Reads top to bottom as the page looks."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pruning.errors import PruningError, RecipeError, SurgeryError
from pruning.interactive.queries import estimate, look, open_workload
from pruning.interactive.responses import AccuracyPreview, CutPreview, ModelView
from pruning.recipe.recipe import Recipe
from views.lab import layer_panel, run_button, units_panel
from views.lab.state import lab_state
from views.shared import recipe_sidebar, run_panel, run_result, strip
from views.shared.language import _
from views.shared.server import ask, open_elsewhere
from views.shared.state import shared_state

FIRST_S, NEXT_S = 0.02, 0.2  # how long the worker evaluates samples before the page hears of it
POLL_S = 0.25


def page() -> None:
    if problem := recipe_sidebar.restore():
        st.error(problem)
    choice = recipe_sidebar.choose()
    # drawn before anything is asked: a click shall not be lost to a page that is drawn anew
    state = lab_state()
    run_button.show(choice.recipe, choice.problem or (state.refusal if state.refused == choice.recipe else ""))
    top, middle = st.container(), st.container()
    left, right = st.columns([1, 1], gap="large")
    try:
        _network(choice, top, middle, left)
    except PruningError as error:
        if state.refused != choice.recipe and isinstance(error, RecipeError | SurgeryError):
            state.refused, state.refusal = choice.recipe, str(error)
            st.rerun()  # what cannot be cut cannot be run; a page out of patience or a lost worker say nothing of a run
        top.error(str(error))
        if shared_state().whole or shared_state().overrides:
            top.button(_("Take back what was set for single layers"), on_click=recipe_sidebar.forget_layers)
    with right:
        run_panel.show()
    if (row := run_panel.shown()) is not None:
        run_result.show(row)


def _network(choice: recipe_sidebar.Choice, top: DeltaGenerator, middle: DeltaGenerator, left: DeltaGenerator) -> None:
    """What the worker says of the network: strip, layers, heatmap. A run is shown whether or not it has an answer."""
    lab_state().forget_heatmap_of_others(choice.recipe)
    model = ask(open_workload, choice.recipe.workload)
    now = ask(look, choice.recipe, layer_panel.axis())
    with top:
        if now.zeroed:
            st.caption(_("note: {sentence}").format(sentence=now.zeroed))
        if choice.problem:
            waiting = _("not measured: the choices do not fit together")
            strip.show([strip.score(model, None, waiting), *strip.sizes(model, now, None)], stale=True)
        else:
            _score(model, now, choice.recipe)
        if model.at_chance:
            st.caption(_("note: {sentence}").format(sentence=model.at_chance))
    with middle:
        layer_panel.show(model, now, choice.recipe, stale=bool(choice.problem))
    with left:
        layer = layer_panel.heatmap_layer(model, now)
        if layer:
            layer_panel.show_heatmap(choice.recipe, layer, stale=bool(choice.problem))
        if not choice.problem:
            units_panel.show(now, choice.recipe, layer)


def _score(model: ModelView, now: CutPreview, recipe: Recipe) -> None:
    """The strip: sizes at once, then the score, first from a few samples and then from more until all are seen."""
    place = st.empty()
    with place:
        waiting = _("evaluating the first samples")
        strip.show([strip.score(model, None, waiting), *strip.sizes(model, now, None)])
    try:
        first = ask(estimate, recipe, FIRST_S)
    except PruningError as error:
        st.error(str(error))
        return
    if first.estimate.measured and first.gzip_bytes is not None:
        with place:
            _strip(model, now, first)
        open_elsewhere(recipe.workload)  # not before: it would take the first measurement's time
        return
    with place.container():
        st.fragment(_sharpen, run_every=POLL_S, key="strip")(model, now, recipe, first)


def _strip(model: ModelView, now: CutPreview, outcome: AccuracyPreview) -> None:
    strip.show([strip.score(model, outcome), *strip.sizes(model, now, outcome)])


def _sharpen(model: ModelView, now: CutPreview, recipe: Recipe, first: AccuracyPreview) -> None:
    """Ask for more samples at every poll. A newer slider position draws the page anew and asks for something else."""
    state = lab_state()
    started, state.measuring = state.measuring == recipe, recipe
    try:
        outcome = ask(estimate, recipe, NEXT_S) if started else first
    except PruningError as error:
        st.error(str(error))
        return
    _strip(model, now, outcome)
    if outcome.estimate.measured and outcome.gzip_bytes is not None:
        state.measuring = None
        st.rerun()


page()
