"""A criterion that takes a while: how far it is, how it is stopped, and what is refused before it begins."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pruning.criteria import OptimalBrainDamage, Snip
from pruning.interactive.queries import score
from pruning.interactive.responses import Scoring
from pruning.recipe.recipe import Recipe, to_json
from pruning.selection.amounts import Threshold
from tests.views.conftest import InProcess

SLOW = Recipe("mlp_128", Snip(), seed=77)


@pytest.fixture
def slow(backend: InProcess, monkeypatch: pytest.MonkeyPatch) -> list[Scoring]:
    """What workers answer to those who ask how far scoring is, one after the other; the last for ever."""
    answers = [Scoring(0.0, 40.0), Scoring(0.25, 30.0), Scoring(0.5, 20.0), Scoring(1.0, 0.0)]
    real = backend.call

    def call(function: Any, *arguments: Any) -> Any:
        if function is score:
            answer = answers[0] if len(answers) == 1 else answers.pop(0)
            return real(lambda _session: answer)
        return real(function, *arguments)

    monkeypatch.setattr(backend, "call", call)
    return answers


def opened(app: AppTest, recipe: Recipe) -> AppTest:
    app.query_params["recipe"] = to_json(recipe)
    app.run()
    assert not app.exception
    return app


def progress(app: AppTest) -> list[str]:
    return [bar.proto.text for bar in app.get("progress")]


def strips(app: AppTest) -> list[str]:
    return [one.proto.body for one in app.get("html") if 'class="strip' in one.proto.body]


def test_how_far_scoring_is_and_how_long_it_takes_is_shown_until_there_is_something_to_see(
    app: AppTest, slow: list[Scoring]
) -> None:
    opened(app, SLOW)
    assert progress(app) and "snip scores the units, about" in progress(app)[0] and not strips(app)
    for _ in range(4):
        app.run()
    assert not progress(app) and strips(app) and not app.error


def test_where_others_have_turns_the_time_is_said_to_be_of_computing(
    app: AppTest, backend: InProcess, slow: list[Scoring], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "others", 59)
    slow[:] = [Scoring(0.25, 30.0)]
    opened(app, SLOW)
    assert progress(app)[0].endswith("left of computing, in turns with 59 others")


def test_scoring_is_stopped_and_goes_on(app: AppTest, slow: list[Scoring]) -> None:
    slow[:] = [Scoring(0.1, 40.0)]
    opened(app, SLOW)
    app.button(key="scores_stop").click().run()
    assert not progress(app) and any("Scoring was stopped" in info.value for info in app.info)
    app.button(key="scores_go_on").click().run()
    assert progress(app)


def test_another_criterion_is_shown_at_once_while_one_is_stopped(app: AppTest, slow: list[Scoring]) -> None:
    slow[:] = [Scoring(0.1, 40.0)]
    opened(app, SLOW)
    app.button(key="scores_stop").click().run()
    app.selectbox(key="criterion").set_value("magnitude").run()
    assert strips(app) and not progress(app) and not app.error


def test_a_threshold_has_its_range_once_the_units_are_scored(app: AppTest, slow: list[Scoring]) -> None:
    opened(app, Recipe("mlp_128", Snip(), amount=Threshold(0.5), seed=78))
    assert app.slider(key="amount.threshold.value").max == 1.0
    for _ in range(5):
        app.run()
    assert app.slider(key="amount.threshold.value").max != 1.0


def test_what_takes_too_long_is_refused_with_what_to_lower_and_a_run_is_still_possible(app: AppTest) -> None:
    opened(app, Recipe("mlp_128", OptimalBrainDamage("hutchinson", samples=65_536, probes=1000)))
    (error,) = (error.value for error in app.error)
    assert "optimal_brain_damage would take about" in error and "lower its samples or probes" in error
    assert not app.button(key="run_button").disabled
