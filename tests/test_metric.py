"""What a score means: worked out by hand, and what cannot be is refused."""

import math

import pytest
import torch
from torch import Tensor

from pruning.errors import WorkloadError
from pruning.metric import ACCURACY, Metric
from pruning.workload import Classification, metric_of, sample_scores
from tests.linear_regression import MSE, NEGATIVE, SquaredError


def test_a_drop_is_for_the_worse_whichever_way_is_better():
    assert (ACCURACY.drop(-0.02), ACCURACY.drop(0.02)) == (0.02, -0.02)
    assert (MSE.drop(-0.02), MSE.drop(0.02)) == (-0.02, 0.02)


def test_only_what_lies_between_0_and_1_is_written_in_percent():
    assert ACCURACY.percent and Metric("error rate", "lower", 0, 1).percent
    assert not any(metric.percent for metric in (MSE, NEGATIVE, Metric("SSIM", low=-1.0, high=1.0), Metric("return")))


def test_a_range_with_both_ends_is_bounded():
    assert ACCURACY.bounded and ACCURACY.span == 1.0
    assert not MSE.bounded and MSE.ends == (0.0, math.inf) and NEGATIVE.ends == (-math.inf, 0.0)


@pytest.mark.parametrize(
    "metric, dense, small",
    [
        (ACCURACY, 0.9, 0.01),  # a point
        (Metric("SSIM", low=-1.0, high=1.0), 0.7, 0.02),  # a hundredth of the range
        (Metric("grade", low=0.0, high=6.0), 5.0, 0.05),  # 0.06, rounded
        (MSE, 0.0712, 0.002),  # a twentieth is 0.00356
        (MSE, 84.0, 2.0),  # 4.2
        (NEGATIVE, -100.0, 5.0),
        (MSE, 0.0, 0.01),  # nothing to go by
    ],
)
def test_a_small_change_is_a_round_number(metric, dense, small):
    assert metric.tolerance(dense) == small


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"name": ""}, "a metric has no name; give one"),
        ({"name": "MSE", "better": "less"}, "better of the metric MSE is 'less'; use 'higher' or 'lower'"),
        ({"name": "MSE", "high": math.inf}, "high of the metric MSE is inf; leave it out where there is no bound"),
        ({"name": "IoU", "low": 1.0, "high": 0.0}, "the metric IoU lies between 1 and 0; let low be below high"),
    ],
)
def test_what_is_no_metric_is_refused(fields, sentence):
    with pytest.raises(WorkloadError, match=sentence):
        Metric(**fields)


def test_a_task_that_does_not_say_what_its_scores_are_gives_accuracies():
    assert metric_of(Classification(("a", "b"))) is ACCURACY
    assert metric_of(SquaredError()) is MSE


def test_a_task_that_means_something_else_by_the_word_is_told_so():
    class Own(Classification):
        metric = "accuracy"

    with pytest.raises(WorkloadError, match=r"the task's metric is a str; let it be a pruning\.Metric"):
        metric_of(Own(("a", "b")))


def judged(metric: Metric, *scores: float) -> Tensor:
    """What is checked of these scores."""

    class Given(SquaredError):
        def judge(self, output: Tensor, target: Tensor) -> Tensor:
            return output

    return sample_scores(Given(metric), torch.tensor(scores), torch.zeros(len(scores)))


@pytest.mark.parametrize(
    "metric, scores", [(MSE, (0.0, 1e6)), (NEGATIVE, (-1e6, 0.0)), (Metric("return"), (-7.0, 7.0))]
)
def test_scores_in_the_range_of_their_metric_are_taken(metric, scores):
    assert judged(metric, *scores).tolist() == list(scores)


@pytest.mark.parametrize(
    "metric, scores, sentence",
    [
        (MSE, (-0.5, 1.0), "scores from -0.5 to 1; its metric says that MSE is at least 0: return such scores"),
        (NEGATIVE, (-0.5, 1.0), "its metric says that negative MSE is at most 0"),
        (Metric("SSIM", low=-1.0, high=1.0), (0.0, 1.5), "SSIM is at least -1 and at most 1"),
        (Metric("return"), (0.0, math.inf), "return is a finite number"),
        (Metric("return"), (0.0, math.nan), "return is a finite number"),
        (ACCURACY, (0.0, 1.5), r"return scores in \[0, 1\], .* metric = pruning.Metric\('MSE', better='lower'\)"),
    ],
)
def test_scores_outside_the_range_are_refused_with_the_range_that_was_said(metric, scores, sentence):
    with pytest.raises(WorkloadError, match=sentence):
        judged(metric, *scores)


def test_the_ends_of_a_range_may_be_missed_by_rounding():
    assert judged(Metric("grade", low=0.0, high=1000.0), 1000.0005).tolist() == [pytest.approx(1000.0005)]
