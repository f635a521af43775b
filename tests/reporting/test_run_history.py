"""Runs side by side: what they came to, what differs, when the next one starts."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.criteria import Taylor
from pruning.events import Event, Exported, Masked, Measured, Stage, StageMeasured, Started, TuningStep, Verified
from pruning.granularities import Channels
from pruning.metric import ACCURACY, Metric
from pruning.recipe.recipe import Recipe, to_dict, to_json
from pruning.reporting.formatting import THIN
from pruning.reporting.palette import RUN_MARKS, run_style
from pruning.reporting.plots_runs import Drawn, score_figure, score_size_figure
from pruning.reporting.run_history import (
    Placed,
    Setting,
    common_metric,
    differing,
    how_much,
    placed,
    plain_recipe,
    settings,
    summary,
    typical_s,
    until_start_s,
    what_is_pruned,
)
from pruning.reporting.run_summary import curve
from pruning.selection.amounts import Automatic, Budget, PerLayer, Sparsity, Threshold
from pruning.selection.scopes import WithinLayer
from pruning.training.tuning import Tuning

DENSE = Stage(0.9, 0.85, 1000, 100, 100, 5000, 2000, 1000)
TUNED = Stage(0.875, 0.8, 1000, 100, 20, 5000, 2000, 400)
STARTED = Started("net", "cpu", 1, 20, ())
EVENTS: list[Event] = [
    STARTED,
    StageMeasured("dense", DENSE),
    Masked(0, 1.0, 80, 80, 100, {"fc": 0.2}),
    Measured(0, 0, "validation", 0.5, 0.8),
    TuningStep(0, 0, 20, 1.0),
    Measured(0, 20, "validation", 0.75, 0.8),
    StageMeasured("tuned", TUNED),
]
FILES = Exported({"safetensors": "network.safetensors"})


def test_a_summary_is_known_as_far_as_the_run_is() -> None:
    assert summary([]) == summary([STARTED])
    assert (summary(EVENTS[:2]).dense, summary(EVENTS[:2]).tuned, summary(EVENTS[:2]).change) == (DENSE, None, None)
    found = summary(EVENTS)
    assert (found.dense, found.tuned, found.verified) == (DENSE, TUNED, None)
    assert found.change == pytest.approx(-0.025)


def test_steps_add_nothing_to_a_summary() -> None:
    assert summary(event for event in EVENTS if not isinstance(event, TuningStep)) == summary(EVENTS)


def test_only_what_scores_the_same_is_verified() -> None:
    assert summary([*EVENTS, Verified(0.875, 0.875, True), FILES]).verified is True
    assert summary([*EVENTS, Verified(0.875, 0.5, False), FILES]).verified is False
    assert summary([*EVENTS, FILES]).verified is False  # exported, and nobody could score it


def test_a_run_that_began_again_is_said_from_there() -> None:
    assert summary([*EVENTS, STARTED]).dense is None


def test_a_recipe_in_words() -> None:
    recipe = Recipe("mlp_128", Taylor(), Channels(), WithinLayer())
    assert what_is_pruned(recipe) == "channels by taylor, layer"
    assert how_much(Sparsity(0.8)) == f"sparsity 80.0{THIN}%"
    assert how_much(Threshold(0.05)) == "threshold 0.0500"
    assert how_much(Budget("bytes", 0.25)) == f"budget bytes 25.0{THIN}%"
    assert how_much(PerLayer({"fc": 0.25}, rest=Sparsity(0.5))) == f"sparsity 50.0{THIN}%, 1 layer apart"
    assert how_much(Automatic("macs")) == "automatic macs, at most 0.01 lost"
    both = f"automatic latency, at most 50.0{THIN}% left, at most 0.02 lost"
    assert how_much(Automatic("latency", 0.5, 0.02)) == both


def test_settings_that_differ_by_their_dotted_names() -> None:
    plain = to_dict(Recipe("mlp_128", amount=Sparsity(0.5), tuning=Tuning(epochs=1)))
    other = to_dict(Recipe("mlp_128", amount=Threshold(0.1), tuning=Tuning(epochs=3), keep_whole=("fc1", "fc2")))
    assert differing([plain, plain]) == []
    assert differing([plain, other, plain]) == [
        Setting("amount.kind", ("sparsity", "threshold", "sparsity")),
        Setting("amount.value", (None, "0.1", None)),  # fields of one kind stand beside the choice of the kind
        Setting("amount.share", ("0.5", None, "0.5")),
        Setting("tuning.epochs", ("1", "3", "1")),
        Setting("keep_whole", ("none", "fc1, fc2", "none")),
    ]


def test_one_recipes_settings_are_all_of_its_fields() -> None:
    reported = {
        setting.name: setting.values for setting in settings([{"a": 1, "b": {"c": None, "d": [1, 2], "e": {}}}])
    }
    assert reported == {"a": ("1",), "b.c": ("none",), "b.d": ("1, 2",)}


def test_a_recipe_of_another_version_can_still_be_compared() -> None:
    old = plain_recipe(json.dumps({"version": 0, "workload": "net", "share": 0.5}))
    assert Setting("share", (None, "0.5")) in differing([plain_recipe(to_json(Recipe("net"))), old])


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000])
def test_what_is_no_recipe_has_no_settings(text: str) -> None:
    assert plain_recipe(text) == {}


def test_accuracy_against_each_size() -> None:
    stages = {"dense": DENSE, "pruned": DENSE, "tuned": TUNED}
    assert placed(stages, "gzip_bytes") == (Placed("dense", 1000, 0.9), Placed("tuned", 400, 0.875))
    assert placed(stages, "nonzero")[1] == Placed("tuned", 20, 0.875)
    assert placed({"dense": DENSE}, "macs") == (Placed("dense", 5000, 0.9),)
    assert placed({}, "bytes") == ()


def test_how_long_a_run_takes_is_learnt_from_its_like() -> None:
    past = [("a", 10.0), ("a", 30.0), ("a", 20.0), ("b", 100.0)]
    assert typical_s(past, "a") == 20.0
    assert typical_s(past, "c") == 25.0  # none of its kind: the median of all
    assert typical_s([], "a") is None


def test_the_next_run_starts_when_the_first_worker_is_free() -> None:
    assert until_start_s([], []) == 0.0
    assert until_start_s([30.0], []) == 30.0
    assert until_start_s([30.0], [20.0, 5.0]) == 55.0
    # two workers: 10 -> the first ahead ends at 30; 25 -> the second ends at 32; then 30 is free first
    assert until_start_s([25.0, 10.0], [20.0, 7.0], at_once=2) == 30.0


def test_a_worker_that_is_free_takes_the_next_run_at_once() -> None:
    assert until_start_s([30.0], [], at_once=2) == 0.0
    assert until_start_s([], [20.0, 5.0], at_once=2) == 5.0
    assert until_start_s([30.0, 40.0], [], at_once=1) == 30.0  # of a server that was started with fewer workers


TIMES = st.lists(st.floats(0, 1e4), max_size=6)


@given(TIMES, TIMES, st.floats(0, 1e4))
def test_nobody_starts_earlier_for_one_more_ahead(left: list[float], ahead: list[float], more: float) -> None:
    until = until_start_s(left, ahead)
    assert until >= min(left, default=0.0)
    assert until_start_s(left, [*ahead, more]) >= until


def test_figures_draw_what_the_runs_say() -> None:
    stages = {"dense": DENSE, "tuned": TUNED}
    runs = [Drawn(name, curve(EVENTS), placed(stages, "gzip_bytes")) for name in ("one", "two")]
    first, second = score_figure(runs).data
    assert (list(first.x), list(first.y)) == ([0, 20], [50.0, 75.0])
    assert (first.name, second.name) == ("one", "two")
    (one, _) = score_size_figure(runs, "gzip_bytes").data
    assert (list(one.x), list(one.y)) == ([0.4, 1.0], [87.5, 90.0])
    assert list(one.marker.symbol) == ["circle", "circle-open"]


def test_a_run_that_has_measured_nothing_can_be_drawn() -> None:
    runs = [Drawn("new", curve([]), ())]
    assert len(score_figure(runs).data) == len(score_size_figure(runs, "macs").data) == 1


def test_runs_differ_in_more_than_hue() -> None:
    styles = [run_style(place) for place in range(5)]
    for field in ("hue", "dash", "mark"):
        assert len({getattr(style, field) for style in styles}) == len(styles)
    assert len({run_style(place) for place in range(210)}) == 210
    assert all(run_style(place).mark in RUN_MARKS for place in range(10))


def test_runs_have_a_metric_in_common_or_none() -> None:
    error = Metric("MSE", "lower", low=0.0)
    dense = StageMeasured("dense", DENSE)
    accurate, wrong = summary([STARTED, dense]), summary([replace(STARTED, metric=error), dense])
    queued = summary([])
    assert common_metric([accurate, queued]) == common_metric([queued]) == common_metric([]) == ACCURACY
    assert common_metric([wrong, queued]) == error and common_metric([accurate, wrong]) is None
