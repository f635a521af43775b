import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pruning.evaluation.accuracy import Evaluator
from pruning.evaluation.regression_estimator import DESIGNS, DenseReference, DenseReferenceBuilder, dense_reference
from pruning.evaluation.sequential_bounds import AtAllLooks, UntilNarrow, looks
from pruning.workload import Classification, TensorSplit
from tests.networks import CLASSES, CPU, mlp, samples, seeded

TASK = Classification(CLASSES)


def plain(scores: Tensor) -> DenseReference:
    """Nothing is known but the dense network's scores."""
    return DenseReference(scores, torch.stack([torch.ones(len(scores)), scores], dim=1).double())


def test_an_estimate_worked_out_by_hand():
    # 100 of 400 seen; the dense network is right on all, so that the regression is the mean: 20 of 100 wrong.
    # A ridge of 1e-6·100 on two equal columns changes the fit by 5e-7. leverage 1/100: residuals swell by 100/99.
    # Σr² = 20·0.8² + 80·0.2² = 16; 16·(100/99)² = 16.3249; z² / 2 is added, and z² samples
    known = plain(torch.ones(400))
    seen = torch.cat([torch.zeros(20), torch.ones(80)])
    z = AtAllLooks(400).z
    variance = (16.3249 + z**2 / 2) / (100 + z**2)
    estimate = known.estimate(seen)
    assert estimate.score == pytest.approx(0.8, abs=1e-5)
    assert estimate.change == pytest.approx(-0.2, abs=1e-5)
    assert estimate.half_width == pytest.approx(z * math.sqrt(variance / 100 * (1 - 100 / 400)), abs=1e-5)
    assert (estimate.samples, estimate.total, estimate.measured) == (100, 400, False)


def test_what_the_predictors_explain_costs_no_samples():
    # the cut network is right exactly where the dense one is not, on other shares of the sample than of the whole
    dense = (torch.rand(2000, generator=torch.Generator().manual_seed(5)) < 0.7).float()
    known = plain(dense)
    estimate = known.estimate((1 - dense)[known.order][:200])
    assert estimate.score == pytest.approx(1 - float(dense.mean()), abs=1e-4)
    nothing_known = DenseReference(dense, torch.ones(2000, 2).double())
    assert estimate.half_width < 0.5 * nothing_known.estimate((1 - dense)[known.order][:200]).half_width


def test_a_look_without_any_surprise_is_not_certainty():
    assert 0.02 < plain(torch.ones(1000)).estimate(torch.ones(100)).half_width < 0.06


@pytest.mark.parametrize("total", [1, 150, 700, 5000])
def test_all_samples_give_the_full_evaluation_to_the_last_digit(total):
    scores = torch.rand(total, generator=torch.Generator().manual_seed(total))
    known = plain(torch.rand(total, generator=torch.Generator().manual_seed(1)))
    estimate = known.estimate(scores[known.order])
    assert estimate.score == float(scores.double().mean()) and estimate.half_width == 0.0 and estimate.measured
    assert estimate.change == estimate.score - known.score


def test_a_score_never_leaves_its_range():
    dense = torch.cat([torch.ones(500), torch.zeros(500)])
    known = plain(dense)
    first = known.order[:100]
    assert known.estimate(torch.zeros(len(first))).score == 0.0
    assert known.estimate(torch.ones(len(first))).score == 1.0
    # a predictor that grows with the evaluated scores, and is far larger among the samples to come
    growing = torch.empty(1000).index_put_((known.order,), torch.arange(1000) / 100)
    predictors = torch.stack([torch.ones(1000), dense, growing], dim=1).double()
    for seen, end in (((torch.arange(100) > 50).float(), 1.0), ((torch.arange(100) < 50).float(), 0.0)):
        assert DenseReference(dense, predictors).estimate(seen).score == end


@pytest.mark.parametrize("right, agree", [(0.9, 0.99), (0.9, 0.9), (0.9, 0.5), (0.5, 0.5), (0.99, 0.999)])
@pytest.mark.parametrize("total", [600, 3000])
def test_the_interval_holds_the_final_value_at_all_looks_in_95_of_100_cases(total, right, agree):
    """Binomials whose truth is known: the dense network is right on a share, the cut one agrees with it on a share."""
    draw = torch.Generator().manual_seed(0)
    dense = torch.zeros(total)
    dense[: round(right * total)] = 1.0
    cut = dense.clone()
    other = torch.randperm(total, generator=draw)[: round((1 - agree) * total)]
    cut[other] = 1 - cut[other]
    final, repetitions, covered = float(cut.double().mean()), 200, 0
    for _ in range(repetitions):
        mixed = torch.randperm(total, generator=draw)
        known = plain(dense[mixed])
        seen = cut[mixed][known.order]
        estimates = [known.estimate(seen[:n]) for n in looks(total)]
        covered += all(abs(e.score - final) <= e.half_width + 1e-12 for e in estimates)
    assert covered >= 0.92 * repetitions  # 95 %, and a standard error of 1.5 %


@pytest.mark.parametrize("agree", [0.99, 0.9, 0.6])
def test_an_interval_holds_also_while_little_is_known_of_the_dense_network(agree):
    """500 of 3000 known, 200 of them evaluated: what the unknown ones may differ by is part of the width."""
    draw, total, covered, widths = torch.Generator().manual_seed(0), 3000, 0, torch.zeros(2)
    dense = (torch.arange(total) < 0.8 * total).float()
    cut = torch.where(torch.rand(total, generator=draw) < agree, dense, 1 - dense)
    for _ in range(200):
        mixed = torch.randperm(total, generator=draw)
        known = replace(plain(dense[mixed]), evaluated=500)
        seen = cut[mixed][known.order][:200]
        estimate = known.estimates(seen[None], AtAllLooks(total))[0]
        covered += abs(estimate.score - float(cut.mean())) <= estimate.half_width
        widths += torch.tensor([
            estimate.half_width, plain(dense[mixed]).estimates(seen[None], AtAllLooks(total))[0].half_width
        ])  # fmt: skip
    assert covered >= 190 and widths[0] > 0.99 * widths[1]


@pytest.mark.parametrize("right, agree", [(0.9, 0.99), (0.9, 0.9), (0.9, 0.5), (0.5, 0.5), (0.99, 0.999)])
def test_an_interval_that_narrows_holds_at_all_looks_until_it_is_as_narrow_as_asked(right, agree):
    draw, total, interval = torch.Generator().manual_seed(0), 5000, UntilNarrow(0.02)
    dense = (torch.arange(total) < right * total).float()
    cut = torch.where(torch.rand(total, generator=draw) < agree, dense, 1 - dense)
    final, repetitions, covered = float(cut.double().mean()), 200, 0
    for _ in range(repetitions):
        mixed = torch.randperm(total, generator=draw)
        known, held = plain(dense[mixed]), True
        seen = cut[mixed][known.order]
        for look in looks(total):
            estimate = known.estimates(seen[None, :look], interval)[0]
            held &= abs(estimate.score - final) <= estimate.half_width + 1e-12
            if estimate.half_width <= 0.02:
                break
        covered += held
    assert covered >= 0.9 * repetitions  # of 1000 repetitions 93 to 100 % held


def test_several_cuts_at_once_are_estimated_as_each_alone():
    draw = torch.Generator().manual_seed(3)
    known = plain((torch.rand(1000, generator=draw) < 0.8).float())
    seen = (torch.rand(4, 300, generator=draw) < 0.6).float()
    together = known.estimates(seen, AtAllLooks(1000))
    for each, estimate in zip(seen, together, strict=True):
        alone = known.estimate(each)
        assert alone.score == pytest.approx(estimate.score, abs=1e-12)
        assert alone.half_width == pytest.approx(estimate.half_width, abs=1e-12)


def test_what_is_known_of_a_classifier():
    model, split = seeded(mlp), samples((6,), 300, 1)
    known = dense_reference(model, Evaluator(split, TASK, CPU))
    assert torch.equal(known.scores, Evaluator(split, TASK, CPU).evaluate_all(model)[0])
    right, rank = known.predictors[:, 2], known.predictors[:, 3]
    with torch.no_grad():
        chances = model(split.inputs).softmax(dim=1)
    assert torch.allclose(right.float(), chances[torch.arange(300), split.targets], atol=1e-5)
    # the ranks are those of the margins: right answers, and only those, have positive ones
    assert rank.min() == 0 and rank.max() == 299 / 300
    assert rank[known.scores == 1].min() > rank[known.scores == 0].max()
    assert bool((known.predictors[split.targets == 2, 5:] == torch.tensor([0.0, 1.0])).all())
    assert known.predictors.shape == (300, 2 + 3 + len(CLASSES) - 1)
    assert known.chance == max(int((split.targets == c).sum()) for c in range(3)) / 300


def test_the_dense_network_may_become_known_bit_by_bit():
    model, split = seeded(mlp), samples((6,), 300, 1)
    whole, dense = dense_reference(model, Evaluator(split, TASK, CPU)), DenseReferenceBuilder(TASK, 300)
    for upto in (100, 300):
        index = whole.order[dense.evaluated : upto]
        with torch.no_grad():
            dense.add(index, model(split.inputs[index]), split.targets[index])
        known = dense.known()
        assert known.evaluated == upto and torch.equal(known.order, whole.order)
        first = known.order[:upto]
        assert torch.equal(known.scores[first], whole.scores[first])
        assert torch.allclose(known.predictors[first, :3], whole.predictors[first, :3], atol=1e-6)
        assert known.score == float(whole.scores[first].double().mean())
    assert torch.allclose(known.predictors[:, [0, 1, 2, 5, 6]], whole.predictors[:, [0, 1, 2, 5, 6]], atol=1e-6)
    # samples of the same margin, here those that no unit fires on, are ranked as they come
    assert torch.equal(known.predictors[:, 3].sort().values, whole.predictors[:, 3].sort().values)
    assert known.chance == whole.chance


def test_what_is_known_where_there_are_no_classes():
    class Distance(Classification):
        def judge(self, output: Tensor, target: Tensor) -> Tensor:
            return 1 / (1 + (output[:, 0] - target).abs())

    model = nn.Sequential(nn.Linear(6, 1))
    split = TensorSplit(torch.randn(150, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(150))
    known = dense_reference(model, Evaluator(split, Distance(()), CPU))
    assert known.predictors.shape == (150, 2) and known.chance == 0.0


def test_the_order_is_random_and_the_same_every_time():
    one, two = plain(torch.ones(500)), plain(torch.zeros(500))
    assert torch.equal(one.order, two.order) and not torch.equal(one.order, torch.arange(500))
    assert torch.equal(one.order.sort().values, torch.arange(500))


def test_an_interval_while_half_of_the_dense_network_is_known_worked_out_by_hand():
    # As in the first test, but only 200 of the 400 are known: the 100 are half of these, and these half of all. Of the
    # first cut 20 of 100 are wrong, of the second 50: variances of 0.8·0.2·100/99 and 0.25·100/99.
    known = replace(plain(torch.ones(400)), evaluated=200)
    seen = torch.stack([torch.arange(100) >= wrong for wrong in (20, 50)]).float()
    z = AtAllLooks(400).z
    for estimate, spread in zip(known.estimates(seen, AtAllLooks(400)), (0.16, 0.25), strict=True):
        residual = (100 * spread * (100 / 99) ** 2 + z**2 / 2) / (100 + z**2)
        variance = residual / 100 * (1 - 100 / 200) + spread * 100 / 99 / 200 * (1 - 200 / 400)
        assert estimate.half_width == pytest.approx(z * math.sqrt(variance), abs=1e-5)


def test_all_predictors_count_from_twenty_samples_for_each():
    # the third predictor is the cut network's score: with 60 samples it explains everything, with 59 it is left out
    draw = torch.Generator().manual_seed(0)
    dense, cut = (torch.rand(2, 500, generator=draw) < 0.8).float()
    knowing = DenseReference(dense, torch.stack([torch.ones(500), dense, cut], dim=1).double())
    seen = cut[knowing.order]
    assert knowing.estimate(seen[:60]).score == pytest.approx(float(cut.mean()), abs=1e-4)
    assert knowing.estimate(seen[:59]) == plain(dense).estimate(seen[:59])


def test_no_more_regressions_are_kept_than_a_slider_needs():
    known = plain((torch.arange(400) % 5 > 0).float())
    seen = known.scores[known.order]
    first = known.estimate(seen[:100])
    for size in range(101, 101 + 2 * DESIGNS):
        known.estimate(seen[:size])
    assert len(known._designs) == DESIGNS
    assert known.estimate(seen[:100]) == first
