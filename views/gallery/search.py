"""Search: the front of cost and score, while it is looked for and after."""

from dataclasses import replace

import streamlit as st

from pruning.granularities import Channels
from pruning.level_search.result import FrontPoint, Searched
from pruning.recipe.recipe import Recipe
from pruning.repair import LeastSquares
from pruning.reporting.plots_search import front_figure
from pruning.selection.goal import Goal
from views.gallery.lab import MSE
from views.gallery.states import Draw, States

RECIPE = Recipe("fashion_resnet", granularity=Channels(), repair=LeastSquares())


def _point(cost: float, drop: float, half_width: float = 0.0) -> FrontPoint:
    return FrontPoint({"conv1": 1 - cost}, cost, drop, half_width, "estimated" if half_width else "measured")


ESTIMATED = tuple(
    _point(0.1 * step, 0.3 * (1 - 0.1 * step) ** 3, 0.01 + 0.02 * (1 - 0.1 * step)) for step in range(2, 10)
)
MEASURED = (_point(0.48, 0.021), _point(0.499, 0.019))
DONE = Searched(
    Goal("macs", 0.5, 0.02), RECIPE, "", (*ESTIMATED[:3], *MEASURED, *ESTIMATED[4:]), MEASURED[1], True, 42, 42, 0.9397, 9e6, 94.0
)  # fmt: skip
GOING_ON = replace(DONE, phase="groups together", front=ESTIMATED, best=None, met=False)
ERRORS = replace(DONE, dense=0.0712, metric=MSE)
FIRST = replace(DONE, front=MEASURED[:1], best=MEASURED[0])


def _front(found: Searched) -> Draw:
    def draw(key: str) -> None:
        config = {"displayModeBar": False}
        st.plotly_chart(front_figure(found), key=f"{key}_front", width="stretch", config=config, alt="score over cost")

    return draw


STATES: States = {
    "front": {
        "being looked for": _front(GOING_ON),
        "done": _front(DONE),
        "a single point": _front(FIRST),
        "of the time of a pass": _front(replace(DONE, goal=Goal("latency", 0.5, 0.01))),
        "of an error": _front(ERRORS),
    }
}
