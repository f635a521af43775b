"""A shorter training is the same recipe with fewer steps, and any recipe that could be run can still be."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.halving.shortening import shortened
from pruning.recipe.recipe import Recipe
from pruning.training.rewinds import DrawAnew, RewindWeights
from pruning.training.schedules import Geometric, PolynomialDecay, RigL, Schedule, Until
from pruning.training.starts import Scratch
from pruning.training.tuning import Tuning

IMAGES = 9000


def steps(tuning: Tuning) -> int:
    images = min(tuning.images_per_epoch or IMAGES, IMAGES)
    full, rest = divmod(images, tuning.batch_size)
    return tuning.epochs * max(full + (rest > 1), 1)


@given(
    st.sampled_from([1 / 9, 1 / 3]),
    st.integers(1, 10),
    st.sampled_from([2, 64, 128, 512]),
    st.one_of(st.none(), st.integers(1000, 50_000)),
)
def test_steps_are_in_proportion_and_epochs_stay(share: float, epochs: int, batch: int, images: int | None) -> None:
    recipe = Recipe("mlp", tuning=Tuning(epochs, batch_size=batch, images_per_epoch=images))
    found = shortened(recipe, share, IMAGES).tuning
    assert found.epochs == epochs
    assert steps(found) == pytest.approx(share * steps(recipe.tuning), abs=2 * epochs)


@given(st.sampled_from([1 / 27, 1 / 9, 1 / 3]), st.integers(1, 5))
def test_schedules_in_steps_shrink_with_the_training(share: float, epochs: int) -> None:
    tuning = Tuning(epochs, batch_size=16)
    total = steps(tuning)
    schedule = PolynomialDecay(0.0, total // 20, round(0.8 * total), frequency=20)
    found = shortened(Recipe("mlp", schedule=schedule, tuning=tuning), share, IMAGES)
    assert isinstance(found.schedule, PolynomialDecay)
    rounds = found.schedule.rounds_of(steps(found.tuning), 0.5)  # fits, or it would say so
    assert rounds[-1].progress == 1.0
    assert found.schedule.end_step / steps(found.tuning) == pytest.approx(0.8, abs=0.1)


def test_exchanges_and_rewinds_count_in_fewer_steps_too() -> None:
    tuning = Tuning(3, batch_size=100)
    exchanged = shortened(Recipe("mlp", schedule=RigL(frequency=30), tuning=tuning), 1 / 3, IMAGES)
    assert exchanged.schedule == RigL(frequency=10)
    start, schedule = Scratch(epochs=2), Geometric()
    rewound = Recipe("mlp", schedule=schedule, tuning=tuning, start=start, rewind=RewindWeights(90))
    assert shortened(rewound, 1 / 3, IMAGES).rewind == RewindWeights(30)
    drawn = replace(rewound, rewind=DrawAnew())
    assert shortened(drawn, 1 / 3, IMAGES).rewind == DrawAnew()


@pytest.mark.parametrize("schedule", [Until(), RigL()])
def test_what_is_not_shorter_is_the_recipe_itself(schedule: Schedule) -> None:
    recipe = Recipe("mlp", schedule=schedule)
    assert shortened(recipe, 1.0, IMAGES) is recipe
    untrained = Recipe("mlp", tuning=Tuning(0))
    assert shortened(untrained, 1 / 9, IMAGES) is untrained
