"""The front of a search as it is drawn: scores over costs, hollow where they are estimated."""

import pytest

from pruning.level_search.result import FrontPoint, Searched
from pruning.metric import Metric
from pruning.recipe.recipe import Recipe
from pruning.reporting.palette import STAGES
from pruning.reporting.plots_search import front_figure, plotted
from pruning.selection.goal import Goal

ESTIMATED = FrontPoint({}, 0.5, 0.02, 0.01, "estimated")
MEASURED = FrontPoint({}, 0.75, 0.005, 0.0, "measured")


def searched(metric: Metric | None = None, goal: Goal | None = None) -> Searched:
    goal = goal or Goal("macs", 0.8, 0.01)
    more = {} if metric is None else {"metric": metric}
    return Searched(goal, Recipe("own"), "", (ESTIMATED, MEASURED), MEASURED, True, 9, 9, 0.9, 1e6, 1.0, **more)


def test_points_are_in_percent_with_their_intervals():
    first, second = plotted(searched())
    assert (first.cost, first.score, first.half_width) == pytest.approx((50.0, 88.0, 1.0)) and not first.measured
    assert (second.cost, second.score, second.half_width) == pytest.approx((75.0, 89.5, 0.0)) and second.best


def test_where_lower_is_better_a_drop_is_a_higher_score():
    first, _ = plotted(searched(Metric("MSE", better="lower")))
    assert first.score == pytest.approx(0.92) and first.half_width == 0.01


def test_estimated_points_are_hollow_and_measured_ones_filled():
    figure = front_figure(searched())
    marks = {trace.name: trace.marker.symbol for trace in figure.data}
    assert marks["estimated"] == f"{STAGES['repaired'].mark}-open" and marks["measured"] == STAGES["repaired"].mark
    assert [list(trace.customdata) for trace in figure.data if trace.name != "dense"] == [[0], [1]]


def test_limits_are_lines():
    assert len(front_figure(searched()).layout.shapes) == 2
    assert len(front_figure(searched(goal=Goal("macs", max_drop=0.01))).layout.shapes) == 1
