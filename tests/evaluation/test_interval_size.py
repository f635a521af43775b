"""How wide intervals are where it matters: at the last look, and with many predictors and few samples."""

import numpy as np
import torch
from torch import Tensor

from pruning.evaluation.regression_estimator import DenseReference
from pruning.evaluation.sequential_bounds import UntilNarrow


def test_an_interval_that_narrows_holds_also_where_the_last_look_comes_a_tenth_late():
    """The number of samples at which an interval is narrow enough is foreseen; the look at it may come a tenth later.

    Brownian motion at the times of all looks, the last a tenth past the end: in 5 % of the paths it leaves the
    interval at some look. A boundary made for a last look at the end itself is left in 5.9 %.
    """
    until, paths = UntilNarrow(0.01), 200_000
    times = np.array([*(2 ** (look / 2) for look in range(-14, 0)), 0.999, 1.1])
    steps = np.random.default_rng(0).standard_normal((paths, len(times))) * np.sqrt(np.diff(times, prepend=0.0))
    errors = np.abs(np.cumsum(steps, axis=1)) / times
    end = (until.asked / until.z) ** 2  # the variance at the time 1
    # an error is W(t)/t in units of the root of that variance
    widths = [until.half_width(end / time) / end**0.5 for time in times]
    outside = float((errors > widths).any(axis=1).mean())
    assert 0.048 < outside < 0.052  # the standard error is 0.0005


def reference(predictors: Tensor, scores: Tensor) -> DenseReference:
    ones = torch.ones(len(scores), 1)
    return DenseReference(scores, torch.cat([ones, scores[:, None], predictors], dim=1).double())


def test_predictors_that_explain_nothing_do_not_widen_the_interval_of_few_samples():
    draw = torch.Generator().manual_seed(0)
    dense = (torch.rand(2000, generator=draw) < 0.8).float()
    cut = torch.where(torch.rand(2000, generator=draw) < 0.9, dense, 1 - dense)
    noise = reference(torch.randn(2000, 50, generator=draw), dense)
    plain = reference(torch.empty(2000, 0), dense)
    seen = cut[plain.order]
    for samples in (100, 200, 400, 800):
        assert noise.estimate(seen[:samples]).half_width <= 1.01 * plain.estimate(seen[:samples]).half_width


def test_predictors_that_explain_much_narrow_the_interval_once_there_are_samples_enough():
    draw = torch.Generator().manual_seed(0)
    dense, other = (torch.rand(2, 2000, generator=draw) < 0.8).float()
    explains = reference(torch.stack([other, *torch.randn(4, 2000, generator=draw)], dim=1), dense)
    plain = reference(torch.empty(2000, 0), dense)
    seen = other[plain.order][:400]  # the cut network is right exactly where a predictor says
    assert explains.estimate(seen).half_width < 0.5 * plain.estimate(seen).half_width
