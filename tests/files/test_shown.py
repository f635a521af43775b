import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.files.shown import LONGEST, shown


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_nothing_steers_a_terminal_or_turns_text_around_and_nothing_is_long(name: str):
    text = shown(name)
    assert 0 < len(text) <= LONGEST
    assert not any(unicodedata.category(c)[0] == "C" or unicodedata.category(c) in ("Zl", "Zp") for c in text)
    text.encode()


@pytest.mark.parametrize("name", ["fc.weight", "größe", "0.weight", "x" * LONGEST])
def test_a_usual_name_stays_as_it_is(name: str):
    assert shown(name) == name


def test_both_ends_of_a_long_name_are_shown():
    text = shown("first." + "x" * 10**6 + ".last")
    assert text.startswith("first.x") and text.endswith("x.last") and "…" in text


def test_no_name_is_said_so():
    assert shown("") == "(no name)"
