import math

import pytest
import torch

from pruning.errors import RecipeError
from pruning.model.units import Tiles, UnitGroup
from pruning.selection.scopes import SCOPES, Global, Scope, WithinBlocks, WithinLayer, WithinRow


def weights(name: str, *layout: int) -> UnitGroup:
    return UnitGroup(name, (name,), layout, (Tiles(f"{name}.weight"),))


def pools(scope: Scope, *groups: UnitGroup) -> list[tuple[tuple[str, ...], list[list[int]]]]:
    return [(competition.names, competition.members.tolist()) for competition in scope.competitions(groups)]


def test_global_is_one_pool_of_all():
    assert pools(Global(), weights("a", 2, 2), weights("b", 3)) == [(("a", "b"), [[0, 1, 2, 3, 4, 5, 6]])]


def test_layer_is_one_pool_each():
    assert pools(WithinLayer(), weights("a", 2, 2), weights("b", 3)) == [
        (("a",), [[0, 1, 2, 3]]),
        (("b",), [[0, 1, 2]]),
    ]


def test_row_is_a_pool_for_each_output():
    found = pools(WithinRow(), weights("a", 2, 3), weights("conv", 2, 1, 2, 1))
    assert found == [(("a",), [[0, 1, 2], [3, 4, 5]]), (("conv",), [[0, 1], [2, 3]])]


def test_blocks_of_a_linear_layer_are_neighbours_along_the_inputs():
    assert pools(WithinBlocks(2), weights("a", 2, 4)) == [(("a",), [[0, 1], [2, 3], [4, 5], [6, 7]])]


def test_the_rest_of_each_row_competes_among_itself():
    # rows 0..4 and 5..9: a block of four and a rest of one in each
    assert pools(WithinBlocks(4), weights("a", 2, 5)) == [(("a",), [[0, 1, 2, 3], [5, 6, 7, 8]]), (("a",), [[4], [9]])]


def test_fewer_inputs_than_a_block_are_a_rest():
    assert pools(WithinBlocks(4), weights("a", 2, 3)) == [(("a",), [[0, 1, 2], [3, 4, 5]])]


def test_blocks_of_a_convolution_are_input_channels_at_one_place_of_the_kernel():
    # [1 out, 4 in, 1, 2]: unit = 2 · channel + place; channels 0..3 at place 0, then at place 1
    assert pools(WithinBlocks(4), weights("conv", 1, 4, 1, 2)) == [(("conv",), [[0, 2, 4, 6], [1, 3, 5, 7]])]
    # [2, 3, 2, 2] in blocks of 2: unit = 12 · out + 4 · channel + place, channels 0 and 1 are a block and 2 is a rest
    whole, rest = pools(WithinBlocks(2), weights("conv", 2, 3, 2, 2))
    assert whole == (("conv",), [[12 * o + p, 12 * o + 4 + p] for o in range(2) for p in range(4)])
    assert rest == (("conv",), [[12 * o + 8 + p] for o in range(2) for p in range(4)])


@pytest.mark.parametrize("layout", [(6, 5), (4, 3, 2), (2, 7, 3, 3), (2, 3, 2, 2, 2), (1, 1)])
@pytest.mark.parametrize("scope", SCOPES)
def test_every_unit_is_in_exactly_one_pool(scope, layout):
    groups = [weights("a", *layout), weights("b", 3, 9)]
    start = {"a": 0, "b": math.prod(layout)}
    seen = []
    for names, members in pools(SCOPES[scope](), *groups):
        offset = 0 if len(names) > 1 else start[names[0]]
        seen += [offset + unit for pool in members for unit in pool]
    assert sorted(seen) == list(range(math.prod(layout) + 27))


@pytest.mark.parametrize("scope", SCOPES)
def test_nothing_competes_where_there_is_nothing(scope):
    assert SCOPES[scope]().competitions([]) == []


@pytest.mark.parametrize(
    "normalise, divisor",
    [("none", 1.0), ("mean", (3 + 0 + 4 + 5) / 4), ("l2", math.sqrt(9 + 16 + 25)), ("max", 5.0)],
)
def test_scores_are_divided_by_their_size_whatever_their_sign(normalise, divisor):
    for scores in ([3.0, 0.0, 4.0, 5.0], [-3.0, 0.0, 4.0, -5.0]):
        assert Global(normalise).divisor(torch.tensor(scores)) == pytest.approx(divisor, rel=1e-12)


@pytest.mark.parametrize("normalise", ["none", "mean", "l2", "max"])
def test_scores_that_are_all_zero_stay_so(normalise):
    assert Global(normalise).divisor(torch.zeros(3)) == 1.0
    assert Global(normalise).divisor(torch.zeros(0)) == 1.0


def test_a_norm_beyond_float32_is_still_a_number():
    assert Global("l2").divisor(torch.tensor([3e30, 4e30])) == pytest.approx(5e30)
    assert Global("l2").divisor(torch.tensor([3e-30, 4e-30])) == pytest.approx(5e-30)


@pytest.mark.parametrize("scope", [WithinLayer(), WithinRow(), WithinBlocks()])
def test_within_a_layer_nothing_is_divided(scope):
    assert scope.divisor(torch.tensor([3.0, 4.0])) == 1.0


def test_rows_and_blocks_need_units_that_lie_in_rows():
    assert {name for name, scope in SCOPES.items() if scope.within_rows} == {"row", "blocks"}


@pytest.mark.parametrize("of", [1, 0, 65])
def test_a_block_of_no_use_is_refused_by_name(of):
    with pytest.raises(RecipeError, match=rf"scope\.of is {of}; it lies between 2 and 64"):
        WithinBlocks(of)
