from statistics import NormalDist

import numpy as np
import pytest

from pruning.evaluation.sequential_bounds import AtAllLooks, UntilNarrow, constant, looks


@pytest.mark.parametrize(
    "total, sizes",
    [
        (1, (1,)),
        (150, (150,)),
        (199, (199,)),
        (200, (100, 200)),
        (241, (100, 141, 241)),
        (1000, (100, 141, 200, 283, 400, 566, 800, 1000)),
    ],
)
def test_looks_grow_by_the_square_root_of_two_and_end_at_all(total, sizes):
    assert looks(total) == sizes


@pytest.mark.parametrize("count, z", [(1, 1.960), (2, 2.178), (3, 2.289), (4, 2.361), (5, 2.413), (10, 2.555)])
def test_the_boundary_at_equal_distances_is_pococks_table(count, z):
    # Pocock 1977, table 1, α = 0.05
    assert constant([float(i + 1) for i in range(count)], 0.95, 0.5) == pytest.approx(z, abs=2e-3)


@pytest.mark.parametrize("count, z", [(1, 1.960), (2, 1.977), (3, 2.004), (4, 2.024), (5, 2.040), (10, 2.087)])
def test_the_boundary_that_narrows_is_obrien_and_flemings_table(count, z):
    # Jennison and Turnbull 2000, table 2.3, α = 0.05
    assert constant([(i + 1) / count for i in range(count)], 0.95, 0.0) == pytest.approx(z, abs=2e-3)


def test_times_far_apart_are_independent_looks():
    # √ of the level for each of two independent looks
    alone = NormalDist().inv_cdf((1 + 0.95**0.5) / 2)
    assert constant([1.0, 1e9], 0.95, 0.5) == pytest.approx(alone, abs=2e-3)


def test_a_look_at_the_same_time_costs_nothing():
    assert constant([1.0, 1.0 + 1e-4], 0.95, 0.5) == pytest.approx(1.96, abs=0.03)


@pytest.mark.parametrize("time", [1e-4, 0.25, 1.0])
def test_a_single_look_is_a_normal_quantile_whenever_it_comes(time):
    # |W(t)| <= c·t^(1/4) with 95 % where c·t^(1/4) = 1.96·√t
    assert constant([time], 0.95, 0.25) == pytest.approx(1.96 * time**0.25, rel=1e-3)
    assert constant([time], 0.999, 0.5) == pytest.approx(3.2905, rel=1e-3)


def test_past_the_time_one_a_boundary_counts_standard_errors_whatever_its_shape():
    # two looks as good as at once: each within 1.96·√t
    assert constant([1.9, 1.9 + 1e-4], 0.95, 0.25) == pytest.approx(1.96, abs=0.03)


def test_all_looks_together_need_less_than_bonferroni_and_more_than_one():
    for total in (300, 1000, 10_000, 100_000):
        bonferroni = NormalDist().inv_cdf(1 - 0.05 / (2 * (len(looks(total)) - 1)))
        assert 1.96 < AtAllLooks(total).z < bonferroni


def test_a_split_that_is_seen_at_once_needs_no_boundary():
    assert AtAllLooks(150).z == 0.0


def test_an_interval_that_narrows_takes_little_for_the_looks_on_the_way():
    until = UntilNarrow(0.01)
    assert 1.96 < until.z < 2.3
    at_the_end = (0.01 / until.z) ** 2
    assert until.half_width(at_the_end) == pytest.approx(0.01)
    # at a sixteenth of the time: 16^(1/4) = 2 times as many standard errors, each 4 times as large
    assert until.half_width(16 * at_the_end) == pytest.approx(0.08)
    assert until.half_width(at_the_end / 4) == pytest.approx(0.005)  # past the end: as at the end
    assert until.half_width(0.0) == 0.0


def test_brownian_motion_stays_within_the_narrowing_boundary_at_whatever_looks():
    """Looks at 12 random times, the last past the end: simulated, for the boundary is computed for other times."""
    draw = np.random.default_rng(0)
    until, outside, paths = UntilNarrow(0.01), 0, 4000
    end = (until.z / until.asked) ** 2  # the inverse of a variance
    for _ in range(paths):
        times = end * np.append(np.sort(np.exp(draw.uniform(np.log(0.01), 0.0, 12))), 1.02)
        walk = np.cumsum(draw.normal(size=13) * np.sqrt(np.diff(times, prepend=0.0)))
        errors = np.abs(walk / times)
        outside += any(error > until.half_width(1 / time) for error, time in zip(errors, times, strict=True))
    assert outside / paths < 0.06


@pytest.mark.parametrize("variance", [0.02, 0.1, 0.25])
def test_enough_samples_are_predicted_from_any_look(variance):
    until, total = UntilNarrow(0.01), 10_000
    for samples in (100, 400, 1600):
        half = until.half_width(variance * (1 / samples - 1 / total))
        enough = until.enough(half, samples, total)
        before, after = (until.half_width(variance * (1 / n - 1 / total)) for n in (max(enough - 2, 1), enough))
        assert after <= 0.01 + 1e-12 and (before > 0.01 or enough <= samples)
    assert AtAllLooks(total).enough(0.3, 100, total) == total
