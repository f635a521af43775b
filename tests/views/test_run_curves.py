"""The curves of a run as the page draws them: the points of the run, in the looks of the report."""

from dataclasses import replace

from pruning.metric import Metric
from pruning.reporting.palette import DASH_LENGTHS, SERIES
from pruning.reporting.run_summary import Curve, LossPoint, ScorePoint, SharePoint
from views.shared.run_curves import curves_spec

CURVE = Curve((ScorePoint(0, 0.5, 0.2), ScorePoint(10, 0.75, 0.4)), (LossPoint(5, 1.25),), (), 0.9, 20)


def test_accuracy_and_sparsity_are_drawn_in_percent_above_the_loss() -> None:
    above, below = curves_spec(CURVE)["vconcat"]
    points = [(row["series"], row["step"], row["value"]) for row in above["data"]["values"]]
    assert points == [("accuracy", 0, 50.0), ("accuracy", 10, 75.0), ("sparsity", 0, 20.0), ("sparsity", 10, 40.0)]
    assert below["data"]["values"] == [{"step": 5, "series": "loss", "value": 1.25}]


def test_each_series_has_the_look_that_it_has_in_the_report() -> None:
    above, below = curves_spec(CURVE)["vconcat"]
    for chart, names in ((above, ["accuracy", "sparsity"]), (below, ["loss"])):
        colour, dash = chart["encoding"]["color"]["scale"], chart["encoding"]["strokeDash"]["scale"]
        assert colour == {"domain": names, "range": [SERIES[name].hue for name in names]}
        assert dash == {"domain": names, "range": [DASH_LENGTHS[SERIES[name].dash] for name in names]}


def test_a_score_that_is_not_in_percent_has_a_panel_of_its_own() -> None:
    scores, sparsity, _ = curves_spec(replace(CURVE, metric=Metric("MSE", "lower", low=0.0)))["vconcat"]
    points = [(row["series"], row["step"], row["value"]) for row in scores["data"]["values"]]
    assert points == [("MSE", 0, 0.5), ("MSE", 10, 0.75)]
    assert scores["encoding"]["y"]["title"] == "MSE (validation), lower is better"
    assert [row["value"] for row in sparsity["data"]["values"]] == [20.0, 40.0]


def test_another_share_is_drawn_as_accuracy_is_under_its_own_name() -> None:
    above, _ = curves_spec(replace(CURVE, metric=Metric("IoU", low=0.0, high=1.0)))["vconcat"]
    assert {row["series"] for row in above["data"]["values"]} == {"IoU", "sparsity"}


def test_the_share_near_zero_is_drawn_where_a_regulariser_acts() -> None:
    above, _ = curves_spec(replace(CURVE, near_zero=(SharePoint(0, 0.0), SharePoint(10, 0.25))))["vconcat"]
    near = [(row["step"], row["value"]) for row in above["data"]["values"] if row["series"] == "near zero"]
    assert near == [(0, 0.0), (10, 25.0)]
    assert above["encoding"]["color"]["scale"]["range"][-1] == SERIES["near zero"].hue
