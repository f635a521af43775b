"""The page of the sensitivity map: what it shows is what the library measures, and its suggestion reaches the Lab."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pruning.criteria import Random
from pruning.errors import JobError
from pruning.evaluation.estimate import Estimate
from pruning.granularities import Channels, Heads
from pruning.interactive.queries import sensitivity
from pruning.layer_sensitivity.result import (
    LEVELS,
    Sensitivity,
    SensitivityCell,
    SensitivityRow,
    largest_cuts,
    suggested,
)
from pruning.metric import Metric
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.repair import LeastSquares
from pruning.selection.amounts import PerLayer, Sparsity
from tests.views.conftest import InProcess
from tests.views.test_lab_page import QUICK
from views.sensitivity.state import SensitivityState
from views.sensitivity.suggestion import json_of
from views.sensitivity.table import key_html, map_html

CHANNELS = replace(QUICK, granularity=Channels())


def cell(level: float, change: float, half_width: float, samples: int, done: bool) -> SensitivityCell:
    return SensitivityCell(
        level, 10, round(10 * level), Estimate(0.9 + change, half_width, change, samples, 1000), done
    )


HAND = Sensitivity(
    rows=(
        SensitivityRow(
            "conv1",
            ("conv1", "conv<2>"),
            10,
            (
                cell(0.1, 0.0, 0.0, 1000, True),
                cell(0.5, -0.004, 0.005, 400, True),
                cell(0.9, -0.5, 0.1, 100, False),
            ),
            full_passes="its <output> is read twice",
        ),
        SensitivityRow("fc", ("fc",), 10, (cell(0.1, 0.002, 0.008, 400, True), cell(0.5, 0.0, 1.0, 0, False))),
    ),
    levels=(0.1, 0.5, 0.9),
    dense=0.9,
    total=1000,
    half_width=0.01,
    spent=1900,
    planned=6000,
    seconds=0.1,
    left_out={"head": "its units are the model's output"},
)


def cells_of(html: str) -> dict[str, list[tuple[str, str]]]:
    """Row name -> class and text of each cell."""
    rows = re.findall(r"<tr><th scope='row'[^>]*><b>(.*?)</b>.*?</th>(.*?)</tr>", html)
    return {
        name: [
            (kind, re.sub(r"<[^>]+>", " ", text)) for kind, text in re.findall(r"<td class='(.*?)'.*?>(.*?)</td>", row)
        ]
        for name, row in rows
    }


def test_the_table_tells_measured_estimated_open_and_unseen_apart() -> None:
    rows = cells_of(map_html(HAND, {"conv1": 0.5, "fc": 0.1}))
    (low, middle, high), (near, unseen, missing) = rows["conv1"], rows["fc"]
    assert low == ("on-light sure", "0.0 &nbsp; ")
    assert middle == ("on-light cut", "−0.4 ± 0.5 ")
    assert high == ("on-dark open", "−50.0 ± 10.0 ")
    assert near == ("on-light cut", "+0.2 ± 0.8 ")
    assert unseen == missing == ("none", "…")


def test_an_error_that_grows_is_dark_and_one_that_shrinks_is_light() -> None:
    cells = (cell(0.1, 0.5, 0.0, 1000, True), cell(0.5, -0.5, 0.0, 1000, True))
    error = Metric("MSE", "lower", low=0.0)
    sensed = replace(HAND, rows=(SensitivityRow("fc", ("fc",), 10, cells),), metric=error)
    loss, gain, _ = cells_of(map_html(sensed, {}))["fc"]
    assert loss == ("on-dark sure", "+0.50 &nbsp; ") and gain == ("on-light sure", "−0.50 &nbsp; ")
    key = key_html(sensed)
    assert ">+0.1<" in key and ">+0.2<" in key  # a fifth of the largest loss, and a half
    assert "MSE (lower is better)" in key and "points" not in key + map_html(sensed, {})


def test_names_and_reasons_are_text_and_never_markup() -> None:
    html = map_html(HAND, {})
    assert "with conv&lt;2&gt;" in html and "its &lt;output&gt; is read twice" in html and "<2>" not in html
    assert (
        "conv1 at 50\u202f%: −0.40\u202fpoints ± 0.50, "
        "estimated from 400 of 1\u202f000 samples; 5 of 10 units are pruned" in html
    )


def test_the_key_has_no_loss_that_the_network_cannot_have() -> None:
    good, poor = key_html(HAND), key_html(replace(HAND, dense=0.4))
    assert "−50" in good and "−50" not in poor and ">0<" in poor


def opened(app: AppTest, recipe: Recipe = CHANNELS) -> AppTest:
    app.query_params["recipe"] = to_json(recipe)
    app.run()
    app.switch_page("views/sensitivity/sensitivity.py").run()
    assert not app.exception
    return app


def map_of(app: AppTest) -> str:
    return next(element.proto.body for element in app.get("html") if "<table class='sensed" in element.proto.body)


def cuts_of(app: AppTest) -> str:
    return next(element.proto.body for element in app.get("html") if "class='cuts'" in element.proto.body)


def progress(app: AppTest) -> str:
    return app.get("progress")[0].proto.text


def finished(app: AppTest) -> AppTest:
    for _ in range(120):
        if "done:" in progress(app) and ("measured" in strip(app) or "nothing is cut" in strip(app)):
            return app
        app.run()
        assert not app.exception
    raise AssertionError(f"never done: {progress(app)}")


def strip(app: AppTest) -> str:
    return next((element.proto.body for element in app.get("html") if 'class="strip' in element.proto.body), "")


def test_the_map_is_what_the_library_measures(app: AppTest, backend: InProcess) -> None:
    opened(app)
    app.segmented_control(key="sensitivity_sharpness").set_value(0.0)
    finished(app.run())
    expected = sensitivity(backend.lab, CHANNELS, LEVELS, 0.0, None, (0, 1), 60.0)
    assert expected.done
    rows = cells_of(map_of(app))
    assert list(rows) == [row.name for row in expected.rows] == ["fc1"]
    shown = [text.replace("&nbsp;", "").strip().replace("−", "-") for _, text in rows["fc1"]]
    assert [float(text) for text in shown] == [
        round(100 * cell.estimate.change, 1) + 0.0 for cell in expected.rows[0].cells
    ]
    assert all("sure" in kind and "open" not in kind for kind, _ in rows["fc1"])
    assert any("fc2" in element.proto.body for element in app.get("html") if "<li>" in element.proto.body)


def test_a_sharper_map_continues_from_what_is_known(app: AppTest) -> None:
    opened(app)
    finished(app)
    app.segmented_control(key="sensitivity_sharpness").set_value(0.005).run()
    assert "<table class='sensed'" in map_of(app)  # not greyed: what it says is true
    finished(app)
    widths = [float(text.split("±")[1]) for _, text in cells_of(map_of(app))["fc1"] if "±" in text]
    assert all(width <= 0.5 for width in widths)


def test_stop_keeps_the_map_and_go_on_continues(app: AppTest) -> None:
    app.session_state["SensitivityState"] = SensitivityState(half_width=0.0)
    opened(app, replace(QUICK, criterion=Random(), seed=11))
    while " open" not in map_of(app):  # a busy machine needs more than one poll for the first cell
        app.run()
    app.button(key="sensitivity_stop").click().run()
    before = map_of(app), progress(app)
    assert ", stopped" in before[1] and " open" in before[0]
    app.run()
    assert (map_of(app), progress(app)) == before
    app.button(key="sensitivity_go_on").click().run()
    assert "stopped" not in progress(app)
    while map_of(app) == before[0]:  # one poll need not bring a map that is another
        app.run()


def test_the_suggestion_is_what_the_library_suggests_and_is_loaded_into_the_lab(
    app: AppTest, backend: InProcess
) -> None:
    opened(app)
    app.slider(key="sensitivity_max_drop").set_value(5.0)
    finished(app.run())
    sensed = sensitivity(backend.lab, replace(CHANNELS, amount=Sparsity(0.0)), LEVELS, 0.01, None, (0, 1), 0.2)
    assert sensed.done
    cuts = largest_cuts(sensed, 0.05)
    assert cuts["fc1"] > 0.0
    assert f"<td>{100 * cuts['fc1']:.0f}\u202f%</td>" in cuts_of(app)
    app.button(key="sensitivity_load").click().run()
    app.run()  # it goes at the first tick, once polls have ended
    assert not app.exception
    recipe = from_json(app.query_params["recipe"])
    assert recipe == suggested(sensed, CHANNELS, 0.05)
    assert recipe.amount == PerLayer(cuts)
    assert app.button(key="run_button")  # the Lab


def test_a_limit_that_no_layer_keeps_says_so(app: AppTest) -> None:
    app.session_state["SensitivityState"] = SensitivityState(half_width=0.0)
    opened(app, replace(QUICK, criterion=Random(), seed=12))
    app.slider(key="sensitivity_max_drop").set_value(0.1)
    app.button(key="sensitivity_stop").click().run()
    assert any("No layer can lose anything" in caption.value for caption in app.caption)
    assert app.button(key="sensitivity_load").disabled


def test_a_layer_that_is_kept_whole_is_in_the_map_and_not_in_the_suggestion(app: AppTest) -> None:
    opened(app, replace(QUICK, keep_whole=("fc1",)))
    assert list(cells_of(map_of(app))) == ["fc1", "fc2"]
    assert "kept whole, as set in the Lab" in cuts_of(app)
    assert not app.exception and not app.error


def test_with_a_repair_the_map_is_of_repaired_cuts(app: AppTest, backend: InProcess) -> None:
    finished(opened(app))
    before = map_of(app)
    app.selectbox(key="repair").set_value("least_squares").run()
    finished(app)
    assert map_of(app) != before
    assert any("repaired by least_squares" in caption.value for caption in app.caption)
    recipe = replace(CHANNELS, repair=LeastSquares())
    expected = sensitivity(backend.lab, recipe, LEVELS, 0.01, None, (0, 1), 0.0)
    assert expected.repair == "least_squares"
    shown = [
        text.split("±")[0].replace("&nbsp;", "").strip().replace("−", "-") for _, text in cells_of(map_of(app))["fc1"]
    ]
    assert [float(text) for text in shown] == pytest.approx(
        [100 * cell.estimate.change for cell in expected.rows[0].cells], abs=0.6
    )


def test_amount_and_tuning_do_not_begin_another_map(app: AppTest) -> None:
    finished(opened(app))
    before = map_of(app)
    app.slider(key="amount.sparsity.share").set_value(90.0).run()
    assert "done:" in progress(app) and map_of(app) == before


def test_units_that_the_network_does_not_have_are_a_sentence_and_nothing_is_asked_for(app: AppTest) -> None:
    opened(app, replace(QUICK, granularity=Heads()))
    assert "No layer has units that may be pruned" in app.info[0].value
    assert app.button(key="sensitivity_stop").disabled and not app.error


def test_a_lost_worker_is_a_sentence_and_go_on_asks_again(
    app: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(app)
    finished(app)
    real = backend.call

    def lost(function: Callable[..., Any], *arguments: Any) -> Any:
        if function.__name__ == "sensitivity":
            raise JobError("the worker was lost; ask again")
        return real(function, *arguments)

    monkeypatch.setattr(backend, "call", lost)
    app.selectbox(key="criterion").set_value("random").run()
    assert [error.value for error in app.error] == ["the worker was lost; ask again"]
    assert "sensed old" in map_of(app)  # what was known stays, greyed
    monkeypatch.setattr(backend, "call", real)
    app.button(key="sensitivity_go_on").click().run()
    assert not app.error and "sensed old" not in map_of(app)


def test_downloads_hold_the_map_and_the_suggestion(app: AppTest) -> None:
    opened(app)
    finished(app)
    files = {button.proto.id.split("-")[-1]: button for button in app.get("download_button")}
    assert len(files) == 2
    found = json.loads(json_of(HAND, QUICK))
    assert found["rows"][0]["name"] == "conv1" and from_json(json.dumps(found["suggestion"])) == QUICK
