import pytest
import torch
from torch import Tensor

from pruning.model.memory import bytes_of
from pruning.model.units import Tiles, UnitGroup
from pruning.selection.amounts import Amount, PerLayer, RelativeThreshold, Sparsity, Threshold, n_of_m
from pruning.selection.ranking import Position, Ranking, position, rank, select
from pruning.selection.scopes import Global, Scope, WithinBlocks, WithinLayer, WithinRow
from pruning.training.schedules import Linear, Polynomial, Schedule

Scores = dict[str, list[float]]


def ranking(
    scores: Scores,
    scope: Scope,
    amount: Amount,
    pruned: dict[str, Tensor] | None = None,
    layouts: dict[str, tuple[int, ...]] | None = None,
) -> Ranking:
    """Of single weights, which lie in a line unless a layout is given."""
    tensors = {name: torch.tensor(values) for name, values in scores.items()}
    groups = [
        UnitGroup(name, (name,), (layouts or {}).get(name, (len(values),)), (Tiles(f"{name}.weight"),))
        for name, values in scores.items()
    ]
    return rank(groups, tensors, scope, amount, pruned)


def pruned(
    scores: Scores, scope: Scope, amount: Amount, progress: float = 1.0, **layouts: tuple[int, ...]
) -> dict[str, list[int]]:
    """Group name -> positions of the units that are pruned."""
    keep = select(ranking(scores, scope, amount, layouts=layouts), amount, progress)
    return {name: torch.nonzero(~stays).flatten().tolist() for name, stays in keep.items()}


def at(scores: Scores, scope: Scope, amount: Amount, **layouts: tuple[int, ...]) -> Position:
    return position(ranking(scores, scope, amount, layouts=layouts), amount)


def shares(schedule: Schedule) -> list[float]:
    return [each.progress for each in schedule.rounds_of(1, 0.5)]


def test_the_lowest_half_is_pruned():
    assert pruned({"a": [3.0, 1.0, 4.0, 2.0]}, Global(), Sparsity(0.5)) == {"a": [1, 3]}


def test_all_units_compete_in_the_global_scope_and_each_layer_among_itself_in_the_other():
    scores = {"a": [1.0, 2.0, 3.0, 4.0], "b": [10.0, 20.0, 30.0, 40.0]}
    assert pruned(scores, Global(), Sparsity(0.25)) == {"a": [0, 1], "b": []}
    assert pruned(scores, WithinLayer(), Sparsity(0.25)) == {"a": [0], "b": [0]}


def test_ties_are_pruned_by_position():
    assert pruned({"a": [1.0] * 6}, WithinLayer(), Sparsity(0.5)) == {"a": [0, 1, 2]}
    assert pruned({"a": [1.0] * 4, "b": [1.0] * 4}, Global(), Sparsity(0.5)) == {"a": [0, 1, 2], "b": [0]}
    assert pruned({"a": [2.0, 0.0, 2.0, 0.0, 2.0]}, WithinLayer(), Sparsity(0.6)) == {"a": [0, 1, 3]}


def test_ties_over_several_layers_are_pruned_layer_by_layer():
    # sorted: 0 of b, then seven ones, then the best of each, which stay whatever they score
    scores = {"a": [1.0, 1.0, 1.0, 9.0], "b": [1.0, 0.0, 1.0, 9.0], "c": [1.0, 1.0, 1.0, 1.0]}
    cuts = {1: [0, 1, 0], 2: [1, 1, 0], 4: [3, 1, 0], 5: [3, 2, 0], 6: [3, 3, 0], 8: [3, 3, 2], 9: [3, 3, 3]}
    for count, expected in cuts.items():
        amount = Sparsity(count / 12)
        assert [share.pruned for share in at(scores, Global(), amount).shares] == expected
        assert [len(units) for units in pruned(scores, Global(), amount).values()] == expected
    assert pruned(scores, Global(), Sparsity(5 / 12)) == {"a": [0, 1, 2], "b": [0, 1], "c": []}


def test_zero_is_zero_whatever_its_sign():
    assert pruned({"a": [0.0, -0.0, 0.0, -0.0, 1.0]}, WithinLayer(), Sparsity(0.4)) == {"a": [0, 1]}
    assert pruned({"a": [-0.0, 0.0, 1.0]}, WithinLayer(), Threshold(0.0)) == {"a": []}


def test_infinite_scores_are_the_first_and_the_last_to_be_pruned():
    infinity = float("inf")
    scores = {"a": [infinity, 1.0, -infinity, infinity], "b": [2.0, -infinity, 3.0, 4.0]}
    assert pruned(scores, Global(), Sparsity(0.25)) == {"a": [2], "b": [1]}
    assert pruned(scores, Global(), Sparsity(0.75)) == {"a": [0, 1, 2], "b": [0, 1, 2]}


def test_the_ranking_leaves_the_scores_alone_and_does_not_follow_them():
    for scope in (Global(), WithinLayer(), WithinRow(), WithinBlocks(2)):
        scores = {"a": torch.tensor([3.0, 1.0, 4.0, 2.0]), "b": torch.tensor([7.0, 5.0, 8.0, 6.0])}
        groups = [UnitGroup(name, (name,), (1, 4), (Tiles(f"{name}.weight"),)) for name in scores]
        made = rank(groups, scores, scope, Sparsity(0.5), {"a": torch.tensor([True, False, False, False])})
        before = select(made, Sparsity(0.5))
        assert scores["a"].tolist() == [3.0, 1.0, 4.0, 2.0] and scores["b"].tolist() == [7.0, 5.0, 8.0, 6.0]
        scores["a"].zero_()
        scores["b"].zero_()
        assert all(torch.equal(stays, before[name]) for name, stays in select(made, Sparsity(0.5)).items())


def test_a_layer_without_units_loses_none():
    for scope in (Global(), WithinRow()):
        assert pruned({"a": [1.0, 2.0], "b": []}, scope, Sparsity(0.5), a=(1, 2), b=(0, 3)) == {"a": [0], "b": []}


def test_an_index_takes_no_more_than_three_copies_of_the_scores():
    scores = {name: torch.rand(20_000, generator=torch.Generator().manual_seed(0)).tolist() for name in "abcde"}
    for scope, copies in ((Global(), 3), (Global("mean"), 3), (WithinLayer(), 2)):
        assert copies * 400_000 <= bytes_of(ranking(scores, scope, Sparsity(0.5)).pools) < copies * 400_000 + 10_000


def test_a_threshold_keeps_what_is_equal_to_it():
    assert pruned({"a": [1.0, 2.0, 3.0], "b": [2.5, 1.5, 2.0]}, Global(), Threshold(2.0)) == {"a": [0], "b": [1]}
    assert pruned({"a": [0.0, 0.0, 1.0]}, Global(), Threshold(0.0)) == {"a": []}


def test_tiny_layers_lose_what_rounding_gives():
    assert pruned({"a": [1.0, 2.0, 3.0]}, WithinLayer(), Sparsity(0.1)) == {"a": []}
    where = position(ranking({"a": [1.0, 2.0, 3.0]}, WithinLayer(), Sparsity(0.5)), Sparsity(0.5))
    assert (where.asked, where.pruned, where.shares[0].kept) == (2, 2, pytest.approx(1 / 3))


def test_a_layer_with_its_own_share_leaves_the_common_pool():
    scores = {"a": [1.0, 2.0, 3.0, 4.0], "b": [0.1, 0.2, 0.3, 0.4], "c": [5.0, 6.0, 7.0, 8.0]}
    amount = PerLayer({"b": 0.25}, Sparsity(0.5))
    # half of the eight of a and c would be all of a: its best stays, the next of c is pruned
    assert pruned(scores, Global(), amount) == {"a": [0, 1, 2], "b": [0], "c": [0]}
    assert pruned(scores, WithinLayer(), amount) == {"b": [0], "a": [0, 1], "c": [0, 1]}


def test_layers_that_are_not_named_follow_a_threshold():
    scores = {"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 2.0, 3.0, 4.0]}
    assert pruned(scores, Global(), PerLayer({"b": 0.0}, Threshold(2.5))) == {"b": [], "a": [0, 1]}


@pytest.mark.parametrize("scope", [Global(), WithinLayer()])
def test_every_layer_keeps_its_best_unit_and_the_shortfall_is_counted(scope):
    scores = {"a": [1.0, 2.0], "b": [30.0, 10.0, 20.0]}
    assert pruned(scores, scope, Sparsity(1.0)) == {"a": [0], "b": [1, 2]}
    where = position(ranking(scores, scope, Sparsity(1.0)), Sparsity(1.0))
    assert (where.asked, where.pruned, where.units) == (5, 3, 5)
    assert pruned(scores, scope, Threshold(1e9)) == {"a": [0], "b": [1, 2]}
    assert position(ranking(scores, scope, Threshold(1e9)), Threshold(1e9)).asked == 5
    where = position(ranking(scores, scope, Threshold(5.0)), Threshold(5.0))
    assert (where.asked, where.pruned) == (2, 1)


def test_the_floor_takes_from_other_layers_so_that_the_count_is_right():
    scores = {"a": [1.0, 2.0], "b": [30.0, 10.0, 20.0]}
    assert pruned(scores, Global(), Sparsity(0.6)) == {"a": [0], "b": [1, 2]}


def test_of_equal_best_units_the_last_is_the_one_that_stays():
    assert pruned({"a": [5.0, 5.0, 5.0]}, WithinLayer(), Sparsity(1.0)) == {"a": [0, 1]}


@pytest.mark.parametrize("scope", [Global(), WithinLayer()])
def test_a_layer_is_pruned_whole_when_it_is_asked_for_by_name(scope):
    scores = {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    amount = PerLayer({"a": 1.0}, Sparsity(0.0))
    assert pruned(scores, scope, amount) == {"a": [0, 1], "b": []}
    where = position(ranking(scores, scope, amount), amount)
    assert (where.asked, where.pruned) == (2, 2)


def test_units_that_have_been_pruned_never_come_back():
    scores, gone = {"a": [9.0, 8.0, 1.0, 2.0]}, {"a": torch.tensor([True, True, False, False])}
    amount = Sparsity(0.5)
    assert select(ranking(scores, WithinLayer(), amount, gone), amount)["a"].tolist() == [False, False, True, True]
    # also where less is asked than has been pruned already
    assert select(ranking(scores, WithinLayer(), amount, gone), amount, 0.1)["a"].tolist() == [False, False, True, True]
    assert select(ranking(scores, WithinLayer(), Threshold(0.0), gone), Threshold(0.0))["a"].tolist() == [
        False,
        False,
        True,
        True,
    ]


def test_a_layer_that_was_emptied_stays_empty():
    amount = PerLayer({"a": 1.0}, Sparsity(0.0))
    gone = {"a": torch.tensor([True, True])}
    assert not select(ranking({"a": [1.0, 2.0], "b": [3.0, 4.0]}, Global(), amount, gone), amount)["a"].any()


def test_a_polynomial_reaches_the_amount_in_rounds():
    amount = Sparsity(0.8)
    ranked = ranking({"a": list(map(float, range(1000)))}, Global(), amount)
    counts = [position(ranked, amount, share).pruned for share in shares(Polynomial(5, 3))]
    assert counts == [390, 627, 749, 794, 800]


def test_the_cut_is_the_score_of_the_first_unit_that_stays():
    amount = Sparsity(0.5)
    where = position(ranking({"a": [3.0, 1.0, 4.0, 2.0]}, Global(), amount), amount)
    assert (where.shares[0].cut, where.shares[0].kept) == (3.0, 0.5)
    nothing = position(ranking({"a": [3.0, 1.0]}, Global(), Sparsity(0.0)), Sparsity(0.0))
    assert (nothing.shares[0].cut, nothing.pruned, nothing.shares[0].kept) == (None, 0, 1.0)


def test_shares_come_in_the_order_of_the_groups():
    amount = PerLayer({"a": 0.5}, Sparsity(0.5))
    where = position(ranking({"b": [1.0, 2.0], "a": [1.0, 2.0], "c": [1.0, 2.0]}, WithinLayer(), amount), amount)
    assert [share.name for share in where.shares] == ["b", "a", "c"]


TWO = {"small": [0.1, 0.2, 0.3, 0.4], "large": [10.0, 20.0, 30.0, 40.0]}
"""Both layers alike but for their scale: means 0.25 and 25, L2 norms √0.3 and √3000, largest 0.4 and 40."""


def test_without_normalising_the_layer_of_small_scores_pays():
    assert pruned(TWO, Global(), Sparsity(0.5)) == {"small": [0, 1, 2], "large": [0]}


@pytest.mark.parametrize("normalise", ["mean", "l2", "max"])
def test_normalised_layers_of_one_shape_lose_the_same_share(normalise):
    assert pruned(TWO, Global(normalise), Sparsity(0.5)) == {"small": [0, 1], "large": [0, 1]}


def test_what_normalising_divides_by_decides():
    scores = {"a": [1.0, 3.0, 8.0], "b": [3.0, 3.0, 3.0]}
    # none: 1 | 3 3 3 3 8, and the best of each layer stays; the ties are pruned a first
    assert pruned(scores, Global(), Sparsity(0.5)) == {"a": [0, 1], "b": [0]}
    # mean: a / 4 = 0.25 0.75 2 and b / 3 = 1 1 1
    assert pruned(scores, Global("mean"), Sparsity(0.5)) == {"a": [0, 1], "b": [0]}
    assert pruned(scores, Global("mean"), Threshold(0.9)) == {"a": [0, 1], "b": []}
    # l2: a / √74 = 0.116 0.349 0.930 and b / √27 = 0.577 0.577 0.577
    assert pruned(scores, Global("l2"), Threshold(0.5)) == {"a": [0, 1], "b": []}
    # max: a / 8 = 0.125 0.375 1 and b / 3 = 1 1 1
    assert pruned(scores, Global("max"), Threshold(0.2)) == {"a": [0], "b": []}
    assert pruned(scores, Global("max"), Threshold(0.4)) == {"a": [0, 1], "b": []}


def test_scores_below_zero_are_normalised_by_their_size_and_keep_their_order():
    scores = {"a": [-4.0, -1.0, 2.0], "b": [-0.2, 0.4, 0.3]}
    # by the largest size: a / 4 = −1 −0.25 0.5 and b / 0.4 = −0.5 1 0.75
    assert pruned(scores, Global("max"), Sparsity(0.5)) == {"a": [0, 1], "b": [0]}
    assert pruned(scores, Global("max"), Sparsity(2 / 6)) == {"a": [0], "b": [0]}
    assert pruned(scores, Global(), Sparsity(2 / 6)) == {"a": [0, 1], "b": []}
    assert pruned(scores, Global("max"), Threshold(-0.5)) == {"a": [0], "b": []}


@pytest.mark.parametrize("normalise", ["none", "mean", "l2", "max"])
def test_a_layer_of_zeros_is_pruned_first_but_for_one_unit(normalise):
    scores = {"a": [1.0, 2.0, 3.0], "zeros": [0.0, 0.0, 0.0]}
    assert pruned(scores, Global(normalise), Sparsity(0.5)) == {"a": [0], "zeros": [0, 1]}


def test_a_normalised_cut_is_in_each_layers_own_units():
    # divided by the means 0.25 and 25: 0.4 0.8 1.2 1.6 twice; the third of eight pairs, 1.2, is the lowest that stays
    where = at(TWO, Global("mean"), Sparsity(0.5))
    assert [share.cut for share in where.shares] == [pytest.approx(0.3), pytest.approx(30.0)]
    where = at(TWO, Global("max"), Threshold(0.6))
    assert [(share.pruned, share.cut) for share in where.shares] == [(2, pytest.approx(0.3)), (2, pytest.approx(30.0))]


ROWS = {"a": [1.0, 2.0, 3.0, 4.0, 50.0, 60.0, 70.0, 80.0]}


def test_every_row_loses_the_same_share():
    assert pruned(ROWS, WithinRow(), Sparsity(0.5), a=(2, 4)) == {"a": [0, 1, 4, 5]}
    assert pruned(ROWS, WithinRow(), Sparsity(0.25), a=(2, 4)) == {"a": [0, 4]}
    assert pruned(ROWS, WithinLayer(), Sparsity(0.5), a=(2, 4)) == {"a": [0, 1, 2, 3]}


def test_a_row_may_be_pruned_whole_but_the_layer_may_not():
    assert pruned(ROWS, WithinRow(), Sparsity(1.0), a=(2, 4)) == {"a": [0, 1, 2, 3, 4, 5, 6]}
    assert pruned(ROWS, WithinRow(), Threshold(55.0), a=(2, 4)) == {"a": [0, 1, 2, 3, 4]}
    where = at(ROWS, WithinRow(), Sparsity(1.0), a=(2, 4))
    assert (where.asked, where.pruned) == (8, 7)


def test_the_rows_of_a_convolution_are_its_filters():
    scores = {"a": [float(i) for i in range(16)]}
    assert pruned(scores, WithinRow(), Sparsity(0.25), a=(2, 2, 2, 2)) == {"a": [0, 1, 8, 9]}


def test_two_of_four_neighbours_stay_in_every_block():
    scores = {"a": [4.0, 1.0, 3.0, 2.0, 9.0, 9.0, 9.0, 9.0, 0.1, 0.4, 0.3, 0.2, 5.0, 7.0, 6.0, 8.0]}
    keep = pruned(scores, WithinBlocks(4), Sparsity(n_of_m(2, of=4)), a=(2, 8))
    assert keep == {"a": [1, 3, 4, 5, 8, 11, 12, 14]}  # of four equal ones the first two


def test_in_a_convolution_a_block_is_four_channels_at_one_place():
    # [1, 4, 1, 2]: at place 0 channels score 8 1 6 3, at place 1 they score 2 7 4 5
    scores = {"a": [8.0, 2.0, 1.0, 7.0, 6.0, 4.0, 3.0, 5.0]}
    assert pruned(scores, WithinBlocks(4), Sparsity(0.5), a=(1, 4, 1, 2)) == {"a": [1, 2, 5, 6]}


def test_the_rest_of_a_row_loses_its_own_rounded_share():
    # rows of 7: a block of 4 loses 2 and the rest of 3 loses round(1.5) = 2
    scores = {"a": [1.0, 2.0, 3.0, 4.0, 9.0, 8.0, 7.0, 40.0, 30.0, 20.0, 10.0, 0.3, 0.1, 0.2]}
    assert pruned(scores, WithinBlocks(4), Sparsity(0.5), a=(2, 7)) == {"a": [0, 1, 5, 6, 9, 10, 12, 13]}
    where = at(scores, WithinBlocks(4), Sparsity(0.5), a=(2, 7))
    assert (where.asked, where.pruned, where.units) == (8, 8, 14)


def test_where_rows_or_blocks_are_cut_there_is_no_single_cut():
    assert at(ROWS, WithinRow(), Sparsity(0.5), a=(2, 4)).shares[0].cut is None
    assert at(ROWS, WithinBlocks(4), Sparsity(0.5), a=(2, 4)).shares[0].cut is None
    # one row of 8 in blocks of 5: one block and one rest, each cut at a score of its own
    assert at(ROWS, WithinBlocks(5), Sparsity(0.5), a=(1, 8)).shares[0].cut is None
    # one row is the whole layer
    assert at(ROWS, WithinRow(), Sparsity(0.5), a=(1, 8)).shares[0].cut == 50.0


def test_a_relative_threshold_follows_each_layers_own_scale_in_every_scope():
    scores = {"a": [1.0, 2.0, 3.0, 4.0], "b": [100.0, 10.0, 60.0, 49.0]}
    layouts = {"a": (2, 2), "b": (2, 2)}
    for scope in (Global(), Global("max"), WithinLayer(), WithinRow(), WithinBlocks(2)):
        # below 2 in a, below 50 in b; 2 itself stays
        assert pruned(scores, scope, RelativeThreshold(0.5), **layouts) == {"a": [0], "b": [1, 3]}
    where = at(scores, Global(), RelativeThreshold(0.5))
    assert [(share.pruned, share.cut) for share in where.shares] == [(1, 2.0), (2, 60.0)]


def test_a_relative_threshold_of_one_leaves_the_highest_alone_and_not_all_of_equals():
    assert pruned({"a": [1.0, 5.0, 5.0, 2.0]}, Global(), RelativeThreshold(1.0)) == {"a": [0, 3]}


def test_what_has_been_pruned_does_not_count_as_the_highest():
    gone = {"a": torch.tensor([True, False, False])}
    amount = RelativeThreshold(0.5)
    scores = {"a": [100.0, 4.0, 1.0]}
    assert select(ranking(scores, WithinLayer(), amount, gone), amount)["a"].tolist() == [False, True, False]


@pytest.mark.parametrize("scope", [WithinRow(), WithinBlocks(2), Global("l2")])
def test_what_has_been_pruned_stays_pruned_in_rows_and_blocks(scope):
    scores, gone = {"a": [9.0, 8.0, 1.0, 2.0]}, {"a": torch.tensor([True, False, False, False])}
    for amount in (Sparsity(0.5), Threshold(0.0), RelativeThreshold(0.5)):
        keep = select(ranking(scores, scope, amount, gone, {"a": (1, 4)}), amount, 0.5)["a"]
        assert not keep[0] and keep.any()


def test_where_all_have_been_pruned_none_comes_back_as_the_best():
    gone = {"a": torch.tensor([True, True])}
    scores = {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    for amount in (Sparsity(0.1), Threshold(0.0), RelativeThreshold(0.5)):
        assert not select(ranking(scores, WithinLayer(), amount, gone), amount)["a"].any()


def test_the_share_of_a_layer_by_hand_is_that_of_its_rows_and_blocks():
    amount = PerLayer({"a": 0.5}, Sparsity(0.25))
    both = {"a": (2, 4), "b": (2, 4)}
    for scope in (WithinRow(), WithinBlocks(4)):
        assert pruned({"a": ROWS["a"], "b": ROWS["a"]}, scope, amount, **both) == {"a": [0, 1, 4, 5], "b": [0, 4]}


def test_blocks_reach_their_share_in_rounds():
    amount = Sparsity(0.75)
    scores = {"a": [4.0, 3.0, 2.0, 1.0, 1.0, 2.0, 3.0, 4.0]}
    rounds = [pruned(scores, WithinBlocks(4), amount, share, a=(2, 4))["a"] for share in shares(Linear(3))]
    assert rounds == [[3, 4], [2, 3, 4, 5], [1, 2, 3, 4, 5, 6]]


def test_later_rounds_compare_layers_as_the_first_did():
    scores = {"a": torch.tensor([1.0, 2.0, 9.0]), "b": torch.tensor([1.0, 1.0, 1.0])}
    groups = [UnitGroup(name, (name,), (3,), (Tiles(f"{name}.weight"),)) for name in scores]
    first = rank(groups, scores, Global("mean"), Sparsity(0.5))
    assert first.divisors == {"a": 4.0, "b": 1.0}
    # two of b have been pruned and score 0: its own mean would now be 1/3, so that its last would look three times as
    # large
    later = {"a": scores["a"], "b": torch.tensor([0.0, 0.0, 1.0])}
    gone = {"a": torch.zeros(3, dtype=torch.bool), "b": torch.tensor([True, True, False])}
    again = rank(groups, later, Global("mean"), Threshold(1.0), gone, first.divisors)
    assert again.divisors == first.divisors
    assert [share.pruned for share in position(again, Threshold(1.0)).shares] == [2, 2]


def test_a_layer_is_divided_also_where_its_divisor_is_two():
    # of their layers' highest: a 0.95 and 1, b 0.96 and 1
    assert pruned({"a": [1.9, 2.0], "b": [0.96, 1.0]}, Global("max"), Sparsity(0.25)) == {"a": [0], "b": []}


def test_a_best_unit_that_equals_the_threshold_was_not_asked_for():
    found = at({"a": [1.0, 2.0, 3.0]}, WithinLayer(), Threshold(3.0))
    assert (found.asked, found.pruned) == (2, 2)
    found = at({"a": [1.0, 2.0, 3.0]}, WithinLayer(), Threshold(3.5))
    assert (found.asked, found.pruned) == (3, 2)


def test_a_layer_without_units_has_its_line_too():
    found = at({"a": [], "b": [1.0, 2.0]}, WithinRow(), Sparsity(0.5), a=(0, 3), b=(1, 2))
    assert [(share.name, share.units, share.pruned) for share in found.shares] == [("a", 0, 0), ("b", 2, 1)]


def test_where_all_but_the_best_are_pruned_the_cut_is_the_best_units_score():
    found = at({"a": [1.0, 2.0, 3.0]}, WithinLayer(), Sparsity(1.0))
    assert (found.shares[0].pruned, found.shares[0].cut) == (2, 3.0)


def test_what_a_row_lost_before_is_not_taken_from_the_other_row():
    before = {"a": torch.tensor([True, False, False, False])}
    nothing_more = Sparsity(0.0)
    found = ranking({"a": [9.0, 1.0, 2.0, 3.0]}, WithinRow(), nothing_more, before, {"a": (2, 2)})
    assert select(found, nothing_more)["a"].tolist() == [False, True, True, True]
