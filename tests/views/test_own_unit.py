"""The pages with a workload that is scored by an error: its own unit, its own direction, and no point or percent of it.

The server opens sample models only, so a regression is put among them here. The note on guessing is tested beside it.
"""

import html as markup
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import nn

from pruning.events import Event, Finished, Stage, StageMeasured, Started
from pruning.interactive.session import PreviewSession
from pruning.metric import ACCURACY
from pruning.recipe.recipe import Recipe, to_json
from pruning.selection.amounts import Sparsity
from pruning.training.schedules import OneShot, Until
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from sample_models import MODELS
from tests.linear_regression import MSE, mse
from tests.networks import tiny
from tests.views.conftest import InProcess
from tests.views.test_lab_page import opened, settled, strip

RECIPE = Recipe("linear", amount=Sparsity(0.5), schedule=OneShot(), tuning=Tuning(epochs=0))
DENSE = Stage(0.25, 0.25, 320, 4, 4, 4, 96, 80)
TUNED = replace(DENSE, score=5.25, validation=5.25, nonzero=2)


@pytest.fixture
def known(app: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Workload], AppTest]:
    """The app, once another workload is among the sample models."""

    def add(name: str, workload: Workload) -> AppTest:
        monkeypatch.setitem(MODELS, name, lambda: workload)
        backend.lab = PreviewSession(MODELS, torch.device("cpu"))
        return app

    return add


@pytest.fixture
def linear(known: Callable[[str, Workload], AppTest]) -> AppTest:
    return known("linear", mse())


def words(app: AppTest) -> str:
    """All HTML of the page as text."""
    pieces = [element.proto.body for element in app.get("html")]
    return markup.unescape(
        " ".join(re.sub(r"<style.*?</style>|<[^>]+>", " ", body, flags=re.DOTALL) for body in pieces)
    )


def test_the_lab_shows_the_error_before_and_now(linear: AppTest) -> None:
    shown = re.sub(r"<[^>]+>", " ", strip(settled(opened(linear, RECIPE))))
    assert "MSE (validation), lower is better" in shown and "0.250 → 5.250" in re.sub(r"\s+", " ", shown)
    assert "change +5.00 worse" in shown and "point" not in shown


def test_the_map_its_slider_and_its_suggestion_are_in_the_unit_of_the_error(linear: AppTest) -> None:
    opened(linear, RECIPE)
    linear.switch_page("views/sensitivity/sensitivity.py").run()
    for _ in range(20):
        if "+14" in words(linear) and "measured on all" in words(linear):
            break
        linear.run()
    assert not linear.exception
    text = words(linear)
    assert "+14" in text and "MSE (lower is better)" in text and "asymptotic: MSE has no bounds" in text
    assert "alone, MSE" in text and "point" not in text
    slider = next(each for each in linear.slider if "at most" in each.label)
    assert (slider.min, slider.max, slider.value) == pytest.approx((0.001, 0.1, 0.01))  # a small change is 0.01
    options = linear.get("button_group")[0].proto.options
    assert [option.content for option in options] == ["± 0.01 MSE", "± 0.005", "exact"]


def test_criteria_are_compared_by_the_error(linear: AppTest) -> None:
    opened(linear, RECIPE)
    linear.switch_page("views/compare/compare.py").run()
    linear.multiselect(key="compared").set_value(["magnitude"]).run()
    for _ in range(20):
        if "5.250" in words(linear):
            break
        linear.run()
    assert not linear.exception
    assert "MSE (validation), lower is better" in words(linear) and "+5.00 worse" in words(linear)
    assert any("what MSE it leaves" in caption.value for caption in linear.caption)
    assert "ccurac" not in words(linear)


def run_of(backend: InProcess, recipe: Recipe, metric: object = MSE) -> str:
    run = backend.start(recipe, "x")
    events: list[Event] = [Started(recipe.workload, "cpu", 1, 0, (), metric)]  # type: ignore[arg-type]
    events += [StageMeasured("dense", DENSE), StageMeasured("tuned", TUNED if metric is MSE else DENSE)]
    backend.store.leases.append(backend.leases[run], *events)
    backend.store.leases.finish(backend.leases[run], Finished(False, 2.0))
    return run


def test_runs_of_one_error_are_listed_and_compared_in_its_unit(linear: AppTest, backend: InProcess) -> None:
    from tests.views.test_runs_page import opened as runs_of
    from tests.views.test_runs_page import sent

    runs = [run_of(backend, RECIPE), run_of(backend, replace(RECIPE, seed=1))]
    app = runs_of(linear, *runs)
    (data,) = [each for each in sent(app) if "heads" in each]
    column = [head["text"] for head in data["heads"]].index("MSE (test)")
    assert data["rows"][0]["cells"][column] == ["0.250 → 5.25", "+5.00 worse"]
    assert "MSE, test (lower is better)" in words(app) and "ccurac" not in words(app)
    assert app.selectbox(key="runs_size").label == "MSE against"


def test_runs_of_several_metrics_are_not_drawn_in_one_chart(linear: AppTest, backend: InProcess) -> None:
    from tests.views.test_runs_page import opened as runs_of
    from tests.views.test_runs_page import sent

    app = runs_of(linear, run_of(backend, RECIPE), run_of(backend, replace(RECIPE, seed=1), ACCURACY))
    (data,) = [each for each in sent(app) if "heads" in each]
    column = [head["text"] for head in data["heads"]].index("score (test)")
    assert sorted(row["cells"][column][0].split()[0] for row in data["rows"]) == ["MSE", "accuracy"]
    assert any("scored by different metrics" in info.value for info in app.info) and not app.get("plotly_chart")


def test_a_limit_of_another_unit_does_not_fit_the_sample_models(app: AppTest) -> None:
    app.query_params["recipe"] = to_json(Recipe("mlp_128", schedule=Until(2.0)))
    app.run()
    assert not app.exception
    assert [error.value for error in app.error] == ["schedule.max_drop is 2.0; it lies between 0 and 1"]


def test_the_lab_points_out_a_network_that_only_guesses(known: Callable[[str, Workload], AppTest]) -> None:
    """A quiet line, and none where the network has learnt something."""

    def notes(app: AppTest) -> list[str]:
        return [caption.value for caption in app.caption if "guessing" in caption.value]

    def zero() -> nn.Module:
        model = nn.Sequential(nn.Linear(6, 3))
        nn.init.zeros_(model[0].weight)  # type: ignore[arg-type]
        nn.init.zeros_(model[0].bias)  # type: ignore[arg-type]
        return model.eval()

    guess = replace(tiny("mlp"), name="guess", build=zero)
    app = opened(known("guess", guess), Recipe("guess"))
    assert len(notes(app)) == 1 and "no better than guessing among 3 classes" in notes(app)[0]
    app.selectbox(key="workload").set_value("mlp_128").run()
    assert not app.exception and notes(app) == []
