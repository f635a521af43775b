"""One level for each group, against trying them all."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.level_search.additive import Additive, tabulated
from pruning.level_search.solver import smallest, smallest_in_steps

LOSS = Additive(0.0, {"a": np.array([0.0, 3.0]), "b": np.array([0.0, 1.0])})
COST = Additive(1.0, {"a": np.array([0.0, -0.4]), "b": np.array([0.0, -0.4])})


def tried(what: Additive, other: Additive, at_most: float) -> float | None:
    """The smallest of `what` over all choices of levels within the limit."""
    names, lengths = list(what.single), [len(values) for values in what.single.values()]
    choices = [dict(zip(names, each, strict=True)) for each in itertools.product(*map(range, lengths))]
    within = [what.of(choice) for choice in choices if other.of(choice) <= at_most + 1e-9]
    return min(within, default=None)


@st.composite
def quantities(draw: st.DrawFn) -> tuple[Additive, Additive]:
    """A loss that grows and a cost that falls with the levels, with what pairs of groups add to either."""
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    seed = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    names = [f"g{place}" for place in range(len(lengths))]
    pairs = draw(st.lists(st.sampled_from(list(itertools.combinations(names, 2)) or [None]), max_size=3))
    length = dict(zip(names, lengths, strict=True))

    def drawn(sign: float) -> Additive:
        single = {name: sign * np.r_[0.0, seed.uniform(0, 1, length[name] - 1)] for name in names}
        both = {pair: seed.normal(0, 0.3, (length[pair[0]], length[pair[1]])) for pair in pairs if pair is not None}
        return Additive(1.0, single, both)

    return drawn(1.0), drawn(-1.0)


@settings(max_examples=60, deadline=None)
@given(quantities(), st.floats(-2.0, 2.0))
def test_the_solution_is_the_best_of_all_choices(drawn, at_most):
    what, other = drawn
    best, found = tried(what, other, at_most), smallest(what, other, at_most, gap=0.0)
    if best is None or found is None:
        assert best is None and found is None
    else:
        assert other.of(found) <= at_most + 1e-6
        assert what.of(found) == pytest.approx(best, abs=1e-6)


def test_the_cheaper_loss_is_taken():
    assert smallest(LOSS, COST, at_most=0.6) == {"a": 0, "b": 1}


def test_both_are_taken_where_one_is_not_enough():
    assert smallest(LOSS, COST, at_most=0.2) == {"a": 1, "b": 1}


def test_what_cannot_be_is_none():
    assert smallest(LOSS, COST, at_most=0.1) is None


def test_a_pair_can_make_the_dearer_group_the_better():
    """Alone b is cheaper; but a saves nothing more once b is pruned: 0.3 is left of both only with a alone."""
    cost = Additive(1.0, {"a": np.array([0.0, -0.7]), "b": np.array([0.0, -0.4])}, {("a", "b"): np.diag([0.0, 0.4])})
    assert smallest(LOSS, cost, at_most=0.35) == {"a": 1, "b": 0}


LEVELS = {"a": (0, 2, 4), "b": (0, 3, 5)}


def matrix(pruned: dict[str, int]) -> float:
    """A weight of 10 x 6 that loses rows and columns, and a bias of the columns."""
    return (10 - pruned["a"]) * (6 - pruned["b"]) + (6 - pruned["b"])


def test_a_matrix_is_its_two_lengths_and_their_product():
    table = tabulated(matrix, LEVELS)
    assert table.base == 66
    assert table.single["a"].tolist() == [0, -12, -24] and table.single["b"].tolist() == [0, -33, -55]
    assert table.pairs["a", "b"].tolist() == [[0, 0, 0], [0, 6, 10], [0, 12, 20]]


def test_groups_of_other_tensors_are_no_pair():
    assert not tabulated(lambda pruned: 10 - pruned["a"] + 2 * pruned["b"] ** 2, LEVELS).pairs


def test_a_pair_that_is_no_product_is_asked_level_by_level():
    table = tabulated(lambda pruned: max(4 - pruned["a"], 5 - pruned["b"]), LEVELS)
    for one, other in itertools.product(range(3), range(3)):
        assert table.of({"a": one, "b": other}) == max(4 - LEVELS["a"][one], 5 - LEVELS["b"][other])


def test_many_levels_of_a_parabola_are_asked_at_four_of_them():
    asked: list[int] = []

    def square(pruned: dict[str, int]) -> float:
        asked.append(pruned["a"])
        return float((50 - pruned["a"]) ** 2)

    table = tabulated(square, {"a": tuple(range(41))})
    assert table.base + table.single["a"] == pytest.approx([(50 - count) ** 2 for count in range(41)])
    assert len(asked) == 4


def test_levels_that_are_no_parabola_are_all_asked():
    found = tabulated(lambda pruned: -float(pruned["a"] > 7), {"a": tuple(range(41))})
    assert found.single["a"].tolist() == [-float(count > 7) for count in range(41)]


def test_in_steps_the_same_is_found_where_groups_are_coupled():
    """A convex loss and a cost that is a product: among few levels first, and then among those that are near."""
    counts = np.arange(40.0)
    loss = Additive(0.0, {"a": counts**2, "b": 3 * counts**2})
    cost = tabulated(
        lambda pruned: (50 - pruned["a"]) * (50 - pruned["b"]) / 2500, {"a": tuple(range(40)), "b": tuple(range(40))}
    )
    steps, whole = smallest_in_steps(loss, cost, 0.5), smallest(loss, cost, 0.5)
    assert cost.of(steps) <= 0.5 + 1e-9 and loss.of(steps) == pytest.approx(loss.of(whole), rel=1e-3)
