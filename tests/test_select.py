import pytest
import torch
from torch import Tensor

from pruning.amounts import PerLayer, Sparsity, Threshold
from pruning.schedules import Polynomial
from pruning.scopes import Global, Layer
from pruning.select import Ranking, position, rank, select
from pruning.units import UnitGroup

Scores = dict[str, list[float]]


def single_weights(**sizes: int) -> list[UnitGroup]:
    return [UnitGroup(name, (name,), (f"{name}.weight",), (size,), size) for name, size in sizes.items()]


def ranking(scores: Scores, scope, amount, fallen: dict[str, Tensor] | None = None) -> Ranking:
    tensors = {name: torch.tensor(values) for name, values in scores.items()}
    return rank(single_weights(**{n: len(v) for n, v in scores.items()}), tensors, scope, amount, fallen)


def fallen(scores: Scores, scope, amount, progress: float = 1.0) -> dict[str, list[int]]:
    """Group name -> positions of the units that fall."""
    keep = select(ranking(scores, scope, amount), amount, progress)
    return {name: torch.nonzero(~stays).flatten().tolist() for name, stays in keep.items()}


def test_the_lowest_half_falls():
    assert fallen({"a": [3.0, 1.0, 4.0, 2.0]}, Global(), Sparsity(0.5)) == {"a": [1, 3]}


def test_all_units_compete_in_the_global_scope_and_each_layer_among_itself_in_the_other():
    scores = {"a": [1.0, 2.0, 3.0, 4.0], "b": [10.0, 20.0, 30.0, 40.0]}
    assert fallen(scores, Global(), Sparsity(0.25)) == {"a": [0, 1], "b": []}
    assert fallen(scores, Layer(), Sparsity(0.25)) == {"a": [0], "b": [0]}


def test_ties_fall_by_position():
    assert fallen({"a": [1.0] * 6}, Layer(), Sparsity(0.5)) == {"a": [0, 1, 2]}
    assert fallen({"a": [1.0] * 4, "b": [1.0] * 4}, Global(), Sparsity(0.5)) == {"a": [0, 1, 2], "b": [0]}
    assert fallen({"a": [2.0, 0.0, 2.0, 0.0, 2.0]}, Layer(), Sparsity(0.6)) == {"a": [0, 1, 3]}


def test_a_threshold_keeps_what_is_equal_to_it():
    assert fallen({"a": [1.0, 2.0, 3.0], "b": [2.5, 1.5, 2.0]}, Global(), Threshold(2.0)) == {"a": [0], "b": [1]}
    assert fallen({"a": [0.0, 0.0, 1.0]}, Global(), Threshold(0.0)) == {"a": []}


def test_tiny_layers_lose_what_rounding_gives():
    assert fallen({"a": [1.0, 2.0, 3.0]}, Layer(), Sparsity(0.1)) == {"a": []}
    where = position(ranking({"a": [1.0, 2.0, 3.0]}, Layer(), Sparsity(0.5)), Sparsity(0.5))
    assert (where.asked, where.fallen, where.shares[0].kept) == (2, 2, pytest.approx(1 / 3))


def test_a_layer_with_its_own_share_leaves_the_common_pool():
    scores = {"a": [1.0, 2.0, 3.0, 4.0], "b": [0.1, 0.2, 0.3, 0.4], "c": [5.0, 6.0, 7.0, 8.0]}
    amount = PerLayer({"b": 0.25}, Sparsity(0.5))
    # half of the eight of a and c would be all of a: its best stays, the next of c falls
    assert fallen(scores, Global(), amount) == {"b": [0], "a": [0, 1, 2], "c": [0]}
    assert fallen(scores, Layer(), amount) == {"b": [0], "a": [0, 1], "c": [0, 1]}


def test_layers_that_are_not_named_follow_a_threshold():
    scores = {"a": [1.0, 2.0, 3.0, 4.0], "b": [1.0, 2.0, 3.0, 4.0]}
    assert fallen(scores, Global(), PerLayer({"b": 0.0}, Threshold(2.5))) == {"b": [], "a": [0, 1]}


@pytest.mark.parametrize("scope", [Global(), Layer()])
def test_every_layer_keeps_its_best_unit_and_the_shortfall_is_counted(scope):
    scores = {"a": [1.0, 2.0], "b": [30.0, 10.0, 20.0]}
    assert fallen(scores, scope, Sparsity(1.0)) == {"a": [0], "b": [1, 2]}
    where = position(ranking(scores, scope, Sparsity(1.0)), Sparsity(1.0))
    assert (where.asked, where.fallen, where.units) == (5, 3, 5)
    assert fallen(scores, scope, Threshold(1e9)) == {"a": [0], "b": [1, 2]}
    assert position(ranking(scores, scope, Threshold(1e9)), Threshold(1e9)).asked == 5
    where = position(ranking(scores, scope, Threshold(5.0)), Threshold(5.0))
    assert (where.asked, where.fallen) == (2, 1)


def test_the_floor_takes_from_other_layers_so_that_the_count_is_right():
    scores = {"a": [1.0, 2.0], "b": [30.0, 10.0, 20.0]}
    assert fallen(scores, Global(), Sparsity(0.6)) == {"a": [0], "b": [1, 2]}


def test_of_equal_best_units_the_last_is_the_one_that_stays():
    assert fallen({"a": [5.0, 5.0, 5.0]}, Layer(), Sparsity(1.0)) == {"a": [0, 1]}


@pytest.mark.parametrize("scope", [Global(), Layer()])
def test_a_layer_falls_whole_when_it_is_asked_for_by_name(scope):
    scores = {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    amount = PerLayer({"a": 1.0}, Sparsity(0.0))
    assert fallen(scores, scope, amount) == {"a": [0, 1], "b": []}
    where = position(ranking(scores, scope, amount), amount)
    assert (where.asked, where.fallen) == (2, 2)


def test_units_that_have_fallen_never_come_back():
    scores, gone = {"a": [9.0, 8.0, 1.0, 2.0]}, {"a": torch.tensor([True, True, False, False])}
    amount = Sparsity(0.5)
    assert select(ranking(scores, Layer(), amount, gone), amount)["a"].tolist() == [False, False, True, True]
    # also where less is asked than has fallen already
    assert select(ranking(scores, Layer(), amount, gone), amount, 0.1)["a"].tolist() == [False, False, True, True]
    assert select(ranking(scores, Layer(), Threshold(0.0), gone), Threshold(0.0))["a"].tolist() == [
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
    counts = [position(ranked, amount, share).fallen for share in Polynomial(5, 3).progress()]
    assert counts == [390, 627, 749, 794, 800]


def test_the_cut_is_the_score_of_the_first_unit_that_stays():
    amount = Sparsity(0.5)
    where = position(ranking({"a": [3.0, 1.0, 4.0, 2.0]}, Global(), amount), amount)
    assert (where.shares[0].cut, where.shares[0].kept) == (3.0, 0.5)
    nothing = position(ranking({"a": [3.0, 1.0]}, Global(), Sparsity(0.0)), Sparsity(0.0))
    assert (nothing.shares[0].cut, nothing.fallen, nothing.shares[0].kept) == (None, 0, 1.0)


def test_shares_come_in_the_order_of_the_groups():
    amount = PerLayer({"a": 0.5}, Sparsity(0.5))
    where = position(ranking({"b": [1.0, 2.0], "a": [1.0, 2.0], "c": [1.0, 2.0]}, Layer(), amount), amount)
    assert [share.name for share in where.shares] == ["b", "a", "c"]
