from statistics import NormalDist

import pytest

from pruning.boundary import looks, pocock, repeated_z


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
    assert pocock([float(i + 1) for i in range(count)], 0.95) == pytest.approx(z, abs=2e-3)


def test_times_far_apart_are_independent_looks():
    # √ of the level for each of two independent looks
    alone = NormalDist().inv_cdf((1 + 0.95**0.5) / 2)
    assert pocock([1.0, 1e9], 0.95) == pytest.approx(alone, abs=2e-3)


def test_a_look_at_the_same_time_costs_nothing():
    assert pocock([1.0, 1.0 + 1e-4], 0.95) == pytest.approx(1.96, abs=0.03)


def test_all_looks_together_need_less_than_bonferroni_and_more_than_one():
    for total in (300, 1000, 10_000, 100_000):
        bonferroni = NormalDist().inv_cdf(1 - 0.05 / (2 * (len(looks(total)) - 1)))
        assert 1.96 < repeated_z(total) < bonferroni


def test_a_split_that_is_seen_at_once_needs_no_boundary():
    assert repeated_z(150) == 0.0
