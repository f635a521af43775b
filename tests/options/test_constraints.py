from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import pytest

from pruning.errors import RecipeError
from pruning.options.constraints import Between, Later, Share, check, later, ranges
from pruning.recipe.catalog import CHOICES, takes
from pruning.recipe.serialization import to_plain


@dataclass(frozen=True)
class Sample:
    """Fields of every kind that a recipe has."""

    whole: Annotated[int, Between(1, 8)] = 4
    positive: Annotated[float, Between(0.0, 10.0, above=True)] = 1.0
    maybe: Annotated[int, Between(2, 100)] | None = None
    shares: Mapping[str, Share] = field(default_factory=dict)
    free: float = -1e9
    text: str = ""

    def __post_init__(self) -> None:
        check(self, "sample")


def test_a_range_is_read_off_the_annotation_wherever_it_stands():
    assert ranges(Sample) == {
        "whole": Between(1, 8),
        "positive": Between(0.0, 10.0, above=True),
        "maybe": Between(2, 100),
        "shares": Between(0.0, 1.0, step=0.005),
    }


@pytest.mark.parametrize("value, inside", [(1, True), (8, True), (4.5, True), (0.999, False), (8.001, False)])
def test_both_ends_belong_to_a_range(value, inside):
    assert Between(1, 8).holds(value) == inside


@pytest.mark.parametrize("value, inside", [(0.0, False), (1e-300, True), (10.0, True), (10.1, False)])
def test_a_range_above_a_number_leaves_it_out(value, inside):
    assert Between(0.0, 10.0, above=True).holds(value) == inside


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("above", [False, True])
def test_what_is_no_finite_number_is_in_no_range(value, above):
    assert not Between(0.0, 1e9, above=above).holds(value)


def test_a_range_is_said_in_words():
    assert (str(Between(1, 8)), str(Between(0.0, 0.5))) == ("from 1 to 8", "from 0 to 0.5")
    assert str(Between(0.0, 10.0, above=True)) == "above 0 and at most 10"
    assert str(Between(0.0, 1.0, beyond=True)) == "from 0 on"


@pytest.mark.parametrize("value, inside", [(-0.1, False), (0.0, True), (7.5, True), (float("inf"), False)])
def test_a_range_that_goes_on_takes_every_finite_number_from_its_low_end_on(value, inside):
    assert Between(0.0, 1.0, beyond=True).holds(value) == inside


@pytest.mark.parametrize(
    "how, sentence",
    [
        ({"whole": 0}, "sample.whole is 0; it lies between 1 and 8"),
        ({"positive": 0.0}, "sample.positive is 0.0; it lies above 0 and at most 10"),
        ({"positive": float("nan")}, "sample.positive is nan; it lies above 0 and at most 10"),
        ({"maybe": 1}, "sample.maybe is 1; it lies between 2 and 100"),
        ({"shares": {"a": 0.5, "conv": 1.5}}, "sample.shares.conv is 1.5; it lies between 0 and 1"),
        ({"whole": 9, "positive": -1.0}, "sample.whole is 9; it lies between 1 and 8"),
    ],
)
def test_the_first_field_out_of_its_range_is_named(how, sentence):
    with pytest.raises(RecipeError) as caught:
        Sample(**how)
    assert str(caught.value) == sentence


def test_what_lies_in_its_range_or_has_none_is_let_pass():
    assert Sample(8, 10.0, None, {"a": 0.0, "b": 1.0}, float("inf"), "x").whole == 8


FIELDS = [(made, name) for choice in CHOICES.values() for made in choice.rows.values() for name in ranges(made)]


@pytest.mark.parametrize("made, name", FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_every_field_of_the_tables_that_has_a_range_checks_it_and_says_it(made, name):
    limits = ranges(made)[name]
    above = [] if limits.beyond else [limits.high + 1]
    for value in (*above, limits.low if limits.above else limits.low - 1):
        with pytest.raises(RecipeError, match=rf"\.{name}(\.a)? is {value}".replace("+", r"\+")):
            made(**{name: {"a": value} if name == "shares" else value})
    assert str(limits) in takes(made, name)
    assert limits.low < limits.high and (limits.step is None or limits.step < limits.high - limits.low)


@dataclass(frozen=True)
class Grown:
    """Two fields that came later."""

    first: int = 1
    number: Annotated[float, Later(), Between(0.0, 1.0)] = 0.5
    maybe: Annotated[Annotated[int, Between(2, 9)] | None, Later()] = None


def test_what_came_later_is_known_by_its_annotation_beside_a_range():
    assert later(Grown) == {"number", "maybe"} and later(Sample) == frozenset()
    assert ranges(Grown) == {"number": Between(0.0, 1.0), "maybe": Between(2, 9)}


def test_what_came_later_is_written_only_where_it_says_something_else():
    assert to_plain(Grown()) == {"first": 1} == to_plain(Grown(1, 0.5, None))
    assert to_plain(Grown(2, 0.25, 3)) == {"first": 2, "number": 0.25, "maybe": 3}
