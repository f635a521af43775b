"""The best of a grid: how far the halving is, what every setting came to, and the winner's way to the Lab."""

import time
from collections.abc import Callable

import streamlit as st

from pruning.errors import PruningError
from pruning.execution.store.records import HalvingRow
from pruning.halving.halving import Halving, halving_from_json, keeps_to_limits
from pruning.halving.result import Entry, Ranking, ranking_from_json
from pruning.reporting.formatting import bare_change, duration, percent, score_text
from pruning.reporting.halving_rows import standing_words, values_words
from pruning.reporting.plots_search import COST_NAMES
from views.runs.comparison import CSS
from views.runs.sweep_results import table_html, unreadable
from views.runs.title_box import title_box
from views.shared import recipe_sidebar
from views.shared.changes import changes
from views.shared.language import _
from views.shared.pages import LAB
from views.shared.person import not_yours
from views.shared.plain_text import plain
from views.shared.server import backend

POLL_S = 2.0


def show(row: HalvingRow) -> None:
    """Polled while it goes on."""
    _heading(row)
    is_open = row.state == "open"
    st.fragment(_show, run_every=POLL_S if is_open else None, key="runs_halving")(row.name, is_open)


def _show(name: str, was_open: bool) -> None:
    try:
        row = backend().store.halvings.one(name)
        halving, ranking = halving_from_json(row.halving_json), ranking_from_json(row.ranking_json)
    except PruningError as error:
        st.error(plain(unreadable(error)))
        return
    if was_open and row.state != "open":
        st.rerun()
    _progress(row, halving, ranking)
    if ranking.best is None:
        st.info(_("No run is over yet: the table comes with the first."))
        return
    _winner(halving, ranking.best, row.state == "open")
    table(halving, ranking, row.state == "open")


def _heading(row: HalvingRow) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        why = not_yours(row.session)
        title_box(row.name, row.title, changes().rename_halving, why)
        if row.state == "open":
            words = why or _("What was found is kept, and it can go on later.")
            if st.button(_("Stop"), key="halving_stop", help=words, disabled=bool(why)):
                _do(lambda: changes().stop_halving(row.name))
            return
        if _may_go_on(row):
            _go_on(row, why)
        words = why or _("Takes the experiment from the list. Its runs stay.")
        if st.button(_("Take it off the list"), key="halving_forget", help=words, disabled=bool(why)):
            _do(lambda: changes().forget_halving(row.name))


def _may_go_on(row: HalvingRow) -> bool:
    try:
        halving_from_json(row.halving_json)
        return not ranking_from_json(row.ranking_json).complete
    except PruningError:  # it cannot be read; what is below says so
        return False


def _go_on(row: HalvingRow, why: str) -> None:
    minutes = 60 * float(st.number_input(_("minutes more"), 1, 24 * 60, 15, key="halving_more", width=140))
    if st.button(_("Go on"), key="halving_go_on", help=why or None, disabled=bool(why)):
        _do(lambda: changes().start_halving(halving_from_json(row.halving_json), minutes))


def _do(what: Callable[[], object]) -> None:
    try:
        what()
    except PruningError as error:
        st.error(plain(error))
    else:
        st.rerun()


def _progress(row: HalvingRow, halving: Halving, ranking: Ranking) -> None:
    over = sum(entry.state != "going on" for entry in ranking.entries)
    there = max(halving.grid.combinations - len(ranking.refused), 1)
    words = _("{n} of {all} settings were begun, {over} are over").format(n=len(ranking.entries), all=there, over=over)
    if row.state != "open":
        st.caption(plain(_(row.sentence)))
        return
    left = duration(max(row.ends - time.time(), 0.0))
    st.progress(min(over / there, 1.0), _("{words}; at most {time} left").format(words=words, time=left))


def _winner(halving: Halving, best: Entry, is_open: bool) -> None:
    """The best setting in words, and its way to the Lab; not while a poll may come between the two pages."""
    score = best.scores[-1]
    words = (
        _("Best so far: {setting}, {score} on validation") if is_open else _("Best: {setting}, {score} on validation")
    )
    said = words.format(setting=plain(values_words(best)), score=score_text(score.validation, score.metric))
    if len(best.scores) < halving.rungs:
        said += _(", with {share} of the recipe's training").format(share=percent(halving.shares[len(best.scores) - 1]))  # fmt: skip
    if not keeps_to_limits(score.worth):
        said += _("; it does not keep to what was asked")
    st.markdown(_("**{sentence}**").format(sentence=said))
    words = _("The winner's recipe, with its whole training. Run it with several seeds before you believe in it.")
    going_on = _("It is still being looked for: wait, or stop it.")
    if st.button(_("Load it into the Lab"), key="halving_load", disabled=is_open, help=going_on if is_open else words):
        try:
            recipe_sidebar.reopen(halving.recipe(best.values, halving.rungs - 1))
        except PruningError as error:
            st.error(plain(error))
        else:
            st.switch_page(LAB)


def table(halving: Halving, ranking: Ranking, is_open: bool) -> None:
    """Every setting, the best first, and what was not run."""
    cost = "parameters" if halving.goal is None else halving.goal.cost
    left = _("{cost} left").format(cost=_(COST_NAMES[cost]))
    heads = [_("setting"), _("validation"), _("change"), left, _("training"), _("standing"), _("run")]
    lines = [[values_words(entry), *_numbers(halving, entry, is_open)] for entry in ranking.entries]
    st.html(CSS + table_html(heads, lines, (0, 5, 6)))
    if ranking.refused:
        with st.expander(_("What is not run, and why")):
            for values, why in ranking.refused:
                st.caption(_("{setting}: {why}").format(setting=plain(values_words(Entry(0, values))), why=plain(why)))
    words = _(
        "Validation decides, never the test split. A setting is stopped early where others were better with as much training."
    )
    st.caption(words)


def _numbers(halving: Halving, entry: Entry, is_open: bool) -> list[str]:
    if not entry.scores:
        return ["–", "–", "–", "–", _(standing_words(entry, is_open)), ""]
    score = entry.scores[-1]
    metric = score.metric
    change = -score.drop if metric.better == "higher" else score.drop
    trained = percent(halving.shares[len(entry.scores) - 1])
    numbers = [score_text(score.validation, metric), bare_change(change, metric, 2), percent(score.left), trained]
    return [*numbers, _(standing_words(entry, is_open)), score.run]
