from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.errors import RecipeError
from pruning.training.schedules import (
    SCHEDULES,
    Geometric,
    Linear,
    OneShot,
    Polynomial,
    PolynomialDecay,
    Round,
    Schedule,
    Until,
)

STEPS = 1000
"""What a training takes in these tests: as many as the polynomial decay's end step is unless told otherwise."""


def progress(schedule: Schedule, target: float = 0.5) -> list[float]:
    return [each.progress for each in schedule.rounds_of(STEPS, target)]


def test_one_shot_is_one_round():
    assert OneShot().rounds_of(7, 0.5) == [Round(1.0, 7)]


@pytest.mark.parametrize("schedule", [Linear(4), Until(0.01, 4)])
def test_the_same_share_is_pruned_in_every_round(schedule):
    assert schedule.rounds_of(7, 0.9) == [Round(0.25, 7), Round(0.5, 7), Round(0.75, 7), Round(1.0, 7)]


@pytest.mark.parametrize(
    "rounds, power, expected",
    [
        (5, 3, [0.488, 0.784, 0.936, 0.992, 1.0]),
        (4, 1, [0.25, 0.5, 0.75, 1.0]),
        (4, 2, [0.4375, 0.75, 0.9375, 1.0]),
        (1, 3, [1.0]),
    ],
)
def test_a_polynomial_to_the_digit(rounds, power, expected):
    assert progress(Polynomial(rounds, power)) == pytest.approx(expected, abs=1e-12)
    assert progress(Polynomial(rounds, power))[-1] == 1.0
    assert {each.steps for each in Polynomial(rounds, power).rounds_of(7, 0.5)} == {7}


def keras(initial: float, final: float, begin: int, end: int, power: float, step: int) -> float:
    """tfmot.sparsity.keras.PolynomialDecay, the sparsity at an optimiser step from begin to end."""
    return final + (initial - final) * (1 - (step - begin) / (end - begin)) ** power


@pytest.mark.parametrize(
    "initial, final, begin, end, frequency, power, steps",
    [
        (0.0, 0.8, 0, 1000, 100, 3.0, 1000),  # Keras' default frequency and power
        (0.5, 0.8, 200, 1000, 100, 3.0, 1200),  # 50 % at once and then up to 80 %, as in Keras' guide
        (0.0, 0.9, 10, 25, 5, 1.0, 40),
        (0.2, 0.6, 3, 11, 2, 2.0, 11),
        (0.0, 0.75, 0, 7, 1, 4.5, 100),
    ],
)
def test_a_polynomial_decay_is_kerass_to_the_digit(initial, final, begin, end, frequency, power, steps):
    schedule = PolynomialDecay(initial / final, begin, end, frequency, power)
    rounds = schedule.rounds_of(steps, final)
    at, seen = 0, {}
    for each in rounds:
        seen[at] = final * each.progress
        at += each.steps
    assert at == steps
    cuts = {step: keras(initial, final, begin, end, power, step) for step in range(begin, end + 1, frequency)}
    before = {0: 0.0} if begin else {}
    assert seen.keys() == before.keys() | cuts.keys()
    assert all(seen[step] == pytest.approx(sparsity, abs=1e-12) for step, sparsity in (before | cuts).items())
    assert rounds[-1].progress == 1.0


def test_a_polynomial_decay_whose_frequency_does_not_meet_the_end_cuts_there_too():
    # Keras would stay below the final sparsity here: its last cut is at step 9
    rounds = PolynomialDecay(0.0, 0, 10, 3, 1.0).rounds_of(12, 0.5)
    assert [each.steps for each in rounds] == [3, 3, 3, 1, 2]
    assert [each.progress for each in rounds] == pytest.approx([0.0, 0.3, 0.6, 0.9, 1.0], abs=1e-12)


def test_a_polynomial_decay_must_fit_into_the_training():
    with pytest.raises(RecipeError) as caught:
        PolynomialDecay(end_step=1000).rounds_of(999, 0.5)
    assert str(caught.value) == (
        "schedule.end_step is 1000, but tuning takes 999 optimiser steps: raise tuning.epochs or lower "
        "schedule.end_step"
    )


@pytest.mark.parametrize(
    "share, target, rounds",
    [(0.2, 0.8, 8), (0.5, 0.75, 2), (0.5, 0.875, 3), (0.5, 0.5, 1), (0.5, 0.3, 1), (0.2, 0.0, 1), (0.1, 0.1, 1)],
)
def test_a_geometric_schedule_takes_as_many_rounds_as_the_amount_needs(share, target, rounds):
    assert len(progress(Geometric(share), target)) == rounds


@pytest.mark.parametrize("share, target", [(0.2, 0.8), (0.5, 0.9), (0.3, 0.99)])
def test_in_a_geometric_schedule_the_same_share_of_what_is_left_is_pruned(share, target):
    left = [1.0, *(1.0 - target * done for done in progress(Geometric(share), target))]
    ratios = [after / before for before, after in pairwise(left)]
    assert ratios[:-1] == pytest.approx([1.0 - share] * (len(ratios) - 1), abs=1e-12)
    assert 1.0 - share <= ratios[-1] <= 1.0 and left[-1] == pytest.approx(1.0 - target)


def test_a_geometric_schedule_of_everything_ends():
    # 0.01^3 is a millionth: what is left then is pruned in one more round
    assert len(progress(Geometric(0.99), 1.0)) <= 4 and len(progress(Geometric(0.01), 1.0)) < 1400


@given(st.integers(1, 100), st.floats(0.01, 20))
def test_a_polynomials_progress_rises_to_exactly_one(rounds, power):
    found = progress(Polynomial(rounds, power))
    assert len(found) == rounds and found[-1] == 1.0
    assert all(0 < a <= b for a, b in pairwise(found))


@given(st.floats(0.01, 0.99), st.floats(0, 1))
def test_a_geometric_schedules_progress_rises_to_exactly_one(share, target):
    found = progress(Geometric(share), target)
    assert found[-1] == 1.0 and all(0 < a < b for a, b in pairwise(found))


@given(st.floats(0, 1), st.integers(0, 400), st.integers(1, 600), st.integers(1, 700), st.floats(0.1, 10))
def test_a_polynomial_decays_progress_rises_to_exactly_one_and_its_steps_fill_the_training(
    initial, begin, length, frequency, power
):
    rounds = PolynomialDecay(initial, begin, begin + length, frequency, power).rounds_of(STEPS, 0.5)
    found = [each.progress for each in rounds]
    assert found[-1] == 1.0 and all(a <= b for a, b in pairwise(found))
    assert found[0] == pytest.approx(0.0 if begin else initial, abs=1e-15)
    assert sum(each.steps for each in rounds) == STEPS and all(each.steps > 0 for each in rounds[:-1])


@pytest.mark.parametrize("target", [0.0, 0.1, 0.9, 1.0])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_ends_at_one(schedule, target):
    made = SCHEDULES[schedule]()
    rounds = made.rounds_of(STEPS, target)
    assert rounds[-1].progress == 1.0 and all(a.progress <= b.progress for a, b in pairwise(rounds))
    assert made.continuous == (sum(each.steps for each in rounds) == STEPS and len(rounds) > 1)


def test_only_until_stops_by_itself():
    assert {name for name, made in SCHEDULES.items() if made().max_drop is not None} == {"until"}


@pytest.mark.parametrize(
    "made, how, sentence",
    [
        (Polynomial, {"rounds": 0}, r"schedule\.rounds is 0; it lies between 1 and 1000"),
        (Polynomial, {"power": 0}, r"schedule\.power is 0; it lies above 0 and at most 100"),
        (Polynomial, {"power": float("nan")}, r"schedule\.power is nan"),
        (Linear, {"rounds": 1001}, r"schedule\.rounds is 1001; it lies between 1 and 1000"),
        (Geometric, {"share": 0.0}, r"schedule\.share is 0\.0; it lies between 0\.01 and 0\.99"),
        (Until, {"max_drop": -0.1}, r"schedule\.max_drop is -0\.1; it is 0 or more"),
        (PolynomialDecay, {"initial": 1.5}, r"schedule\.initial is 1\.5; it lies between 0 and 1"),
        (PolynomialDecay, {"frequency": 0}, r"schedule\.frequency is 0; it lies between 1 and"),
        (
            PolynomialDecay,
            {"begin_step": 50, "end_step": 50},
            r"schedule\.begin_step is 50 and end_step 50; the begin comes before the end",
        ),
        (
            PolynomialDecay,
            {"end_step": 5000, "frequency": 4},
            r"schedule\.frequency is 4: that makes more than 1000 rounds; cut less often",
        ),
    ],
)
def test_bad_values_are_refused_by_name(made, how, sentence):
    with pytest.raises(RecipeError, match=sentence):
        made(**how)
