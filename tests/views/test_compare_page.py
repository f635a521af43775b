"""The page that sets criteria side by side: what it shows is what the library measures, and a bad row is a sentence."""

import re
from dataclasses import replace

import torch
from streamlit.testing.v1 import AppTest

from pruning.granularities import Channels
from pruning.pipeline.comparison import candidates
from pruning.pipeline.criteria_comparison import compare_all
from pruning.recipe.recipe import Recipe, to_json
from pruning.reporting.formatting import percent
from pruning.selection.amounts import Automatic
from sample_models import MODELS
from tests.views.test_lab_page import QUICK


def compared(app: AppTest, recipe: Recipe, kinds: list[str]) -> AppTest:
    app.query_params["recipe"] = to_json(recipe)
    app.run()
    app.switch_page("views/compare/compare.py").run()
    app.multiselect(key="compared").set_value(kinds)
    for _ in range(60):
        app.run()
        assert not app.exception
        text = table(app)
        if "estimated" not in text and "evaluating" not in text and "scoring units" not in text:
            return app
    raise AssertionError("never measured")


def table(app: AppTest) -> str:
    return next(element.proto.body for element in app.get("html") if "class='compared'" in element.proto.body)


def rows(app: AppTest) -> dict[str, str]:
    found = re.findall(r"<tr><th scope='row'[^>]*>([^<]*)</th>(.*?)</tr>", table(app))
    return dict(found)


def test_every_row_is_what_the_library_measures(app: AppTest) -> None:
    kinds = ["magnitude", "random", "taylor"]
    compared(app, QUICK, kinds)
    dense, expected, _ = compare_all(
        MODELS["mlp_128"](), {kind: candidates(QUICK)[kind] for kind in kinds}, torch.device("cpu")
    )
    shown = rows(app)
    assert list(shown) == kinds and percent(dense, 2) in table(app)
    for row in expected:
        assert row.estimate is not None and percent(row.estimate.score, 2) in shown[row.kind]
    assert "measured" in shown["taylor"]
    charts = app.get("plotly_chart")
    assert len(charts) == 3  # accuracy, rank agreement, overlap


def test_the_passes_that_scoring_took_are_counted(app: AppTest) -> None:
    compared(app, QUICK, ["magnitude", "taylor"])
    cells = {kind: re.findall(r"<td>(.*?)</td>", row) for kind, row in rows(app).items()}
    assert cells["magnitude"][-2:] == ["0", "0"]
    assert [re.sub(r"\D", "", cell) for cell in cells["taylor"][-2:]] == ["1024", "1024"]


def test_a_criterion_that_cannot_score_the_network_is_a_sentence_in_its_row(app: AppTest) -> None:
    compared(app, replace(QUICK, granularity=Channels()), ["activation", "batchnorm_scale"])
    shown = rows(app)
    assert "measured" in shown["activation"] and "norm" in shown["batchnorm scale"]


def test_an_amount_that_a_run_finds_is_a_sentence(app: AppTest) -> None:
    app.query_params["recipe"] = to_json(replace(QUICK, amount=Automatic()))
    app.run()
    app.switch_page("views/compare/compare.py").run()
    assert not app.exception and not app.multiselect
    assert "there is no cut to compare yet" in app.info[0].value


def test_only_criteria_that_score_the_units_are_offered(app: AppTest) -> None:
    app.query_params["recipe"] = to_json(QUICK)
    app.run()
    app.switch_page("views/compare/compare.py").run()
    assert set(app.multiselect(key="compared").options) == {kind.replace("_", " ") for kind in candidates(QUICK)}
    assert "apoz" not in app.multiselect(key="compared").options


def test_the_recipe_survives_the_way_to_the_page_and_back(app: AppTest) -> None:
    recipe = replace(QUICK, granularity=Channels(), seed=3)
    app.query_params["recipe"] = to_json(recipe)
    app.run()
    app.switch_page("views/compare/compare.py").run()
    assert app.selectbox(key="granularity").value == "channels"
    app.switch_page("views/lab/lab.py").run()
    assert not app.exception and app.query_params["recipe"] == to_json(recipe)
