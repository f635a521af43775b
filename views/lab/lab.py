"""The Lab: see a network, prune it, fine-tune it, take it home. Reads top to bottom as the page looks."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pruning.errors import PruningError, RecipeError, SurgeryError
from pruning.execution.followed import Progress
from pruning.interactive.cut import cut_of
from pruning.interactive.queries import estimate, look
from pruning.interactive.responses import AccuracyPreview, CutPreview, ModelView, RepairPreview
from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair
from pruning.reporting.formatting import limit_text
from views.lab import layer_panel, run_button, units_panel
from views.lab.state import lab_state
from views.shared import recipe_sidebar, run_panel, run_result, strip
from views.shared.language import _
from views.shared.plain_text import plain
from views.shared.repairs import ask_more, known_repair
from views.shared.scoring import scored
from views.shared.server import ask, follow, open_all, opened, poll_s
from views.shared.state import shared_state

FIRST_S = 1.5  # how long the page waits for the first estimate before it looks again at its next poll


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
            strip.show(_tiles(model, now, recipe, None, waiting), stale=True)
        else:
            _score(model, now, recipe)
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


def _score(model: ModelView, now: CutPreview, recipe: Recipe) -> None:
    """The strip: sizes at once, then the score, first from a few samples and then from more until all are seen.

    With a repair the repaired network's score stands beside it, as soon as the cut stays the same for a moment.
    """
    place = st.empty()
    with place.container():
        waiting = _("evaluating the first samples")
        strip.show(_tiles(model, now, recipe, None, waiting))
        _said_of_repair(model, recipe)
    first = _measured(recipe, wait=FIRST_S)
    if first.error is not None:
        st.error(plain(first.error))
        return
    with place.container():
        if _complete(first.outcome, recipe):
            strip.show(_tiles(model, now, recipe, first.outcome))
            _said_of_repair(model, recipe)
        else:
            st.fragment(_sharpen, run_every=poll_s(first.others), key="strip")(model, now, recipe)
    open_all(recipe.workload)


def _measured(recipe: Recipe, wait: float = 0.0) -> Progress[AccuracyPreview]:
    """What is known of the cut's score by now; the workers go on with it as long as it is asked."""
    return follow("score", estimate, cut_of(recipe), complete=_known_to_the_end, wait=wait)


def _known_to_the_end(outcome: AccuracyPreview) -> bool:
    return outcome.estimate.measured and outcome.gzip_bytes is not None


def _tiles(
    model: ModelView, now: CutPreview, recipe: Recipe, outcome: AccuracyPreview | None, waiting: str = ""
) -> list[strip.Tile]:
    sizes = strip.sizes(model, now, outcome)
    if isinstance(recipe.repair, NoRepair):
        return [strip.score(model, outcome, waiting), *sizes]
    known = known_repair(recipe)
    words = known.problem or _("repairing, once the slider rests")
    return [strip.score(model, outcome, waiting, _("as cut")), strip.repaired(model, known.outcome, words), *sizes]


def _complete(outcome: AccuracyPreview | None, recipe: Recipe) -> bool:
    """Whether there is nothing more to be known of the cut, nor of its repair."""
    return outcome is not None and _known_to_the_end(outcome) and known_repair(recipe).complete


def _said_of_repair(model: ModelView, recipe: Recipe) -> None:
    """What a repair left as it was, and whether it does without training. A line from the start, so that nothing moves."""
    if isinstance(recipe.repair, NoRepair):
        return
    outcome = known_repair(recipe).outcome
    words = "" if outcome is None or not outcome.estimate.measured else _about_repair(model, recipe, outcome)
    st.caption(words or "\u00a0")


def _about_repair(model: ModelView, recipe: Recipe, outcome: RepairPreview) -> str:
    """In words; empty where there is nothing to say."""
    metric, words = model.metric, ""
    if outcome.helped and metric.drop(outcome.estimate.change) <= metric.tolerance(model.score):
        words = _(
            "Repaired, it scores within {limit} of the dense network: it may need no training (epochs 0)."
        ).format(limit=limit_text(metric.tolerance(model.score), metric))
    if outcome.left:
        name, why = next(iter(outcome.left.items()))
        left = _("Not repaired: {layer}: {why}").format(layer=name or recipe.workload, why=why)
        more = _(" (and {n} others)").format(n=len(outcome.left) - 1) if len(outcome.left) > 1 else ""
        words = f"{words} {left}{more}".strip()
    return words


def _sharpen(model: ModelView, now: CutPreview, recipe: Recipe) -> None:
    """Show what is known by now, at every poll. A newer slider position draws the page anew and asks for another cut."""
    state = lab_state()
    resting, state.measuring = state.measuring == recipe, recipe
    known = _measured(recipe)
    if known.error is not None:
        st.error(plain(known.error))
        return
    if resting:
        ask_more(recipe)
    strip.show(_tiles(model, now, recipe, known.outcome, _("evaluating the first samples")))
    _said_of_repair(model, recipe)
    if _complete(known.outcome, recipe):
        state.measuring = None
        st.rerun()


page()
