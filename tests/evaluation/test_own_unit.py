"""Estimates of scores that are no accuracies: errors, scores without bounds, other ranges."""

import math

import pytest
import torch
from torch import Tensor

from pruning.evaluation.accuracy import Evaluator, guessing, small_change
from pruning.evaluation.regression_estimator import DenseReference, DenseReferenceBuilder, dense_reference
from pruning.evaluation.sequential_bounds import AtAllLooks, UntilNarrow, looks
from pruning.metric import ACCURACY, Metric
from tests.linear_regression import DENSE, MSE, NEGATIVE, SquaredError, build, mse, negative, split
from tests.networks import CPU

FREE = Metric("score")
"""Without bounds, higher is better."""


def known_of(scores: Tensor, metric: Metric, predictor: Tensor) -> DenseReference:
    ones = torch.ones(len(scores), dtype=torch.float64)
    return DenseReference(scores, torch.stack([ones, predictor.double()], dim=1), None, metric=metric)


def errors(total: int, seed: int, more: float) -> tuple[Tensor, Tensor]:
    """Squared errors of a dense network, and of a cut one whose errors are larger by `more` standard deviations."""
    draw = torch.Generator().manual_seed(seed)
    dense, apart = torch.randn(2, total, generator=draw)
    return dense.square(), (dense + more * apart).square()


def test_an_estimate_without_bounds_worked_out_by_hand():
    # As for accuracy, but dense scores are all 2, and of 100 seen 20 are 12 and 80 are 2: the mean is 4, 2 more than
    # dense. Residuals 8 and 2: Σr² = 20·8² + 80·2² = 1600, times (100/99)². Of the z² samples that are added half are
    # residuals as large as the range that has been seen: 12 - 2 = 10.
    known = known_of(torch.full((400,), 2.0), MSE, torch.zeros(400))
    seen = torch.cat([torch.full((20,), 12.0), torch.full((80,), 2.0)])
    z = AtAllLooks(400).z
    variance = (1600 * (100 / 99) ** 2 + z**2 / 2 * 10**2) / (100 + z**2)
    estimate = known.estimate(seen)
    assert (estimate.score, estimate.change) == pytest.approx((4.0, 2.0), abs=1e-4)
    assert estimate.half_width == pytest.approx(z * math.sqrt(variance / 100 * (1 - 100 / 400)), rel=1e-4)


def test_scores_that_are_all_the_same_are_no_certainty():
    """A surprise would be as large as the score itself, or 1 where that is 0."""
    for score, surprise in ((4.0, 4.0), (0.0, 1.0)):
        known = known_of(torch.full((400,), score), MSE, torch.zeros(400))
        z = AtAllLooks(400).z
        variance = z**2 / 2 * surprise**2 / (100 + z**2)
        half_width = known.estimate(torch.full((100,), score)).half_width
        assert half_width == pytest.approx(z * math.sqrt(variance / 100 * 0.75), rel=1e-4)


def test_no_estimate_is_held_back_at_0_or_1():
    """What once made +7.1 of a change of −3.7: dense −0.1, and a cut at −3.8 was taken for 0."""
    known = known_of(torch.full((400,), -0.1), FREE, torch.zeros(400))
    assert known.estimate(torch.full((100,), -3.8)).change == pytest.approx(-3.7, abs=1e-4)
    assert known.estimate(torch.full((100,), 3.8)).change == pytest.approx(3.9, abs=1e-4)


def test_an_estimate_does_not_pass_an_end_that_there_is():
    """A predictor that grows with the evaluated errors and falls far below them: there the error is 0 and no less."""
    growing = torch.arange(1000) / 100
    known = known_of(torch.zeros(1000), MSE, torch.zeros(1000))
    predictor = torch.empty(1000).index_put_((known.order,), -growing)
    falling = torch.cat([torch.ones(50), torch.zeros(50)])
    assert known_of(torch.zeros(1000), MSE, predictor).estimate(falling).score == 0.0
    assert known_of(torch.zeros(1000), FREE, predictor).estimate(falling).score < 0.0


@pytest.mark.parametrize("more", [0.1, 2.0])
def test_the_negative_score_gives_the_mirrored_estimate(more):
    dense, cut = errors(1000, 1, more)
    known, mirrored = known_of(dense, MSE, dense - dense.mean()), known_of(-dense, NEGATIVE, dense.mean() - dense)
    for size in looks(1000):
        one, other = known.estimate(cut[known.order][:size]), mirrored.estimate(-cut[known.order][:size])
        assert other.score == pytest.approx(-one.score, rel=1e-9) and other.change == pytest.approx(
            -one.change, rel=1e-9
        )
        assert other.half_width == pytest.approx(one.half_width, rel=1e-9)
        assert NEGATIVE.drop(other.change) == pytest.approx(MSE.drop(one.change), rel=1e-9)


@pytest.mark.parametrize("factor, offset", [(1e-6, 0.0), (1e6, 0.0), (1.0, 1e4)])
def test_another_unit_gives_the_same_estimate_in_that_unit(factor, offset):
    dense, cut = (scores.double() for scores in errors(1000, 2, 0.5))

    class Given(SquaredError):
        def judge(self, output: Tensor, target: Tensor) -> Tensor:
            return output

    def estimate(factor: float, offset: float):
        builder = DenseReferenceBuilder(Given(FREE), 1000)
        builder.add(torch.arange(1000), dense * factor + offset, torch.zeros(1000))
        known = builder.known()
        return known.estimate((cut * factor + offset)[known.order][:200])

    one, other = estimate(1.0, 0.0), estimate(factor, offset)
    assert other.score == pytest.approx(one.score * factor + offset, rel=1e-6)
    assert other.half_width == pytest.approx(one.half_width * factor, rel=1e-4)


def test_a_metric_of_another_range_is_estimated_as_the_same_in_0_to_1():
    draw = torch.Generator().manual_seed(0)
    dense, cut = (torch.rand(2, 600, generator=draw) < 0.8).float()
    wide = Metric("agreement", low=-1.0, high=1.0)
    one, other = known_of(dense, ACCURACY, dense), known_of(2 * dense - 1, wide, dense)
    for size in looks(600):
        narrow, twice = one.estimate(cut[one.order][:size]), other.estimate(2 * cut[one.order][:size] - 1)
        assert twice.score == pytest.approx(2 * narrow.score - 1, abs=1e-9)
        assert twice.half_width == pytest.approx(2 * narrow.half_width, abs=1e-9)


@pytest.mark.parametrize("more", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("asked", [0.0, 0.1])
def test_an_asymptotic_interval_holds_in_95_of_100_cases(more, asked):
    """Squared normal errors, skewed as errors are. `asked`: on the way to so narrow an interval, else at all looks."""
    total, covered, repetitions = 2000, 0, 100
    dense, cut = errors(total, 3, more)
    final, interval = float(cut.double().mean()), UntilNarrow(asked) if asked else AtAllLooks(total)
    draw = torch.Generator().manual_seed(0)
    for _ in range(repetitions):
        mixed = torch.randperm(total, generator=draw)
        known = known_of(dense[mixed], MSE, (dense - dense.mean())[mixed])
        seen, held = cut[mixed][known.order], True
        for size in looks(total):
            estimate = known.estimates(seen[None, :size], interval)[0]
            held &= abs(estimate.score - final) <= estimate.half_width + 1e-9
            if asked and estimate.half_width <= asked:
                break
        covered += held
    assert covered >= 0.9 * repetitions


def test_what_is_known_of_a_regression():
    known = dense_reference(build(), Evaluator(split(), SquaredError(), CPU))
    assert known.metric is MSE and known.chance is None and known.score == DENSE
    assert known.predictors.shape == (320, 2) and float(known.predictors[:, 1].abs().sum()) == 0.0  # each error is 1/4


def test_a_small_change_of_a_workload_follows_from_its_dense_score():
    # a twentieth of 1/4 is 0.0125
    assert small_change(mse(), CPU) == small_change(negative(), CPU) == 0.01


def test_nobody_knows_what_a_guess_would_score_by_another_metric():
    assert guessing(0.1, 600, 10) and not guessing(0.1, 600, 10, Metric("F1", low=0.0, high=1.0))
