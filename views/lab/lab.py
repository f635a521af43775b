"""The Lab: see a network, prune it, fine-tune it, take it home. Reads top to bottom as the page looks."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pruning.errors import PruningError, RecipeError, SurgeryError
from pruning.interactive.queries import look
from views.lab import layer_panel, run_button, score, units_panel
from views.lab.state import lab_state
from views.shared import recipe_sidebar, run_panel, run_result, strip
from views.shared.language import _
from views.shared.plain_text import plain
from views.shared.repairs import repairs
from views.shared.scoring import scored
from views.shared.server import ask, open_all, opened
from views.shared.state import shared_state


def page() -> None:
    if problem := recipe_sidebar.restore():
        st.error(plain(problem))
    places = recipe_sidebar.draw()
    network = st.container()
    left, right = st.columns([1, 1], gap="large")
    with network:
        _moved(places, left)
    with right:
        run_panel.show()
    if (row := run_panel.shown()) is not None:
        run_result.show(row)


@st.fragment(key="network")
def _moved(places: recipe_sidebar.Places, left: DeltaGenerator) -> None:
    """All that changes when the amount does, and the amount: a move draws this part of the page alone."""
    choice = recipe_sidebar.choose_amount(places)
    # drawn before anything is asked: a click shall not be lost to a page that is drawn anew
    state = lab_state()
    refusal = state.refusal if state.refused == choice.recipe else ""
    run_button.show(places.run, choice.recipe, choice.problem or refusal)
    top, middle, aside = st.container(), st.container(), left.container()
    try:
        _network(choice, top, middle, aside)
    except PruningError as error:
        if state.refused != choice.recipe and isinstance(error, RecipeError | SurgeryError):
            state.refused, state.refusal = choice.recipe, str(error)
            st.rerun()  # what cannot be cut cannot be run; a page out of patience or a lost worker say nothing of a run
        top.error(plain(error))
        if shared_state().whole or shared_state().overrides:
            top.button(_("Take back what was set for single layers"), on_click=recipe_sidebar.forget_layers)


def _network(choice: recipe_sidebar.Choice, top: DeltaGenerator, middle: DeltaGenerator, left: DeltaGenerator) -> None:
    """What the worker says of the network: strip, layers, heatmap. A run is shown whether or not it has an answer."""
    recipe = choice.shown
    lab_state().forget_heatmap_of_others(recipe)
    model = opened(recipe.workload)
    with top:
        if not scored(recipe):
            return
    now = ask(look, recipe, layer_panel.axis())
    with top:
        if recipe != choice.recipe:  # where the sidebar is folded away nothing else says so
            st.caption(_("note: the amount is automatic. A run finds it; until then the dense network is shown."))
        if now.zeroed:
            st.caption(_("note: {sentence}").format(sentence=plain(now.zeroed)))
        if choice.problem:
            waiting = _("not measured: the choices do not fit together")
            strip.show(score.tiles_of(model, now, recipe, repairs(), None, waiting), stale=True)
        else:
            score.show(model, now, recipe)
            open_all(recipe.workload)
        if model.at_chance:
            st.caption(_("note: {sentence}").format(sentence=plain(model.at_chance)))
    with middle:
        layer_panel.show(model, now, choice.recipe, stale=bool(choice.problem))
    with left:
        layer = layer_panel.heatmap_layer(model, now)
        if layer:
            layer_panel.show_heatmap(recipe, layer, stale=bool(choice.problem))
        if not choice.problem:
            units_panel.show(now, recipe, layer)


page()
