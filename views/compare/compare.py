"""Compare criteria: the same model, the same amount, any set of criteria. Reads top to bottom as the page looks."""

from dataclasses import replace

import streamlit as st

from pruning.criteria import CRITERIA
from pruning.errors import PruningError
from pruning.interactive.cut import cut_of
from pruning.interactive.queries import agree, compared
from pruning.interactive.responses import ModelView
from pruning.metric import ACCURACY, Metric
from pruning.pipeline.comparison import Compared, candidates
from pruning.recipe.catalog import kind_of
from pruning.recipe.recipe import Recipe
from pruning.reporting.plots_run import agreement_figure, comparison_figure
from pruning.selection.amounts import Automatic
from views.compare.state import compare_state
from views.compare.table import CSS, table_html
from views.shared import recipe_sidebar
from views.shared.language import _
from views.shared.plain_text import plain
from views.shared.server import follow, opened, share_out

POLL_S = 0.25
AT_FIRST = ("magnitude", "random", "taylor", "snip", "wanda", "activation", "batchnorm_scale")


def page() -> None:
    if problem := recipe_sidebar.restore():
        st.error(plain(problem))
    choice = recipe_sidebar.choose()
    st.subheader(_("Compare criteria"))
    about = st.empty()
    about.caption(_about(ACCURACY))
    if choice.problem:
        st.warning(_("The choices on the left do not fit together; the comparison is of the last that did."))
    if isinstance(choice.recipe.amount, Automatic):
        st.info(_("A run finds the amount of this recipe, so there is no cut to compare yet: choose another amount."))
        return
    there = candidates(choice.recipe)
    kinds = _pick(choice.recipe, there)
    if not kinds:
        st.info(_("Choose at least one criterion."))
        return
    try:
        model = opened(choice.recipe.workload)
    except PruningError as error:
        st.error(plain(error))
        return
    if model.metric.name != ACCURACY.name:
        about.caption(_about(model.metric))
    recipes = {kind: there[kind] for kind in kinds}
    rows = _known(recipes).values()
    ready, scored = not any(map(_open, rows)), _scored(_known(recipes))
    st.fragment(_measure, run_every=None if ready else POLL_S, key="comparison")(model, recipes, ready, scored)
    if scored:
        _agreement({kind: recipe for kind, recipe in recipes.items() if not _known(recipes)[kind].problem})


def _about(metric: Metric) -> str:
    words = _(
        "The cut on the left, made once by each criterion, without tuning: what it costs to score, what {metric} it leaves, and how far the criteria agree."
    )
    return words.format(metric=_(metric.name))


def _pick(recipe: Recipe, there: dict[str, Recipe]) -> list[str]:
    """The criteria to compare: only those that can score the units."""
    left = [kind for kind in st.session_state.get("compared", ()) if kind in there]
    own = kind_of(recipe.criterion)
    st.session_state.compared = left or [kind for kind in there if kind in (*AT_FIRST, own)]
    picked = st.multiselect(
        _("criteria"), list(there), key="compared", format_func=lambda kind: kind.replace("_", " "),
        help=_("Those that can score the chosen units. Each has its default settings, but for the one on the left, which has those set there."),
    )  # fmt: skip
    st.button(_("all {n}").format(n=len(there)), on_click=_all, args=(list(there),))
    return picked


def _all(kinds: list[str]) -> None:
    st.session_state.compared = kinds


def _known(recipes: dict[str, Recipe]) -> dict[str, Compared]:
    """What is known so far of each recipe's criterion; what was of another cut is forgotten."""
    known = compare_state().known
    wanted = {kind: _cut(recipe) for kind, recipe in recipes.items()}
    for recipe in [recipe for recipe in known if recipe not in wanted.values()]:
        del known[recipe]
    return {kind: known.setdefault(recipe, Compared(kind)) for kind, recipe in wanted.items()}


def _cut(recipe: Recipe) -> Recipe:
    """The recipe without what does not change the cut: another schedule does not measure anew."""
    plain = recipe_sidebar.start()
    return replace(recipe, schedule=plain.schedule, tuning=plain.tuning)


def _scored(rows: dict[str, Compared]) -> bool:
    """Whether all units have their scores, so that the criteria's agreement is known."""
    return all(row.effort or row.problem for row in rows.values())


def _measure(model: ModelView, recipes: dict[str, Recipe], ready: bool, scored: bool) -> None:
    """The table and the chart, sharper at every poll; when all is scored, and measured, the page is drawn once more."""
    drawn = compare_state().drawn == recipes
    if drawn and not ready:  # what is known by now is shown before the first question is asked
        _ask_more(recipes)
    compare_state().drawn = recipes
    rows = _known(recipes)
    _show(model, list(rows.values()))
    if drawn and ((not ready and not any(map(_open, rows.values()))) or (not scored and _scored(rows))):
        st.rerun()


def _ask_more(recipes: dict[str, Recipe]) -> None:
    """Take what the workers know by now of each criterion; they go on as long as they are asked.

    First all units are scored, then more samples evaluated: a criterion is in the table once there is a first look at it.
    """
    rows, scored = _known(recipes), _scored(_known(recipes))
    for place, kind in enumerate(
        CRITERIA
    ):  # by its place in the table: it stays with its worker when others are ticked
        if kind not in rows or not _open(rows[kind]) or (rows[kind].effort and not scored):
            continue
        cut = _cut(recipes[kind])
        now = follow(f"compare {kind}", compared, kind, cut_of(cut), complete=_over, background=True, part=place)
        if now.error is not None:
            compare_state().known[cut] = replace(rows[kind], problem=str(now.error))
        elif now.outcome is not None:
            compare_state().known[cut] = now.outcome


def _open(row: Compared) -> bool:
    """Whether there is more to be known of the criterion's cut."""
    return not _over(row)


def _over(row: Compared) -> bool:
    return bool(row.problem) or (row.estimate is not None and row.estimate.measured)


def _show(model: ModelView, rows: list[Compared]) -> None:
    left, right = st.container(key="comparison_box").columns([2, 1], gap="medium")
    left.html(CSS + table_html(model, rows))
    with right:
        st.plotly_chart(
            comparison_figure(rows, model.score, model.metric), key="comparison_chart", width="stretch", config={"displayModeBar": False},
            alt=_("{metric} of each criterion's cut on the validation split: the numbers are in the table").format(metric=_(model.metric.name)),
        )  # fmt: skip


def _agreement(recipes: dict[str, Recipe]) -> None:
    """Two matrices: do the criteria rank units alike, and do they prune the same units?"""
    if len(recipes) < 2:
        return
    try:
        [found] = share_out(agree, [(recipes,)])
    except PruningError as error:
        st.error(plain(error))
        return
    left, right = st.columns(2, gap="large")
    for column, title, help, values, low, key in (
        (left, _("Rank agreement"), _("Spearman's correlation of the unit scores: 1 the same order, 0 unrelated, −1 the reverse."), found.ranks, -1.0, "ranks"),
        (right, _("Overlap of what is pruned"), _("Of the units that are pruned by the row's criterion, the share that is pruned by the column's too."), found.overlap, 0.0, "overlap"),
    ):  # fmt: skip
        with column:
            st.subheader(title, help=help)
            st.plotly_chart(
                agreement_figure(found.kinds, values.round(4).tolist(), low), key=key, width="stretch",
                config={"displayModeBar": False}, alt=f"{title}: {help}",
            )  # fmt: skip


page()
