"""Instead of carrying out a whole grid: what should win, in how many minutes, and a button."""

from dataclasses import replace
from typing import Literal

import streamlit as st

from pruning.errors import PruningError
from pruning.halving.halving import Halving
from pruning.reporting.plots_search import COST_NAMES
from pruning.selection.goal import CostKind, Goal
from pruning.sweeps.grid import Grid
from views.runs.state import runs_state
from views.shared.changes import changes
from views.shared.language import _
from views.shared.plain_text import plain
from views.shared.server import opened

Wins = Literal["score", "within", "smallest"]
WINS: dict[Wins, str] = {
    "score": "the highest score",
    "within": "the highest score with at most so much left",
    "smallest": "what saves most and loses at most so much",
}
COSTS: tuple[CostKind, ...] = ("parameters", "bytes", "macs")


def show(grid: Grid) -> None:
    """The grid's seeds do not compete: the best of several is the luckiest."""
    alone = replace(grid, vary={path: values for path, values in grid.vary.items() if path != "seed"}, controls=())
    with st.expander(_("Find the best of them within a time limit"), key="halving_form"):
        st.caption(
            _(
                "All settings train a little, the best third of them three times as long, and of these the best third as long as the recipe says (successive halving). One seed each, no controls."
            )
        )
        if alone.combinations < 2:
            st.info(_("Nothing competes yet: choose at least two values of a setting above."))
            return
        goal = _goal(alone.base.workload)
        minutes = float(
            st.number_input(
                _("minutes"), 1, 24 * 60, 15, key="halving.minutes", width=160,
                help=_("No run begins that would not be over in time; what runs then is ended. It can go on later."),
            )
        )  # fmt: skip
        words = _("Find the best of {n} settings").format(n=alone.combinations)
        if st.button(words, key="start_halving"):
            _start(alone, goal, minutes)


def _goal(workload: str) -> Goal | None:
    """What wins; None: the score alone."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wins: Wins = st.selectbox(
            _("what wins"), list(WINS), key="halving.wins", format_func=lambda wins: _(WINS[wins]), width=360
        )
        if wins == "score":
            return None
        cost: CostKind = st.selectbox(
            _("counted in"), COSTS, key="halving.cost", format_func=lambda kind: _(COST_NAMES[kind]), width=200
        )
        if wins == "within":
            words = _("at most so much is left, %")
            return Goal(cost, budget=float(st.number_input(words, 1, 100, 50, key="halving.left", width=200)) / 100)
        model = opened(workload)  # not before it is needed: a page of a grid need not open its network
        unit = _("points") if model.metric.percent else model.metric.name
        one = 1.0 if model.metric.percent else model.metric.tolerance(model.score)
        words = _("at most so much is lost, {unit}").format(unit=unit)
        lost = st.number_input(words, 0.0, 100.0 * one, one, 0.1 * one, key=f"halving.lost.{unit}", width=220)
        return Goal(cost, max_drop=lost / (100 if model.metric.percent else 1))


def _start(grid: Grid, goal: Goal | None, minutes: float) -> None:
    try:
        halving = Halving(grid, opened(grid.base.workload).train_samples, goal)
        runs_state().opened_sweep = changes().start_halving(halving, 60 * minutes)
    except PruningError as error:
        st.error(plain(error))
    else:
        st.rerun()
