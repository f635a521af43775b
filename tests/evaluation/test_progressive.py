from itertools import pairwise

import pytest
from torch import nn

from pruning.evaluation.accuracy import Evaluator
from pruning.evaluation.progressive import ProgressiveEvaluation
from pruning.evaluation.regression_estimator import dense_reference
from pruning.evaluation.sequential_bounds import looks
from pruning.workload import Classification
from tests.networks import CLASSES, CPU, mlp, samples, seeded

TASK = Classification(CLASSES)


def comparison(total: int) -> tuple[ProgressiveEvaluation, nn.Module]:
    dense, cut, split = seeded(mlp), seeded(mlp), samples((6,), total, 1)
    cut[0].weight.data[0].zero_()
    evaluator = Evaluator(split, TASK, CPU)
    return ProgressiveEvaluation(dense_reference(dense, evaluator), evaluator), cut


@pytest.mark.parametrize("total", [1, 99, 150, 251, 700, 1900, 12_000])
def test_a_comparison_ends_exactly_at_the_full_evaluation(total):
    compared, cut = comparison(total)
    full = compared.evaluator.score(cut)
    seen = []
    while not seen or not seen[-1].measured:
        seen.append(compared.advance(cut, seconds=0.0))
    assert seen[-1].score == full and seen[-1].half_width == 0.0
    assert seen[-1].change == pytest.approx(full - compared.known.score, abs=1e-12)
    counts = [look.samples for look in seen]
    assert counts == sorted(counts) and set(counts) <= set(looks(total))
    assert all(look.half_width > 0 for look in seen[:-1])
    assert all(abs(look.score - full) <= look.half_width for look in seen)


def test_an_estimate_stands_at_the_latest_look():
    compared, cut = comparison(3000)
    look = compared.advance(cut, 0.0)
    assert look.samples <= compared.samples
    assert look == compared.known.estimate(
        compared.evaluator.evaluate_all(cut)[0][compared.known.order[: look.samples]]
    )


def test_enough_time_sees_everything_at_once():
    compared, cut = comparison(1900)
    assert compared.advance(cut, 60.0).measured
    assert compared.advance(cut, 60.0).measured  # and asking again costs nothing


def test_chunks_grow_where_samples_are_cheap_and_are_bounded():
    compared, cut = comparison(12_000)
    compared.advance(cut, 60.0)
    sizes = [len(chunk) for chunk in compared.seen]
    assert sizes[0] == 100 and sizes[1] > 100 and max(sizes) <= 5000
    assert all(after <= 4 * before for before, after in pairwise(sizes))
