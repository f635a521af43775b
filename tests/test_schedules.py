from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.errors import RecipeError
from pruning.schedules import SCHEDULES, OneShot, Polynomial


def test_one_shot_is_one_round():
    assert OneShot().progress() == [1.0]


@pytest.mark.parametrize(
    "rounds, power, progress",
    [
        (5, 3, [0.488, 0.784, 0.936, 0.992, 1.0]),
        (4, 1, [0.25, 0.5, 0.75, 1.0]),
        (4, 2, [0.4375, 0.75, 0.9375, 1.0]),
        (1, 3, [1.0]),
    ],
)
def test_a_polynomial_to_the_digit(rounds, power, progress):
    assert Polynomial(rounds, power).progress() == pytest.approx(progress, abs=1e-12)
    assert Polynomial(rounds, power).progress()[-1] == 1.0


@given(st.integers(1, 100), st.floats(0.01, 20))
def test_progress_rises_to_exactly_one(rounds, power):
    progress = Polynomial(rounds, power).progress()
    assert len(progress) == rounds and progress[-1] == 1.0
    assert all(0 < a <= b for a, b in pairwise(progress))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_ends_at_one(schedule):
    assert SCHEDULES[schedule]().progress()[-1] == 1.0


@pytest.mark.parametrize(
    "how, field", [({"rounds": 0}, "rounds"), ({"power": 0}, "power"), ({"power": float("nan")}, "power")]
)
def test_bad_values_are_refused_by_name(how, field):
    with pytest.raises(RecipeError, match=rf"schedule\.{field} is"):
        Polynomial(**how)
