"""Every recipe that the tables allow becomes JSON and back; everything else is refused in a sentence."""

import dataclasses
import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pruning.criteria import CRITERIA
from pruning.errors import RecipeError
from pruning.granularities import GRANULARITIES
from pruning.options.constraints import Between, ranges
from pruning.recipe import catalog
from pruning.recipe.catalog import rest_rows, rows_of
from pruning.recipe.compatibility import incompatibility, no_exchange, untimely_patience
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.selection.amounts import AMOUNTS, Automatic, PerLayer
from pruning.selection.scopes import SCOPES
from pruning.training.schedules import SCHEDULES
from pruning.training.tuning import Tuning

names = st.text(min_size=1, max_size=8).filter(lambda name: not name.startswith("//"))


def values(hint: Any, limits: Between | None = None) -> st.SearchStrategy[Any]:
    """Values of a field by its type, inside its range where it has one."""
    if (rows := rows_of(hint)) is not None:
        return st.one_of([built(made) for made in rows.values()])
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is Mapping or (isinstance(hint, type) and issubclass(hint, Mapping)):
        return st.dictionaries(names, values(float, limits), max_size=4)
    if hint is int:
        assert limits is not None, "say in the annotation what whole numbers the field takes"
        return st.integers(math.ceil(limits.low), min(int(limits.high), 500))
    if hint is float:
        if limits is None:
            return st.floats(-1e3, 1e3)
        return st.floats(limits.low, limits.high, exclude_min=limits.above)
    if hint is bool:
        return st.booleans()
    if hint is str:
        return names
    if type(None) in get_args(hint):
        return st.one_of(
            st.none(), values(next(option for option in get_args(hint) if option is not type(None)), limits)
        )
    raise AssertionError(f"no strategy for {hint}; add one, and a reader in serialization.py")


@cache
def built(made: type[Any]) -> st.SearchStrategy[Any]:
    hints, limits = get_type_hints(made), ranges(made)
    fields = {f.name: values(hints[f.name], limits.get(f.name)) for f in dataclasses.fields(made)}
    return st.builds(made_of(made), st.fixed_dictionaries(fields)).filter(lambda choice: choice is not None)


def made_of(made: type[Any]) -> Any:
    """Makes the choice, or None where its fields are each in range and do not fit one another."""

    def make(fields: dict[str, Any]) -> Any:
        try:
            return made(**fields)
        except RecipeError:
            return None

    return make


@st.composite
def tunings(draw) -> Tuning:
    batch = draw(st.integers(2, 512))
    drawn = draw(built(Tuning).filter(lambda tuning: tuning.images_per_epoch is None))
    images = draw(st.one_of(st.none(), st.integers(batch, 10**6)))
    return dataclasses.replace(drawn, batch_size=batch, images_per_epoch=images)


TABLES = (CRITERIA, GRANULARITIES, SCOPES, AMOUNTS, SCHEDULES)
LATER = ("repair", "distillation")
CHOICES = [st.one_of([built(made) for made in rows.values()]) for rows in TABLES]


@st.composite
def recipes(draw) -> Recipe:
    choices = [draw(choice) for choice in CHOICES]
    assume(not incompatibility(*choices[:4]) and not no_exchange(choices[4], *choices[1:3]))
    whole = draw(st.lists(names, max_size=3, unique=True))
    assume(not set(whole) & set(getattr(choices[3], "shares", ())))
    tuning = draw(tunings())
    assume(not untimely_patience(choices[4], tuning))
    later = {name: draw(st.one_of([built(made) for made in catalog.CHOICES[name].rows.values()])) for name in LATER}
    seed = draw(st.integers(0, 2**31 - 1))
    return Recipe(draw(st.text(max_size=10)), *choices, tuning, frozenset(whole), seed, **later)


def rows_of_places() -> list[tuple[str, Mapping[str, type[Any]]]]:
    """Where a choice can stand in a recipe, and its rows."""
    return [*((field, choice.rows) for field, choice in catalog.CHOICES.items()), ("amount.rest", rest_rows())]


def nested(inner: str, choice: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "per_layer", inner: choice} if inner else choice


@given(recipes())
def test_every_recipe_becomes_json_and_back(recipe):
    text = to_json(recipe)
    assert from_json(text) == recipe
    assert to_json(from_json(text)) == text and from_json(text).name == recipe.name
    assert hash(from_json(text)) == hash(recipe)
    assert "\n" not in text and json.loads(text)["version"] == 1


@given(recipes(), st.randoms())
def test_order_and_repetition_in_keep_whole_change_nothing(recipe, random):
    names = sorted(recipe.keep_whole)
    again = random.sample(names * 2, len(names * 2))
    other = dataclasses.replace(recipe, keep_whole=again)
    assert other == recipe and other.name == recipe.name and hash(other) == hash(recipe)
    written = json.loads(to_json(recipe))
    assert written["keep_whole"] == names
    assert from_json(json.dumps(written | {"keep_whole": again})) == recipe


PLACES = [(place, kind, made) for place, rows in rows_of_places() for kind, made in rows.items() if ranges(made)]


@pytest.mark.parametrize("place, kind, made", PLACES, ids=lambda value: value if isinstance(value, str) else "")
@settings(max_examples=60)  # for each of the forty places
@given(data=st.data())
def test_a_number_out_of_range_is_named_with_its_full_path(place, kind, made, data):
    """Wherever a choice stands in the JSON: `amount.rest.share`, and not the `amount.share` that the class knows."""
    name, limits = data.draw(st.sampled_from(sorted(ranges(made).items())))
    below, above = st.integers(-(10**12), int(limits.low) - 1), st.integers(int(limits.high) + 1, 10**12)
    number = data.draw(below if limits.beyond else st.one_of(above, below))
    in_a_mapping = get_origin(get_type_hints(made)[name]) is Mapping
    choice: Any = {"kind": kind, name: {"a": number} if in_a_mapping else number}
    outer, _, inner = place.partition(".")
    with pytest.raises(RecipeError) as caught:
        from_json(json.dumps({"version": 1, "workload": "m", outer: nested(inner, choice)}))
    assert str(caught.value).startswith(f"{place}.{name}{'.a' if in_a_mapping else ''} is {number}")
    assert ("; it is 0 or more" if limits.beyond else "; it lies ") in str(caught.value)


TUNED = sorted(ranges(Tuning).items())


@pytest.mark.parametrize("name, limits", TUNED, ids=[name for name, _ in TUNED])
@given(data=st.data())
def test_a_number_of_tuning_out_of_range_is_named_with_its_full_path(name, limits, data):
    number = data.draw(
        st.one_of(st.integers(-(10**12), int(limits.low) - 1), st.integers(int(limits.high) + 1, 10**12))
    )
    with pytest.raises(RecipeError) as caught:
        from_json(json.dumps({"version": 1, "workload": "m", "tuning": {name: number}}))
    assert str(caught.value).startswith(f"tuning.{name} is {number}") and "; it lies " in str(caught.value)


def test_every_row_of_every_table_can_be_drawn():
    for rows in TABLES:
        for made in rows.values():
            built(made)
    assert set(rest_rows().values()) == set(AMOUNTS.values()) - {PerLayer, Automatic}


def test_kinds_are_said_apart():
    made = [row for rows in TABLES for row in rows.values()]
    assert len(set(made)) == len(made)


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
fields = st.sampled_from([field.name for field in dataclasses.fields(Recipe)])
kinds = st.sampled_from([kind for rows in TABLES for kind in rows] + ["", "kind"])
inner_fields = st.sampled_from(
    ["kind", "p", "order", "steps", "samples", "share", "shares", "rest", "value", "rounds", "power", "epochs", "of"]
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
