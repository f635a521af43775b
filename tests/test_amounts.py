import pytest
import torch

from pruning.amounts import PerLayer, Sparsity, Threshold
from pruning.errors import RecipeError

SCORES = torch.tensor([0.0, 1.0, 2.0, 2.0, 3.0])


def falls(amount, pool=("a",), scores=SCORES) -> int:
    return amount.falls(pool, scores, len(scores))


@pytest.mark.parametrize(
    "share, fallen", [(0.0, 0), (0.09, 0), (0.11, 1), (0.4, 2), (0.5, 2), (0.7, 4), (0.69, 3), (1.0, 5)]
)
def test_a_sparsity_drops_the_rounded_share(share, fallen):
    assert falls(Sparsity(share)) == fallen == round(share * 5)


@pytest.mark.parametrize(
    "value, fallen", [(0.0, 0), (1e-9, 1), (1.0, 1), (1.5, 2), (2.0, 2), (2.1, 4), (3.0, 4), (3.1, 5)]
)
def test_a_threshold_drops_what_is_smaller_and_keeps_what_is_equal(value, fallen):
    assert falls(Threshold(value)) == fallen == int((value > SCORES).sum())


def test_a_threshold_is_compared_without_rounding_it_to_float32():
    tenth = torch.tensor([0.1])  # in float32 a little more than 0.1
    assert falls(Threshold(0.1), scores=tenth) == 0
    assert falls(Threshold(0.1000000016), scores=tenth) == 1


def test_a_share_by_hand_goes_before_the_rest():
    amount = PerLayer({"a": 0.8}, Threshold(1.5))
    assert falls(amount, ("a",)) == 4
    assert falls(amount, ("b",)) == 2
    assert falls(amount, ("b", "c")) == 2
    assert amount.own_pools() == {"a"}


def test_only_a_layer_named_with_a_share_of_one_may_be_emptied():
    assert PerLayer({"a": 1.0, "b": 0.999}).empties() == {"a"}
    assert Sparsity(1.0).empties() == Threshold(1e9).empties() == frozenset()
    assert Sparsity(1.0).own_pools() == Threshold(1e9).own_pools() == frozenset()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_share_outside_0_to_1_is_refused_by_name(share):
    with pytest.raises(RecipeError, match=r"amount\.share is .*; a share lies between 0 and 1"):
        Sparsity(share)
    with pytest.raises(RecipeError, match=r"amount\.shares\.conv1 is"):
        PerLayer({"conv1": share})


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf")])
def test_a_threshold_below_zero_is_refused(value):
    with pytest.raises(RecipeError, match=r"amount\.value is .*; a threshold is a number of at least 0"):
        Threshold(value)


def test_equal_amounts_have_equal_hashes():
    one, two = PerLayer({"a": 0.1, "b": 0.2}, Sparsity(0.3)), PerLayer({"b": 0.2, "a": 0.1}, Sparsity(0.3))
    assert one == two and hash(one) == hash(two) and one != PerLayer({"a": 0.1})
