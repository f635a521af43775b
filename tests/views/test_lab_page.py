"""The Lab page: what the controls say is what the recipe says and what the page shows."""

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pruning.criteria import Ablation, Taylor
from pruning.errors import PruningError
from pruning.events import AmountFound, Searching
from pruning.granularities import Channels, Heads, Kernels, Layers
from pruning.interactive.queries import estimate, estimate_repaired, look, open_workload, score_range
from pruning.interactive.responses import Repairing
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.repair import LeastSquares
from pruning.reporting.formatting import THIN, count, percent, si
from pruning.run import experiment
from pruning.selection.amounts import Automatic, PerLayer, Sparsity, Threshold
from pruning.selection.scopes import WithinLayer
from pruning.training.schedules import OneShot, Polynomial
from pruning.training.tuning import Tuning
from sample_models import MODELS
from tests.own_workload import rescore_here
from tests.views.conftest import InProcess
from views.gallery import lab
from views.lab import layer_panel
from views.lab.state import LabState
from views.shared import server

QUICK = Recipe(
    "mlp_128",
    amount=Sparsity(0.6),
    scope=WithinLayer(),
    schedule=OneShot(),
    tuning=Tuning(epochs=1, images_per_epoch=512),
)


def strip(app: AppTest) -> str:
    return next(element.proto.body for element in app.get("html") if 'class="strip' in element.proto.body)


def opened(app: AppTest, recipe: Recipe) -> AppTest:
    app.query_params["recipe"] = to_json(recipe)
    app.run()
    assert not app.exception
    return app


def settled(app: AppTest) -> AppTest:
    """Run the page until the accuracy is measured: each run evaluates more samples."""
    for _ in range(40):
        if "measured" in strip(app):
            return app
        app.run()
    raise AssertionError("never measured")


def test_first_page_shows_a_trained_network(app: AppTest, backend: InProcess) -> None:
    app.run()
    assert not app.exception
    assert [error.value for error in app.error] == []
    model = open_workload(backend.lab, "fashion_cnn")
    assert percent(model.score) in strip(app)
    assert si(model.costs.parameters) in strip(app)
    assert app.selectbox(key="workload").value == "fashion_cnn"


def test_controls_show_the_recipe_of_the_url_and_give_it_back(app: AppTest) -> None:
    recipe = Recipe(
        "mlp_128",
        criterion=Taylor(),
        granularity=Channels(),
        scope=WithinLayer(),
        amount=PerLayer({"fc1": 0.25}, rest=Sparsity(0.4)),
        tuning=Tuning(epochs=3, optimiser="sgd", learning_rate=0.01, batch_size=64, images_per_epoch=4096),
        seed=5,
    )
    opened(app, recipe)
    assert from_json(app.query_params["recipe"]) == recipe


def test_slider_moves_sizes_and_accuracy(app: AppTest, backend: InProcess) -> None:
    opened(app, QUICK)
    app.slider(key="amount.sparsity.share").set_value(90.0).run()
    now = look(backend.lab, from_json(app.query_params["recipe"]), "score")
    assert count(now.nonzero) in strip(app)
    assert now.pruned == sum(round(0.9 * units) for units in (784 * 128, 128 * 10))
    settled(app)
    assert "measured" in strip(app)


def test_a_repaired_cut_is_shown_beside_the_cut(app: AppTest, backend: InProcess) -> None:
    opened(app, replace(QUICK, amount=Sparsity(0.95)))
    settled(app)
    assert "repaired" not in strip(app)
    app.selectbox(key="repair").set_value("least_squares").run()
    assert "as cut" in strip(app) and "repairing" in strip(app)
    for _ in range(40):
        if "without labels" in strip(app) and strip(app).count("measured") > 2:
            break
        app.run()
    recipe = from_json(app.query_params["recipe"])
    seen = estimate_repaired(backend.lab, recipe, 0.0)
    assert seen.estimate.measured and seen.helped
    assert percent(seen.estimate.score, 2) in strip(app)
    assert percent(estimate(backend.lab, recipe, 0.0).estimate.score, 2) in strip(app)


def test_what_a_repair_reaches_without_training_is_said(app: AppTest, backend: InProcess) -> None:
    opened(app, replace(QUICK, amount=Sparsity(0.5), repair=LeastSquares()))
    for _ in range(40):
        if "may need no training" in strip(app):
            break
        app.run()
    seen = estimate_repaired(backend.lab, from_json(app.query_params["recipe"]), 0.0)
    assert seen.estimate.measured and seen.estimate.change >= -0.01
    assert "within 1 point of the dense network" in strip(app)


@pytest.mark.parametrize(
    ("left", "said"), [(0.4, ">repairing<"), (75.0, "repairing, about 1 min 15 s of computing left")]
)
def test_a_repair_that_goes_on_is_called_so(
    app: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch, left: float, said: str
) -> None:
    real = backend.call

    def unfinished(function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        return real(lambda _lab: Repairing(left)) if function is estimate_repaired else real(function, *arguments)

    monkeypatch.setattr(backend, "call", unfinished)
    opened(app, replace(QUICK, repair=LeastSquares()))
    assert "repairing, once the slider rests" in strip(app)
    for _ in range(3):
        app.run()
    assert said in strip(app).replace(THIN, " ").replace("&nbsp;<", "<") and "the slider rests" not in strip(app)


def test_a_repair_that_fails_is_a_sentence_beside_the_cut(
    app: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = backend.call

    def lost(function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        if function is estimate_repaired:
            raise PruningError("the worker was lost; move the slider")
        return real(function, *arguments)

    monkeypatch.setattr(backend, "call", lost)
    opened(app, replace(QUICK, repair=LeastSquares()))
    for _ in range(10):
        app.run()
    assert "the worker was lost; move the slider" in strip(app) and "measured" in strip(app)


@pytest.mark.parametrize(
    "whole, words", [((), "asked for 60.0 %"), (("fc1",), "asked for 60.0 %; 0.8 % of all 102 k parameters")]
)
def test_the_share_of_the_whole_network_is_said_where_a_part_takes_no_part(app: AppTest, whole, words) -> None:
    opened(app, replace(QUICK, keep_whole=frozenset(whole)))
    (pruned,) = (caption.value for caption in app.caption if "units are pruned" in caption.value)
    assert pruned.replace(THIN, " ").endswith(words)


def test_all_models_are_opened_ahead_once_for_a_server_the_shown_one_first(
    app: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._Shared, "opened_ahead", False)
    opened(app, QUICK)
    opened(app, replace(QUICK, amount=Sparsity(0.6)))
    [(function, names)] = backend.opened_ahead
    assert function is open_workload and names[0] == "mlp_128" and sorted(names) == sorted(MODELS)


def test_threshold_is_in_the_criterions_own_units(app: AppTest, backend: InProcess) -> None:
    opened(app, Recipe("mlp_128", amount=Threshold(0.05)))
    recipe = from_json(app.query_params["recipe"])
    assert recipe.amount == Threshold(0.05)
    now = look(backend.lab, recipe, "score")
    weights = [p for n, p in backend.lab.opened("mlp_128").model.named_parameters() if n.endswith("weight")]
    assert now.pruned == sum(int((w.double().abs() < 0.05).sum()) for w in weights)


def test_a_combination_that_does_not_fit_says_so_and_loses_nothing(app: AppTest) -> None:
    opened(app, QUICK)
    before = strip(app)
    app.selectbox(key="criterion").set_value("activation").run()
    assert not app.exception
    assert "activation" in app.error[0].value and "channels" in app.error[0].value
    assert app.button(key="run_button").disabled
    assert si(784 * 128 + 128 + 1290) in strip(app)  # the last good recipe's numbers, greyed
    assert 'class="strip old"' in strip(app) and 'class="strip old"' not in before


def test_an_amount_that_a_run_finds_shows_the_network_as_it_is_and_says_so(app: AppTest, backend: InProcess) -> None:
    recipe = replace(QUICK, amount=Automatic("parameters", 0.5), repair=LeastSquares())
    opened(app, recipe)
    settled(app)
    model = open_workload(backend.lab, "mlp_128")
    assert [error.value for error in app.error] == [] and not app.button(key="run_button").disabled
    assert "repaired" not in strip(app) and f"kept 100.0{THIN}%" in strip(app)
    assert f"measured {percent(model.score, 2)} on all" in strip(app)
    said = [caption.value for caption in app.caption]
    assert any("A run finds this amount before its first cut" in text for text in said)
    (pruned,) = (text for text in said if "units are pruned" in text)
    assert pruned.startswith("0 of ") and "asked for" not in pruned
    assert any(text.value == "Importance of fc1" for text in app.subheader)
    app.button(key="run_button").click().run()
    assert backend.recipes == [recipe]


def test_layers_set_by_hand_and_an_amount_that_a_run_finds_are_refused_in_a_sentence(app: AppTest) -> None:
    opened(app, replace(QUICK, amount=PerLayer({"fc2": 0.25}, rest=Sparsity(0.5))))
    app.selectbox(key="amount").set_value("automatic").run()
    assert not app.exception and app.button(key="run_button").disabled
    assert "take back what is set for single ones" in app.error[0].value


def test_what_a_run_has_found_is_said_beside_its_curves(app: AppTest, backend: InProcess) -> None:
    opened(app, QUICK)
    app.button(key="run_button").click().run()
    lease = backend.leases[app.query_params["run"]]
    backend.store.leases.append(lease, Searching("each group alone", 4, 20, begins=True))
    app.run()
    words = "searching for the amount: each group alone, cut 4 of about 20"
    assert any(words in bar.proto.text for bar in app.get("progress"))
    backend.store.leases.append(lease, AmountFound("macs", 0.5, 0.004, True, {"fc1": 0.6}, 20, 9.0))
    app.run()
    (said,) = (caption.value for caption in app.caption if caption.value.startswith("amount found: "))
    assert said.replace(THIN, " ").endswith("within what was asked; pruned: fc1 60.0 %")


def test_a_broken_recipe_in_the_url_is_a_sentence(app: AppTest) -> None:
    app.query_params["recipe"] = json.dumps(
        {"version": 1, "workload": "mlp_128", "amount": {"kind": "sparsity", "share": 7}}
    )
    app.run()
    assert not app.exception
    assert "amount.share is 7" in app.error[0].value
    assert app.selectbox(key="workload").value == "fashion_cnn"


def test_run_result_and_downloads(app: AppTest, backend: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "score_files_afresh", rescore_here)
    opened(app, QUICK)
    app.button(key="run_button").click().run()
    assert not app.exception
    run = app.query_params["run"]
    assert backend.recipes == [QUICK]
    assert app.button(key="run_button").disabled
    backend.finish(run)
    app.run()
    assert not app.exception
    assert [error.value for error in app.error] == []
    assert "Verified" in app.success[0].value
    table = next(element.proto.body for element in app.get("html") if "class='result'" in element.proto.body)
    assert all(f">{stage}<" in table for stage in ("dense", "pruned", "tuned", "exported"))
    assert len(app.get("download_button")) == 4


def test_a_failed_run_is_a_sentence_and_the_next_can_start(app: AppTest, backend: InProcess) -> None:
    opened(app, QUICK)
    app.button(key="run_button").click().run()
    backend.fail(app.query_params["run"], "worker lost: start the run again")
    app.run()
    assert "worker lost" in app.error[0].value
    assert not app.button(key="run_button").disabled


def test_a_run_of_the_url_brings_its_recipe_back(app: AppTest, backend: InProcess) -> None:
    run = backend.start(QUICK, "another session")
    app.query_params["run"] = run
    app.run()
    assert not app.exception
    assert from_json(app.query_params["recipe"]) == QUICK


def test_a_page_with_every_layer_whole_can_be_taken_back(app: AppTest) -> None:
    recipe = replace(QUICK, granularity=Channels(), keep_whole=("fc1",))
    opened(app, recipe)
    assert "nothing is left to prune" in app.error[0].value
    next(button for button in app.button if "Take back" in button.label).click().run()
    assert (not app.error and "estimated" in strip(app)) or "measured" in strip(app)


def test_a_run_stopped_in_the_queue_says_that_nothing_came_of_it(app: AppTest, backend: InProcess) -> None:
    run = backend.store.create(QUICK, "test")
    backend.cancel(run)
    app.query_params["run"] = run
    app.run()
    assert not app.exception
    assert any("stopped while it was waiting" in caption.value for caption in app.caption)


def test_what_the_network_does_not_have_is_a_sentence_and_cannot_be_run(app: AppTest) -> None:
    opened(app, replace(QUICK, granularity=Heads()))
    assert "no attention heads in this network can be pruned" in app.error[0].value and "choose" in app.error[0].value
    assert app.button(key="run_button").disabled
    app.selectbox(key="granularity").set_value("weights").run()
    assert not app.error and not app.button(key="run_button").disabled


def test_a_threshold_is_a_number_in_the_scores_units_and_no_percentage(app: AppTest, backend: InProcess) -> None:
    opened(app, Recipe("mlp_128", amount=Threshold(0.05)))
    slider = app.slider(key="amount.threshold.value")
    low, high = score_range(backend.lab, from_json(app.query_params["recipe"]))
    assert (slider.value, slider.min, slider.max) == (0.05, min(low, 0.0), high) and high < 1
    assert "%" not in slider.proto.format.replace("%.", "", 1)


def test_an_emptied_box_takes_the_fields_default(app: AppTest) -> None:
    opened(app, QUICK)
    fold(app, "fold_optimiser", True)
    app.number_input(key="tuning.learning_rate").set_value(None).run()
    app.number_input(key="tuning.batch_size").set_value(None).run()
    tuning = from_json(app.query_params["recipe"]).tuning
    assert (tuning.learning_rate, tuning.batch_size) == (Tuning().learning_rate, Tuning().batch_size)


def test_what_is_folded_away_is_not_drawn_and_keeps_what_was_set(app: AppTest) -> None:
    opened(app, replace(QUICK, tuning=Tuning(epochs=1, momentum=0.7)))
    assert "tuning.batch_size" not in [box.key for box in app.number_input]
    fold(app, "fold_optimiser", True)
    app.number_input(key="tuning.batch_size").set_value(48).run()
    fold(app, "fold_optimiser", False)
    assert "tuning.batch_size" not in [box.key for box in app.number_input]
    app.slider(key="amount.sparsity.share").set_value(61.0).run()
    tuning = from_json(app.query_params["recipe"]).tuning
    assert (tuning.momentum, tuning.batch_size) == (0.7, 48)
    fold(app, "fold_optimiser", True)
    assert app.number_input(key="tuning.batch_size").value == 48


def fold(app: AppTest, key: str, is_open: bool) -> None:
    """As a click on the part's title does."""
    app.session_state[key] = is_open
    app.run()


def test_uniform_at_all_leaves_every_layer_a_unit(app: AppTest) -> None:
    opened(app, replace(QUICK, granularity=Channels(), amount=Sparsity(1.0)))
    next(button for button in app.button if button.label == "uniform").click().run()
    assert [error.value for error in app.error] == [] and not app.exception


def test_blocks_that_can_be_skipped_are_shown_each_with_its_own_fate(app: AppTest, backend: InProcess) -> None:
    opened(app, Recipe("fashion_vit", granularity=Layers(), amount=Sparsity(0.4)))
    now = look(backend.lab, from_json(app.query_params["recipe"]), "score")
    fates = {row.name.split(".")[0]: row.pruned_units for row in now.layers if row.units}
    assert sorted(fates.values()) == [0, 0, 1] and all(row.units <= 1 for row in now.layers)


def test_scoring_that_takes_too_long_for_a_page_is_a_sentence_and_can_be_run(app: AppTest) -> None:
    opened(app, Recipe("fashion_resnet", criterion=Ablation(), granularity=Kernels()))
    assert "ablation would take about" in app.error[0].value and "Run carries the recipe out" in app.error[0].value
    assert not app.button(key="run_button").disabled


def test_a_value_just_above_its_bound_is_shown_and_given_back(app: AppTest) -> None:
    recipe = replace(QUICK, schedule=Polynomial(3, 1e-12), tuning=Tuning(learning_rate=1e-15))
    opened(app, recipe)
    assert from_json(app.query_params["recipe"]) == recipe


@pytest.mark.parametrize("asked_for", [False, True])
def test_a_parameter_of_no_layer_has_a_heatmap_where_it_is_asked_for(monkeypatch, asked_for) -> None:
    monkeypatch.setattr(layer_panel, "lab_state", lambda: LabState(heatmap_layer="positions"))
    rows = [lab.ROWS[0], lab.UNPRUNABLE[1]]
    views = [lab.view(row, 0.5) for row in rows]
    positions = replace(views[1], units=8, why_not="") if asked_for else views[1]
    shown = layer_panel.heatmap_layer(lab.model(rows), lab.cut([views[0], positions]))
    assert shown == ("positions" if asked_for else "conv1")
