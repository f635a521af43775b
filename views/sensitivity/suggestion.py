"""From the map to a cut: the largest of each layer within a limit, what they leave together, and the way to the Lab."""

import json
from collections.abc import Mapping
from functools import partial
from html import escape

import streamlit as st

from pruning.errors import PruningError
from pruning.interactive.cut import cut_of
from pruning.interactive.queries import estimate, look
from pruning.interactive.responses import AccuracyPreview, ModelView
from pruning.layer_sensitivity.result import Sensitivity, SensitivityRow, suggested, to_csv, to_dict
from pruning.metric import Metric
from pruning.recipe.recipe import Recipe, to_json
from pruning.repair import NoRepair
from pruning.reporting.formatting import bare_change, bare_width, count, percent, unit_of
from views.sensitivity.state import KnownSuggestion, cuts_of, sensitivity_state
from views.shared import recipe_sidebar, strip
from views.shared.language import _
from views.shared.plain_text import plain
from views.shared.repairs import repairs, words_for
from views.shared.server import ask, follow

LOWEST, HIGHEST = 0.1, 10.0  # points, or times the tolerance of a score in its own unit

CSS = """<style>
.cuts { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 13px; }
.cuts th, .cuts td { padding: 3px 8px; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
.cuts th[scope=row], .cuts th:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; font-weight: 400; min-width: 96px; }
.cuts .estimated { font-weight: 300; }
.cuts .measured { font-weight: 600; }
[class*=st-key-sensitivity_cuts] { overflow: auto; max-height: 300px; }
</style>"""


def suggestion(model: ModelView, sensed: Sensitivity, recipe: Recipe) -> Recipe:
    """The recipe with each layer at the largest cut that the slider allows."""
    return suggested(sensed, recipe, limit(model))


def limit(model: ModelView) -> float:
    """What a layer's cut may cost, in the unit of the score. The slider knows first, where it is drawn by now."""
    key, one = _slider_of(model)
    return st.session_state.get(key, sensitivity_state().limit * one) / (100 if model.metric.percent else 1)


def _slider_of(model: ModelView) -> tuple[str, float]:
    """The key of the slider, and what it counts in: points, or the tolerance of a score in its own unit.

    Each has a slider of its own: a value of one would lie outside the range of another.
    """
    if model.metric.percent:
        return "sensitivity_max_drop", 1.0
    one = model.metric.tolerance(model.score)
    return f"sensitivity_max_drop_{model.metric.name}_{one:g}", one


def together(recipe: Recipe) -> KnownSuggestion:
    """What this session knows of the suggestion; what was of another is forgotten."""
    known = sensitivity_state().together
    return known if known is not None and known.recipe == recipe else KnownSuggestion(recipe)


def complete(recipe: Recipe) -> bool:
    """Whether there is nothing more to ask of the suggestion, nor of its repair."""
    known = together(recipe)
    nothing_cut = not any(cuts_of(recipe).values())
    return known.complete and (bool(known.problem) or nothing_cut or repairs().known(recipe).complete)


def ask_more(recipe: Recipe) -> None:
    """Sizes at once, then more samples at every poll."""
    now = together(recipe)
    if complete(recipe):
        return
    try:
        seen = now.look or ask(look, recipe, "score")
        cut = any(cuts_of(recipe).values())
        outcome = follow("together", estimate, cut_of(recipe), complete=_measured).known() if cut else None
        if cut:
            repairs().ask_more(recipe)
        sensitivity_state().together = KnownSuggestion(recipe, seen, outcome)
    except PruningError as error:
        sensitivity_state().together = KnownSuggestion(recipe, problem=str(error))


def _measured(outcome: AccuracyPreview) -> bool:
    return outcome.estimate.measured and outcome.gzip_bytes is not None


def slider(model: ModelView) -> None:
    """The limit: how much each layer's cut may cost, in points or in the unit of the score."""
    state = sensitivity_state()  # Streamlit forgets a page's controls
    key, one = _slider_of(model)
    words = _("%.1f points") if model.metric.percent else f"%g {model.metric.name.replace('%', '%%')}"
    chosen = st.slider(
        _("each layer alone costs at most"), LOWEST * one, HIGHEST * one, min(max(state.limit, LOWEST), HIGHEST) * one, 0.1 * one, format=words, key=key,
        help=_("Of a layer's levels the largest is taken that, with all lower ones, costs no more: the far end of its 95 % interval counts."),
    )  # fmt: skip
    state.limit = chosen / one


def show(model: ModelView, sensed: Sensitivity, recipe: Recipe, cuts: Mapping[str, float]) -> None:
    """The largest cut of each layer, what they leave together, and where to take them. `recipe` is the suggestion."""
    st.container(key="sensitivity_cuts").html(CSS + cuts_html(sensed, cuts))
    st.markdown(_("**All these cuts together**, without tuning"))
    now = together(recipe)
    if now.problem:
        st.error(plain(now.problem))
    elif now.look is not None:
        waiting = _("evaluating the first samples") if any(cuts.values()) else _("nothing is cut")
        strip.show([*_scores(model, now, waiting), *strip.sizes(model, now.look, now.outcome)])
    else:
        st.caption(_("evaluating the first samples"))
    together_cost = _(
        "Cuts together cost more than each alone: the limit holds for each. Tuning in the Lab wins much of it back."
    )
    none_fits = (
        _("No layer can lose anything for so little, as far as is known: allow more points, or wait.")
        if model.metric.percent
        else _("No layer can lose anything for so little, as far as is known: allow more, or wait.")
    )
    st.caption(together_cost if any(cuts.values()) else none_fits)  # one place for both: nothing below it moves
    _take_home(sensed, recipe, ready=any(cuts.values()))


def _scores(model: ModelView, now: KnownSuggestion, waiting: str) -> list[strip.Tile]:
    if isinstance(now.recipe.repair, NoRepair):
        return [strip.score(model, now.outcome, waiting)]
    known = repairs().known(now.recipe)
    words = words_for(known, _("repairing") if any(cuts_of(now.recipe).values()) else waiting)
    return [strip.score(model, now.outcome, waiting, _("as cut")), strip.repaired(model, known.outcome, words)]


def cuts_html(sensed: Sensitivity, cuts: Mapping[str, float]) -> str:
    """A row for each layer: its largest cut, the units that are pruned, and what that costs alone."""
    heads = "".join(
        f"<th scope='col'>{escape(text)}</th>"
        for text in (_("layer"), _("largest cut"), _("pruned, of units"), _alone(sensed.metric))
    )
    body = "".join(_cut(row, cuts.get(row.name), sensed.metric) for row in sensed.rows)
    return f"<table class='cuts'><tr>{heads}</tr>{body}</table>"


def _alone(metric: Metric) -> str:
    return _("alone, points") if metric.percent else _("alone, {unit}").format(unit=unit_of(metric))


def _cut(row: SensitivityRow, level: float | None, metric: Metric) -> str:
    name = f"<th scope='row'>{escape(row.name)}</th>"
    cell = next((cell for cell in row.cells if cell.level == level), None)
    if cell is None or level is None:
        why = _("kept whole, as set in the Lab") if level is None else _("stays whole")
        return f"<tr>{name}<td>{percent(0.0, 0)}</td><td></td><td>{escape(why)}</td></tr>"
    seen = cell.estimate
    pruned = _("{pruned} of {units}").format(pruned=count(cell.pruned), units=count(cell.units))
    width = "" if seen.measured else f" ± {bare_width(seen.half_width, metric)}"
    cost = f"{bare_change(seen.change, metric, 2 if seen.measured else 1, seen.half_width)}{width}"
    how = "measured" if seen.measured else "estimated"
    return f"<tr>{name}<td>{percent(level, 0)}</td><td>{pruned}</td><td class='{how}'>{cost}</td></tr>"


def _take_home(sensed: Sensitivity, recipe: Recipe, ready: bool) -> None:
    with st.container(horizontal=True):
        words = _("Sets each layer's sparsity in the Lab to its largest cut; the other controls stay as they are.")
        st.button(
            _("Load into the Lab"), type="primary", key="sensitivity_load", disabled=not ready, help=words,
            on_click=_load, args=(recipe,),
        )  # fmt: skip
        stem = f"{recipe.workload}.sensitivity" + ("" if sensed.done else ".unfinished")
        for kind, label, mime, content in (
            ("csv", _("CSV"), "text/csv", partial(to_csv, sensed)),
            ("json", _("JSON"), "application/json", partial(json_of, sensed, recipe)),
        ):
            st.download_button(
                label, data=content, file_name=f"{stem}.{kind}", mime=mime, key=f"sensitivity_{kind}", on_click="ignore"
            )


def _load(recipe: Recipe) -> None:
    recipe_sidebar.reopen(recipe)
    sensitivity_state().leaving = "asked"


def json_of(sensed: Sensitivity, recipe: Recipe) -> str:
    """The map, and the suggestion as a recipe that `run` takes."""
    return json.dumps({**to_dict(sensed), "suggestion": json.loads(to_json(recipe))}, allow_nan=False)
