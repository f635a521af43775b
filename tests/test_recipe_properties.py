"""Every recipe that the tables allow becomes JSON and back; everything else is refused in a sentence."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pruning.amounts import AMOUNTS, Sparsity, Threshold
from pruning.criteria import CRITERIA
from pruning.errors import RecipeError
from pruning.granularities import GRANULARITIES
from pruning.recipe import TABLES, Recipe, from_json, kind_of, to_json
from pruning.schedules import SCHEDULES
from pruning.scopes import SCOPES
from pruning.tuning import Tuning

names = st.text(min_size=1, max_size=8).filter(lambda name: not name.startswith("//"))


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field by its type, as a new row of a table would have them: inside 0 to 1, above 0, at least 2."""
    if hint in TABLES:
        return st.one_of([built(made) for made in TABLES[hint].values()])
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is Mapping or (isinstance(hint, type) and issubclass(hint, Mapping)):
        return st.dictionaries(names, st.floats(0, 1), max_size=4)
    if hint is int:
        return st.integers(2, 500)
    if hint is float:
        return st.floats(0, 1, exclude_min=True)
    if type(None) in get_args(hint):
        return st.one_of(st.none(), values(next(option for option in get_args(hint) if option is not type(None))))
    raise AssertionError(f"no strategy for {hint}; add one, and a reader in recipe.py")


def built(made: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(made)
    return st.builds(made, **{f.name: values(hints[f.name]) for f in dataclasses.fields(made)})


@st.composite
def tunings(draw) -> Tuning:
    batch = draw(st.integers(2, 512))
    images = draw(st.one_of(st.none(), st.integers(batch, 10**6)))
    rate = draw(st.floats(0, 10, exclude_min=True, exclude_max=True))
    return Tuning(draw(st.integers(0, 50)), draw(st.sampled_from(["adamw", "sgd"])), rate, batch, images)


@st.composite
def recipes(draw) -> Recipe:
    choices = [
        draw(st.one_of([built(made) for made in table.values()]))
        for table in (CRITERIA, GRANULARITIES, SCOPES, AMOUNTS, SCHEDULES)
    ]
    assume(kind_of(choices[1]) in choices[0].fits)
    whole = draw(st.lists(names, max_size=3, unique=True))
    assume(not set(whole) & set(getattr(choices[3], "shares", ())))
    return Recipe(draw(st.text(max_size=10)), *choices, draw(tunings()), tuple(whole), draw(st.integers(0, 2**31 - 1)))


@given(recipes())
def test_every_recipe_becomes_json_and_back(recipe):
    text = to_json(recipe)
    assert from_json(text) == recipe
    assert to_json(from_json(text)) == text and from_json(text).name == recipe.name
    assert hash(from_json(text)) == hash(recipe)
    assert "\n" not in text and json.loads(text)["version"] == 1


def test_every_row_of_every_table_can_be_drawn():
    for table in TABLES.values():
        for made in table.values():
            built(made)
    assert {Sparsity, Threshold} <= set(TABLES[Sparsity | Threshold].values())


def test_kinds_are_told_apart():
    made = [row for table in (CRITERIA, GRANULARITIES, SCOPES, AMOUNTS, SCHEDULES) for row in table.values()]
    assert len(set(made)) == len(made)


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
fields = st.sampled_from([field.name for field in dataclasses.fields(Recipe)])
kinds = st.sampled_from([kind for table in TABLES.values() for kind in table] + ["", "kind"])
inner_fields = st.sampled_from(
    ["kind", "p", "order", "steps", "samples", "share", "shares", "rest", "value", "rounds", "power", "epochs"]
)


@given(st.dictionaries(fields, st.one_of(plain, st.dictionaries(inner_fields, st.one_of(kinds, plain))), max_size=4))
def test_anything_else_is_refused_in_one_short_line(changes):
    try:
        assert isinstance(from_json(json.dumps({"version": 1, "workload": "m"} | changes)), Recipe)
    except RecipeError as error:
        assert "\n" not in str(error) and len(str(error)) < 400


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    with pytest.raises(RecipeError):
        from_json(text)
