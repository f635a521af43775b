"""From a grid to recipes: counted by hand, and properties of every grid."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pruning.criteria import Magnitude, Taylor
from pruning.errors import RecipeError
from pruning.recipe.recipe import Recipe
from pruning.repair import LeastSquares
from pruning.selection.amounts import PerLayer, Sparsity, Threshold
from pruning.sweeps.expansion import expand
from pruning.sweeps.grid import Grid

BASE = Recipe("mlp", amount=Sparsity(0.5))


def runs(vary: dict[str, Any], base: Recipe = BASE, controls: tuple[Any, ...] = ()) -> list[Recipe]:
    return [planned.recipe for planned in expand(Grid(base, vary, controls)).runs]


def test_the_first_seed_of_every_setting_comes_before_any_second() -> None:
    found = runs({"criterion": ["magnitude", "taylor"], "seed": [1, 0]})
    assert [(type(r.criterion), r.seed) for r in found] == [
        (Magnitude, 0), (Taylor, 0), (Magnitude, 1), (Taylor, 1),
    ]  # fmt: skip


def test_a_field_within_a_choice_that_is_varied_too() -> None:
    found = runs({"amount.share": [0.2, 0.9], "amount": ["sparsity", {"kind": "budget", "of": "macs"}]})
    # a budget of MACs needs granularity channels: it is refused with both shares
    assert [recipe.amount for recipe in found] == [Sparsity(0.2), Sparsity(0.9)]


def test_a_field_that_the_recipes_own_json_leaves_out() -> None:
    assert [recipe.repair for recipe in runs({"repair": ["none", "least_squares"]})][1] == LeastSquares()
    with pytest.raises(RecipeError, match=r"repair\.samples is not a field"):
        runs({"repair.samples": [100]})


def test_the_name_of_a_layer_may_have_dots() -> None:
    base = Recipe("mlp", amount=PerLayer({"a.0.conv": 0.5}))
    found = runs({"amount.shares.a.0.conv": [0.1], "amount.shares.b.1": [0.2]}, base)
    assert [dict(recipe.amount.shares) for recipe in found if isinstance(recipe.amount, PerLayer)] == [
        {"a.0.conv": 0.1, "b.1": 0.2}
    ]


def test_what_does_not_go_together_is_kept_with_its_sentence_once_for_all_seeds() -> None:
    found = expand(Grid(BASE, {"criterion": ["magnitude", "geometric_median"], "seed": [0, 1, 2]}, ()))
    (refused,) = found.refused
    assert len(found.runs) == 3 and refused.count == 3
    assert str(refused) == (
        "criterion geometric_median: geometric_median scores channels, not single weights: choose granularity channels"
    )
    with pytest.raises(RecipeError, match=r"no combination of the grid can be run: amount.shrae 0.5: amount.shrae is"):
        runs({"amount.shrae": [0.5]})


def test_a_combination_that_comes_twice_is_run_once() -> None:
    found = expand(Grid(BASE, {"amount": ["sparsity", {"kind": "sparsity", "share": 0.5}], "seed": [0]}, ()))
    assert len(found.runs) == 1 and found.repeated == 1


def test_recipes_that_differ_in_what_they_cut_share_the_dense_control() -> None:
    found = expand(Grid(BASE, {"criterion": ["magnitude", "taylor"], "amount.share": [0.5, 0.9], "seed": [0, 1]}))
    roles = [planned.role for planned in found.runs]
    assert (roles.count("grid"), roles.count("dense"), roles.count("random")) == (8, 2, 4)
    assert len({planned.recipe.name for planned in found.runs}) == 14


def test_a_control_that_is_of_the_grid_anyway_is_run_once_and_one_that_there_is_not_is_said() -> None:
    found = expand(Grid(BASE, {"criterion": ["random"]}, ("random",)))
    assert [planned.role for planned in found.runs] == ["grid"]
    found = expand(Grid(Recipe("mlp", amount=Threshold(0.1)), {}, ("random",)))
    assert len(found.runs) == 1 and "control random: amount threshold counts" in str(found.refused[0]).replace('"', "")


VARY = st.dictionaries(
    st.sampled_from(["criterion", "granularity", "scope", "repair", "schedule"]),
    st.lists(
        st.sampled_from(
            ["magnitude", "taylor", "weights", "channels", "global", "row", "none", "least_squares", "linear", "until"]
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    max_size=3,
)


@settings(max_examples=40, deadline=None)
@given(VARY, st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple))
def test_every_combination_is_run_refused_or_repeated(vary: dict[str, Any], seeds: tuple[int, ...]) -> None:
    grid = Grid(BASE, {**vary, "seed": seeds}, ())
    try:
        found = expand(grid)
    except RecipeError as error:
        assert "no combination of the grid can be run" in str(error)
        return
    counted = len(found.runs) + found.repeated + sum(refused.count for refused in found.refused)
    assert counted == grid.combinations
    assert len({planned.recipe.name for planned in found.runs}) == len(found.runs)
