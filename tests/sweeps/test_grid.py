"""A grid as JSON and back, and what is wrong with one in a sentence."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.errors import RecipeError
from pruning.recipe.recipe import Recipe
from pruning.sweeps.grid import Grid, grid_from_dict, grid_from_json, grid_to_json

BASE = Recipe("mlp")


def plain(**changes: Any) -> dict[str, Any]:
    return {"version": 1, "base": {"version": 1, "workload": "mlp"}, **changes}


@given(
    st.dictionaries(
        st.sampled_from(["seed", "amount.share", "tuning.epochs", "criterion", "keep_whole"]),
        st.lists(st.one_of(st.integers(0, 9), st.sampled_from(["taylor", "magnitude"])), min_size=1, max_size=3),
    ),
    st.sets(st.sampled_from(["dense", "random"])),
)
def test_a_grid_comes_back_from_its_json(vary: dict[str, list[Any]], controls: set[Any]) -> None:
    grid = Grid(BASE, {path: tuple(values) for path, values in vary.items()}, tuple(controls))
    again = grid_from_json(grid_to_json(grid))
    assert again == grid and again.name == grid.name and hash(again) == hash(grid)


def test_controls_are_there_unless_they_are_left_out() -> None:
    assert grid_from_dict(plain()).controls == ("dense", "random")
    assert grid_from_dict(plain(controls=[])).controls == ()
    assert grid_from_dict(plain(controls=["random", "dense"])) == grid_from_dict(plain())


def test_a_kind_stands_for_the_choice_with_its_defaults_and_comments_are_skipped() -> None:
    grid = grid_from_dict(plain(vary={"criterion": ["taylor", {"kind": "taylor", "order": 2}]}, **{"// why": "x"}))
    assert grid.vary["criterion"] == ({"kind": "taylor"}, {"kind": "taylor", "order": 2})


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"version": 2}, "version is 2; this program reads grids of version 1"),
        ({"version": True}, "version is true"),
        ({"varied": {}}, "varied is not a field of a grid; use base, controls, vary"),
        ({"vary": []}, r"vary is \[\]; it is an object such as"),
        ({"vary": {"seed": 3}}, "vary.seed is 3; it is a list of values"),
        ({"vary": {"seed": []}}, "vary.seed is empty; give at least one value"),
        ({"vary": {"criteria": ["taylor"]}}, "vary.criteria is not a field of a recipe; a path begins with one of"),
        ({"controls": "dense"}, 'controls is "dense"; it is a list of dense, random'),
        ({"controls": ["fast"]}, 'controls names "fast"; use dense, random'),
        ({"base": {"version": 1}}, "base: workload is missing"),
        ({"vary": {"seed": list(range(101)), "tuning.epochs": list(range(100))}}, "has 10100 combinations and 10000"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        grid_from_dict(plain(**changes))


def test_without_a_base_and_without_json() -> None:
    with pytest.raises(RecipeError, match="base is missing"):
        grid_from_dict({"version": 1})
    with pytest.raises(RecipeError, match="not JSON: line 1, column 2"):
        grid_from_json("{")
    with pytest.raises(RecipeError, match="a grid is a JSON object, not"):
        grid_from_json(json.dumps([1]))
    with pytest.raises(RecipeError, match="the grid holds half of a character"):
        grid_from_json(r'{"recipe": "\ud800"}')
