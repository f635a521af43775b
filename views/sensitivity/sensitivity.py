"""Sensitivity: what each layer alone can lose. Reads top to bottom as the page looks."""

from collections.abc import Mapping
from dataclasses import replace
from html import escape

import streamlit as st

from pruning.errors import PruningError
from pruning.interactive.responses import ModelView
from pruning.layer_sensitivity.result import Sensitivity
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from pruning.repair import NoRepair
from pruning.reporting.formatting import count, duration, limit_text
from pruning.reporting.plots_sensitivity import MOST_CURVES, curve_points
from views.sensitivity import asking as sensitivity_asking
from views.sensitivity import suggestion as sensitivity_suggestion
from views.sensitivity import table as sensitivity_table
from views.sensitivity.curves import curves_spec
from views.sensitivity.state import SHARPNESS, KnownMap, Question, cuts_of, sensitivity_state
from views.shared import recipe_sidebar
from views.shared.language import _
from views.shared.pages import LAB
from views.shared.plain_text import plain
from views.shared.scoring import scored
from views.shared.server import opened

POLL_S = 0.25
LEAVE_S = 0.3  # longer than an answer to a poll is under way


def page() -> None:
    if problem := recipe_sidebar.restore():
        st.error(plain(problem))
    choice = recipe_sidebar.choose()
    st.subheader(_("Sensitivity"))
    st.caption(
        _(
            "Each layer is cut alone, to each level, and evaluated on the validation split: what does it cost? Criterion, units and repair on the left matter here; scope, amount and fine-tuning do not."
        )
    )
    if not isinstance(choice.recipe.repair, NoRepair):
        words = _(
            "Every cut is repaired by {repair} before it is evaluated: the map says what a layer costs after repair."
        )
        st.caption(words.format(repair=kind_of(choice.recipe.repair)))
    if choice.problem:
        st.warning(_("The choices on the left do not fit together; the map is of the last that did."))
    try:
        model = opened(choice.recipe.workload)
        if not scored(choice.recipe):
            return
    except PruningError as error:
        st.error(plain(error))
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        question = sensitivity_asking.question_of(choice.recipe, _sharpness(model), sensitivity_suggestion.limit(model))
        known = sensitivity_asking.known_of(question)
        _stop_button(known)
    leaving = _leaving()
    polling = not leaving and _open(model, known, choice.recipe)
    st.fragment(_sharpen, run_every=POLL_S if polling else None, key="sensitivity")(
        model, choice.recipe, question, polling, leaving
    )
    if leaving:
        st.fragment(_leave, run_every=LEAVE_S, key="sensitivity_leave")()


def _leaving() -> bool:
    """Whether the suggestion was loaded into the Lab, where this page goes next."""
    return sensitivity_state().leaving != "no"


def _leave() -> None:
    """Go to the Lab, not now but at the first tick: a poll that arrives while Streamlit switches leaves a blank page."""
    state = sensitivity_state()
    if state.leaving == "drawn":
        state.leaving = "no"
        st.switch_page(LAB)
    state.leaving = "drawn"


def _sharpness(model: ModelView) -> float:
    """The half-width that is asked for, in the unit of the score."""
    state = sensitivity_state()  # Streamlit forgets a page's controls
    words = _sharpnesses(model)
    chosen = st.segmented_control(
        _("sharpness"), list(words), key="_".join(["sensitivity_sharpness", *([] if model.metric.percent else [f"{next(iter(words)):g}"])]),
        default=state.half_width if state.half_width in words else next(iter(words)), required=True, format_func=words.__getitem__,
        help=_("How narrow the 95 % interval of every cell becomes, in points. exact: all samples are evaluated, as a loop over layers and levels would.")
        if model.metric.percent
        else _("How narrow the 95 % interval of every cell becomes. exact: all samples are evaluated, as a loop over layers and levels would."),
    )  # fmt: skip
    state.half_width = chosen
    return chosen


def _sharpnesses(model: ModelView) -> dict[float, str]:
    """Half-width -> what the control calls it."""
    metric, small = model.metric, model.metric.tolerance(model.score)
    if metric.percent:
        return {half_width: _(words) for half_width, words in SHARPNESS.items()}
    return {small: f"± {limit_text(small, metric)}", small / 2: f"± {small / 2:g}", 0.0: _("exact")}


def _stop_button(known: KnownMap) -> None:
    """Stop keeps the map as it is; Go on continues where it ended."""
    if known.stopped or known.problem:
        st.button(_("Go on"), key="sensitivity_go_on", on_click=sensitivity_asking.go_on)
    else:
        words = _("Keeps the map as it is; it can go on from there.")
        st.button(
            _("Stop"), key="sensitivity_stop", shortcut="Esc", on_click=sensitivity_asking.stop, help=words, disabled=known.done
        )  # fmt: skip


def _open(model: ModelView, known: KnownMap, recipe: Recipe) -> bool:
    """Whether there is more to be asked, of the map or of the suggestion."""
    if known.going_on or known.map is None or not known.map.rows:
        return known.going_on
    return not sensitivity_suggestion.complete(sensitivity_suggestion.suggestion(model, known.map, recipe))


def _sharpen(model: ModelView, recipe: Recipe, question: Question, polling: bool, leaving: bool) -> None:
    """The map and what follows from it, sharper at every poll; when nothing is open the page is drawn once more."""
    if _leaving() and not leaving:
        st.rerun()  # without polls
    question = replace(question, max_drop=sensitivity_suggestion.limit(model))  # its slider is in this part of the page
    known, drawn = sensitivity_asking.known_of(question), sensitivity_state().drawn == question
    # an empty place would blank the line for as long as a poll takes: only before there is anything to show
    place = st.empty() if known.map is None else st.container()
    if known.map is None:
        with place:
            _progress(known)
    if (
        drawn or known.map is None
    ) and not _leaving():  # what is known by now is shown before the first question is asked
        sensitivity_asking.ask_more(question)
        _ask_together(model, question, recipe)
    sensitivity_state().drawn = question
    known = sensitivity_asking.known_of(question)
    with place:
        _progress(known)
    if known.map is not None:
        _show(model, known.map, recipe)
    elif known.before is not None:
        _map(known.before, {}, stale=True)
    if not leaving and polling != _open(model, known, recipe):
        st.rerun()


def _ask_together(model: ModelView, question: Question, recipe: Recipe) -> None:
    """Evaluate the suggestion once it stays the same from one poll to the next."""
    known = sensitivity_asking.known_of(question)
    if known.map is None or not known.map.rows:
        return
    wanted = sensitivity_suggestion.suggestion(model, known.map, recipe)
    if not known.going_on or sensitivity_state().suggested == wanted:
        sensitivity_suggestion.ask_more(wanted)
    sensitivity_state().suggested = wanted


def _progress(known: KnownMap) -> None:
    """One line and a bar: samples, layers, time left."""
    if known.problem:
        st.error(plain(known.problem))
    elif known.map is None:
        words = (
            _("stopped before the first samples") if known.stopped else _("scoring units, evaluating the first samples")
        )
        st.progress(0.0, words)
    else:
        sensed = known.map
        share = 1.0 if known.done else min(sensed.spent / max(sensed.planned, 1), 1.0)
        st.progress(share, _where(known, sensed))


def _where(known: KnownMap, sensed: Sensitivity) -> str:
    rows = sum(row.done for row in sensed.rows)
    if known.done:
        words = _("done: {spent} samples went through the network in {time}")
        return words.format(spent=count(sensed.spent), time=duration(sensed.seconds))
    words = _("{spent} of about {planned} samples, {rows} of {all} layers done")
    text = words.format(
        spent=count(sensed.spent), planned=count(max(sensed.planned, sensed.spent)), rows=rows, all=len(sensed.rows)
    )
    if known.stopped:
        return text + _(", stopped")
    left = sensitivity_asking.seconds_left(known)
    return text if left is None else text + _(", {time} left").format(time=duration(left))


def _show(model: ModelView, sensed: Sensitivity, recipe: Recipe) -> None:
    if not sensed.rows:
        st.info(_("No layer has units that may be pruned; the list below says why. Choose other units on the left."))
        _left_out(sensed)
        return
    box = st.container(key="sensitivity_box")
    limit = box.container()  # filled below: the slider stands beside what it changes, and the map is drawn above it
    left, right = box.columns(2, gap="large")
    with right:
        st.subheader(_("Largest cuts"))
        sensitivity_suggestion.slider(model)
        wanted = sensitivity_suggestion.suggestion(model, sensed, recipe)
        cuts = cuts_of(wanted)
        sensitivity_suggestion.show(model, sensed, wanted, cuts)
    with limit:
        _map(sensed, cuts)
    with left:
        _curves(sensed)


def _map(sensed: Sensitivity, cuts: Mapping[str, float], stale: bool = False) -> None:
    st.container(key="sensitivity_map").html(sensitivity_table.CSS + sensitivity_table.map_html(sensed, cuts, stale))
    st.html(sensitivity_table.key_html(sensed))
    for reason in dict.fromkeys(row.full_passes for row in sensed.rows if row.full_passes):
        names = ", ".join(row.name for row in sensed.rows if row.full_passes == reason)
        st.caption(_("full passes for {layers}: {reason}").format(layers=plain(names), reason=plain(reason)))
    _left_out(sensed)


def _left_out(sensed: Sensitivity) -> None:
    """Layers without a row, with the reason, each reason once."""
    if not sensed.left_out:
        return
    reasons = dict.fromkeys(sensed.left_out.values())
    items = "".join(
        f"<li><b>{escape(', '.join(name for name, why in sensed.left_out.items() if why == reason))}</b>: {escape(reason)}</li>"
        for reason in reasons
    )
    with st.expander(_("{n} layers stay whole").format(n=len(sensed.left_out))):
        st.html(f"<ul style='margin:0;padding-left:1.2em;font-size:13px'>{items}</ul>")


def _curves(sensed: Sensitivity) -> None:
    """The score over the level for the chosen layers. Keyed, so that updates keep the chart in place."""
    st.subheader(_("Curves"))
    names = [row.name for row in sensed.rows]
    chosen = [name for name in st.session_state.get("sensitivity_rows", ()) if name in names]
    if chosen != st.session_state.get("sensitivity_rows") or not chosen:
        st.session_state["sensitivity_rows"] = chosen or names[:1]
    picked = st.multiselect(
        _("layers"), names, key="sensitivity_rows", max_selections=MOST_CURVES,
        help=_("Up to {n}, to be compared; bands are 95 % intervals.").format(n=MOST_CURVES),
    )  # fmt: skip
    rows = [row for name in picked for row in sensed.rows if row.name == name]
    if not rows:
        return
    metric = sensed.metric
    points = curve_points(rows, sensed.dense, metric)
    words = _("{metric} of {layers} by level, dashed: dense; the numbers are in the table above")
    st.vega_lite_chart(
        spec=curves_spec(points, sensed.dense, metric), key="sensitivity_curves", width="stretch",
        alt=words.format(metric=_(metric.name), layers=", ".join(picked)),
    )  # fmt: skip


page()
