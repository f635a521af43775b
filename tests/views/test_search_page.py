"""The page of the search: it asks, shows a front, and its points reach the Lab."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from pruning.criteria import Taylor
from pruning.errors import PatienceError
from pruning.granularities import Channels, Weights
from pruning.interactive.queries import score
from pruning.interactive.responses import Scoring
from pruning.level_search.result import FrontPoint, Searched, nearest, to_verify
from pruning.recipe.recipe import Recipe
from pruning.repair import LeastSquares, NoRepair
from pruning.selection.goal import Goal
from tests.views.conftest import InProcess
from views.search.state import Asked, SearchState
from views.shared.pages import SEARCH

FRONT = (
    FrontPoint({"conv1": 0.5}, 0.4, 0.03, 0.01, "estimated"),
    FrontPoint({"conv1": 0.25}, 0.6, 0.012, 0.0, "measured"),
    FrontPoint({"conv1": 0.1}, 0.8, 0.004, 0.002, "estimated"),
)
RECIPE = Recipe("fashion_cnn", granularity=Channels(), repair=LeastSquares())
FOUND = Searched(Goal("macs", 0.6, 0.02), RECIPE, "", FRONT, FRONT[1], True, 9, 9, 0.92, 1e6, 12.0)


@pytest.fixture
def page(backend: InProcess, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    return AppTest.from_file(str(SEARCH), default_timeout=60)


def shown(page: AppTest, found: Searched = FOUND, **more: object) -> AppTest:
    state = SearchState(asked=Asked(found.recipe, found.goal), found=found, **more)  # type: ignore[arg-type]
    page.session_state["SearchState"] = state
    return page.run()


def test_before_anything_is_asked_nothing_is_searched(page: AppTest) -> None:
    page.run()
    assert not page.exception and "Nothing was searched for yet" in page.info[0].value
    assert page.button(key="search_stop").disabled


def test_the_best_point_is_a_sentence_that_says_how_it_is_known(page: AppTest) -> None:
    said = [each.value.replace("\u202f", " ") for each in shown(page).markdown]
    assert any("60.0 % of the MACs left, −1.20 points (measured)" in text for text in said)
    assert not page.exception


def test_every_point_can_be_chosen_without_a_mouse_and_goes_to_the_lab(page: AppTest) -> None:
    shown(page)
    box = page.selectbox(key="search_point_None_True")
    assert len(box.options) == 3 and box.index == 1
    box.select_index(0).run()
    page.button(key="search_load").click().run()
    state = page.session_state["SharedState"]
    assert state.last_recipe == replace(FRONT[0].recipe(RECIPE), tuning=state.last_recipe.tuning)
    assert page.session_state["SearchState"].leaving != "no"


def test_another_limit_is_answered_at_once_from_the_front() -> None:
    assert nearest(FOUND, Goal("macs", None, 0.05)) == FRONT[0]
    assert nearest(FOUND, Goal("macs", 0.9)) == FRONT[2]
    assert nearest(FOUND, Goal("macs", 0.3)) is None


def test_limits_at_an_estimated_cut_have_it_measured(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = replace(FRONT[0], provenance="measured", half_width=0.0, drop=0.031)
    asked: list[object] = []
    monkeypatch.setattr(
        "pruning.interactive.queries.verify",
        lambda lab, recipe, goal, batch, shares: asked.append(shares) or replace(FOUND, front=(measured, *FRONT[1:])),
    )
    shown(page, left=0.45, lost=5.0)
    assert asked == [{"conv1": 0.5}]
    assert any("(estimated); it is being measured" in each.value for each in page.caption)
    page.run()  # the next poll
    words = [each.value.replace("\u202f", " ") for each in page.caption]
    assert any("With the limits above: 40.0 % of the MACs left, −3.10 points (measured)" in text for text in words)
    page.run()
    assert len(asked) == 1 and not page.exception


def test_what_is_to_be_verified_is_estimated_and_of_a_search_that_is_over() -> None:
    assert to_verify(FOUND, Goal("macs", 0.9)) == FRONT[2]
    assert to_verify(FOUND, Goal("macs", 0.6, 0.02)) is None  # measured
    assert to_verify(FOUND, Goal("parameters", 0.9)) is None
    assert to_verify(replace(FOUND, phase="each group alone"), Goal("macs", 0.9)) is None


def test_half_as_slow_takes_units_that_can_be_removed(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Asked] = []
    monkeypatch.setattr(
        "pruning.interactive.queries.search",
        lambda lab, recipe, goal, batch, s: asked.append(Asked(recipe, goal)) or FOUND,
    )
    page.run()
    page.button(key="search_half").click().run()
    while not asked:  # units are scored first
        page.run()
    (first, *_) = asked
    assert first.goal == Goal("latency", 0.5, 0.01)
    assert isinstance(first.recipe.granularity, Channels) and not isinstance(first.recipe.repair, NoRepair)


def test_a_goal_that_the_units_cannot_meet_is_a_sentence(page: AppTest) -> None:
    goal = Goal("macs", 0.5)
    page.session_state["SearchState"] = SearchState(asked=Asked(Recipe("fashion_cnn", granularity=Weights()), goal))
    page.run()
    assert any("makes no dense kernel faster" in error.value for error in page.error)


def answering(backend: InProcess, monkeypatch: pytest.MonkeyPatch, scoring: list[Callable[[], Scoring]]) -> None:
    """How far scoring is at each poll; the last answer stays."""
    real = backend.call

    def call(function, *arguments):
        if function is score:
            answer = scoring.pop(0) if len(scoring) > 1 else scoring[0]
            return real(lambda _session: answer())
        return real(function, *arguments)

    monkeypatch.setattr(backend, "call", call)


SLOW = replace(RECIPE, criterion=Taylor())


def test_how_far_scoring_is_is_seen_before_the_search_begins(
    page: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(backend, monkeypatch, [lambda: Scoring(0.3, 40.0), lambda: Scoring(0.3, 40.0), lambda: Scoring(1.0, 0.0)])
    searched: list[Recipe] = []
    monkeypatch.setattr(
        "pruning.interactive.queries.search", lambda lab, recipe, goal, batch, s: searched.append(recipe) or FOUND
    )
    page.session_state["SearchState"] = SearchState(asked=Asked(SLOW, FOUND.goal))
    page.run()
    assert "taylor scores the units, about 40" in page.get("progress")[0].proto.text and not searched
    assert [button.label for button in page.button].count("Stop") == 1
    page.run()
    assert searched == [SLOW] and not page.exception


def test_what_is_stopped_while_units_are_scored_is_called_so(
    page: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(backend, monkeypatch, [lambda: Scoring(0.3, 40.0)])
    page.session_state["SearchState"] = SearchState(asked=Asked(SLOW, FOUND.goal))
    page.run()
    page.button(key="search_stop").click().run()
    assert "Stopped before anything was found" in page.info[0].value
    assert not page.get("progress") and not page.exception


def test_a_criterion_that_takes_too_long_is_a_sentence(
    page: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Scoring:
        raise PatienceError("taylor would take about 3 h to score these units here")

    answering(backend, monkeypatch, [refuse])
    page.session_state["SearchState"] = SearchState(asked=Asked(SLOW, FOUND.goal))
    page.run()
    assert any("taylor would take about" in error.value for error in page.error) and not page.exception
