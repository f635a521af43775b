import pytest
import torch
from torch import Tensor

from pruning.errors import RecipeError
from pruning.selection.amounts import (
    STEPS,
    Amount,
    Automatic,
    Budget,
    PerLayer,
    RelativeThreshold,
    SortedPools,
    Sparsity,
    Threshold,
    Zeros,
    n_of_m,
)
from pruning.selection.goal import Goal


def competing(names: tuple[str, ...], scores: Tensor, highest: float) -> SortedPools:
    return SortedPools(names, *scores.shape, highest, lambda value: (scores < value).sum(dim=1))


SCORES = torch.tensor([0.0, 1.0, 2.0, 2.0, 3.0])


def pruned_in_one_pool(amount: Amount, names: tuple[str, ...] = ("a",), scores: Tensor = SCORES) -> int:
    """Units that are pruned in one pool."""
    (count,) = amount.counts_to_prune(competing(names, scores[None], float(scores.max()))).tolist()
    return count


def in_each(amount: Amount, *pools: list[float], highest: float | None = None) -> list[int]:
    """Units that are pruned in each of several pools of one layer."""
    scores = torch.tensor(pools)
    found = amount.counts_to_prune(competing(("a",), scores, float(scores.max()) if highest is None else highest))
    assert found.dtype == torch.int64
    return found.tolist()


@pytest.mark.parametrize(
    "share, pruned", [(0.0, 0), (0.09, 0), (0.11, 1), (0.4, 2), (0.5, 2), (0.7, 4), (0.69, 3), (1.0, 5)]
)
def test_a_sparsity_drops_the_rounded_share(share, pruned):
    assert pruned_in_one_pool(Sparsity(share)) == pruned == round(share * 5)


def test_a_sparsity_drops_the_same_number_in_every_pool():
    assert in_each(Sparsity(0.5), [0.0, 1.0, 2.0, 3.0], [5.0, 5.0, 5.0, 5.0]) == [2, 2]


@pytest.mark.parametrize(
    "value, pruned",
    [(0.0, 0), (1e-9, 1), (1.0, 1), (1.5, 2), (2.0, 2), (2.1, 4), (3.0, 4), (3.1, 5), (-1e-9, 0), (-1e30, 0)],
)
def test_a_threshold_drops_what_is_smaller_and_keeps_what_is_equal(value, pruned):
    assert pruned_in_one_pool(Threshold(value)) == pruned == int((value > SCORES).sum())


def test_a_threshold_may_lie_below_zero_where_scores_do():
    scores = torch.tensor([-3.0, -2.0, -2.0, 0.0, 1.0])
    assert [pruned_in_one_pool(Threshold(value), scores=scores) for value in (-3.5, -3.0, -2.0, -1.0, 0.0)] == [
        0,
        0,
        1,
        3,
        3,
    ]


def test_a_threshold_cuts_each_pool_where_its_own_scores_are():
    assert in_each(Threshold(2.0), [0.0, 1.0, 2.0], [2.0, 3.0, 4.0], [0.0, 0.5, 1.9]) == [2, 0, 3]


def test_a_threshold_is_compared_without_rounding_it_to_float32():
    tenth = torch.tensor([0.1])  # in float32 a little more than 0.1
    assert pruned_in_one_pool(Threshold(0.1), scores=tenth) == 0
    assert pruned_in_one_pool(Threshold(0.1000000016), scores=tenth) == 1


@pytest.mark.parametrize("scores, pruned", [([0.0, 1e-30, 1.0], 1), ([2.0, 1.0, 3.0], 0), ([-1.0, -0.0, 0.0], 3)])
def test_zeros_are_scores_that_are_not_above_zero(scores, pruned):
    assert pruned_in_one_pool(Zeros(), scores=torch.tensor(scores)) == pruned


@pytest.mark.parametrize(
    "share, pruned",
    [(0.0, 0), (0.3, 1), (0.34, 2), (2 / 3 - 0.01, 2), (0.7, 4), (1.0, 4)],  # of 3: 0, 0.9, 1.02, 1.97, 2.1, 3
)
def test_a_relative_threshold_is_a_share_of_the_highest_and_keeps_what_is_equal(share, pruned):
    assert pruned_in_one_pool(RelativeThreshold(share)) == pruned


def test_a_relative_threshold_looks_at_the_layer_and_not_at_the_pool():
    pools = [0.1, 0.2, 0.3], [0.4, 0.6, 1.0]  # half of the layer's highest is 0.5
    assert in_each(RelativeThreshold(0.5), *pools) == [3, 1]
    assert in_each(RelativeThreshold(0.5), *pools, highest=0.5) == [2, 0]  # below 0.25


@pytest.mark.parametrize("scores", [[0.0, 0.0, 0.0], [-3.0, -2.0, -1.0], [-1.0, 0.0, 0.0]])
def test_a_relative_threshold_drops_nothing_where_no_score_is_above_zero(scores):
    # half of −1 would be −0.5, above all of them: the whole layer would be pruned
    assert pruned_in_one_pool(RelativeThreshold(0.5), scores=torch.tensor(scores)) == 0


def test_a_share_by_hand_goes_before_the_rest():
    amount = PerLayer({"a": 0.8}, Threshold(1.5))
    assert pruned_in_one_pool(amount, ("a",)) == 4
    assert pruned_in_one_pool(amount, ("b",)) == 2
    assert pruned_in_one_pool(amount, ("b", "c")) == 2
    assert amount.own_pools(["a", "b", "c"]) == {"a"}


def test_the_rest_may_be_a_share_of_each_layers_own_highest():
    amount = PerLayer({"a": 0.8}, RelativeThreshold(0.34))
    assert (pruned_in_one_pool(amount, ("a",)), pruned_in_one_pool(amount, ("b",))) == (4, 2)
    assert amount.own_pools(["a", "b", "c"]) == RelativeThreshold(0.34).own_pools(["a", "b", "c"]) == {"a", "b", "c"}


def test_only_a_layer_named_with_a_share_of_one_may_be_emptied():
    assert PerLayer({"a": 1.0, "b": 0.999}).empties() == {"a"}
    others = [Sparsity(1.0), Threshold(1e9), RelativeThreshold(1.0), Budget(share=0.0)]
    assert {amount.empties() for amount in others} == {frozenset()}
    assert {amount.own_pools(["a"]) for amount in others if not isinstance(amount, RelativeThreshold)} == {frozenset()}


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), float("inf")])
@pytest.mark.parametrize("made", [Sparsity, RelativeThreshold, lambda share: Budget("macs", share)])
def test_a_share_outside_0_to_1_is_refused_by_name(made, share):
    with pytest.raises(RecipeError, match=r"amount\.share is .*; it lies between 0 and 1"):
        made(share)
    with pytest.raises(RecipeError, match=r"amount\.shares\.conv1 is .*; it lies between 0 and 1"):
        PerLayer({"a": 0.5, "conv1": share})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_threshold_that_is_no_finite_number_is_refused(value):
    with pytest.raises(RecipeError, match=r"amount\.value is .*; a threshold is a finite number"):
        Threshold(value)


def test_equal_amounts_have_equal_hashes():
    one, two = PerLayer({"a": 0.1, "b": 0.2}, Sparsity(0.3)), PerLayer({"b": 0.2, "a": 0.1}, Sparsity(0.3))
    assert one == two and hash(one) == hash(two) and one != PerLayer({"a": 0.1})


@pytest.mark.parametrize("of", range(2, 65))
def test_n_of_m_leaves_as_many_as_it_says_in_blocks_of_any_size(of):
    for keep in range(of + 1):
        scores = torch.arange(float(of))
        assert of - pruned_in_one_pool(Sparsity(n_of_m(keep, of)), scores=scores) == keep


def test_two_of_four_is_a_sparsity_of_a_half():
    assert (n_of_m(2, of=4), n_of_m(1, of=4), n_of_m(3, of=4)) == (0.5, 0.75, 0.25)


def linear(of: str, amount: Amount) -> float:
    """As if what is left were 1 − sparsity, but for a fifth that never goes."""
    assert of == "macs" and isinstance(amount, Sparsity)
    return max(1.0 - amount.share, 0.2)


@pytest.mark.parametrize("share", [0.2, 0.3, 0.5, 1 / 3, 0.999])
def test_a_budget_becomes_the_smallest_sparsity_that_meets_it_to_a_millionth(share):
    settled = Budget("macs", share).settled(linear)
    assert linear("macs", settled) <= share < linear("macs", Sparsity(settled.share - 1 / STEPS))
    assert settled.share == pytest.approx(1.0 - share, abs=1e-6)


def test_a_budget_of_everything_takes_nothing():
    assert Budget("macs", 1.0).settled(linear) == Sparsity(0.0)


def test_a_budget_that_cannot_be_met_says_what_is_left_and_what_to_do():
    with pytest.raises(RecipeError) as caught:
        Budget("macs", 0.15).settled(linear)
    assert str(caught.value) == (
        "amount.share is 0.15 of the macs, and with one unit in each layer 0.2 of them are left: ask for more, keep "
        "fewer layers whole, or choose another granularity"
    )


def test_a_budget_for_the_rest_leaves_the_shares_by_hand():
    def cost(of: str, amount: Amount) -> float:
        assert of == "bytes" and isinstance(amount, PerLayer) and amount.shares == {"a": 0.25}
        assert isinstance(amount.rest, Sparsity)
        return 0.5 * 0.75 + 0.5 * (1.0 - amount.rest.share)

    settled = PerLayer({"a": 0.25}, Budget("bytes", 0.5)).settled(cost)
    # 0.375 + (1 − s) / 2 = 0.5 where s = 0.75
    assert settled == PerLayer({"a": 0.25}, Sparsity(0.75))


def test_amounts_that_know_nothing_of_costs_are_settled_as_they_are():
    def never(of: str, amount: Amount) -> float:
        raise AssertionError("asked for a cost")

    for amount in (Sparsity(0.3), Threshold(0.1), RelativeThreshold(0.2), PerLayer({"a": 0.1}, Threshold(1.0))):
        assert amount.settled(never) == amount


def test_a_budget_says_what_only_removal_makes_smaller():
    reported = {of: Budget(of).removes for of in ("parameters", "bytes", "macs")}
    assert reported == {"parameters": "", "bytes": "bytes", "macs": "MACs"}
    assert PerLayer({}, Budget("macs")).removes == "MACs" and PerLayer({}).removes == Threshold(0.1).removes == ""


def test_a_budget_must_be_settled_before_it_is_asked():
    with pytest.raises(TypeError, match="once it is settled"):
        pruned_in_one_pool(Budget())


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"budget": 0.0}, r"amount\.budget is 0\.0; it lies above 0 and at most 1"),
        ({"budget": 1.5}, r"amount\.budget is 1\.5; it lies above 0 and at most 1"),
        ({"max_drop": -0.1}, r"amount\.max_drop is -0\.1; it is 0 or more"),
        ({"seconds": 0}, r"amount\.seconds is 0; it lies between 1 and 86400"),
        ({"batch": 0}, r"amount\.batch is 0; it lies between 1 and 65536"),
        ({"cost": "speed"}, "cost is 'speed'; use one of parameters, bytes, macs, latency"),
        ({"max_drop": None}, "a search needs a limit: say how much may be left"),
    ],
)
def test_what_a_search_cannot_look_for_no_recipe_asks_for(fields, sentence):
    with pytest.raises(RecipeError, match=sentence):
        Automatic(**fields)


def test_an_automatic_amount_says_what_the_search_is_for():
    assert Automatic("macs", 0.5, 0.02).goal == Goal("macs", 0.5, 0.02)
    assert Automatic(max_drop=3.0).goal == Goal("parameters", None, 3.0)


def test_an_automatic_amount_is_not_known_before_it_is_found():
    with pytest.raises(RecipeError, match="amount automatic is not known before a run has searched for it"):
        Automatic().settled(linear)
    with pytest.raises(TypeError, match="once a run has found it"):
        in_each(Automatic(), [0.0, 1.0])


def test_a_search_chooses_for_all_layers_and_not_for_the_rest():
    with pytest.raises(RecipeError, match=r"amount\.rest is automatic, and a search chooses for all layers"):
        PerLayer({"a": 0.5}, Automatic())  # type: ignore[arg-type]
