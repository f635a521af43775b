"""The same recipe with a shorter training: fewer images in each epoch, and what counts in steps in proportion."""

from dataclasses import fields, replace
from math import ceil
from typing import Any, TypeVar, cast

from pruning.recipe.recipe import Recipe
from pruning.training.rewinds import Rewind
from pruning.training.schedules import Schedule

T = TypeVar("T", Schedule, Rewind)

LEAST = {"begin_step": 0, "end_step": 2, "frequency": 1, "step": 0}
"""Fields of schedules and rewinds that count optimiser steps -> the smallest value that still means the same."""


def shortened(recipe: Recipe, share: float, images: int) -> Recipe:
    """The recipe with a share of its optimiser steps.

    Epochs and rounds stay as many as they are, so that a gradual schedule stays gradual; each epoch sees fewer images.
    A recipe that trains nothing stays as it is.

    Args:
        recipe: What is shortened.
        share: Of its steps, in (0, 1]. With 1 the recipe itself is returned.
        images: Training images of a whole epoch, where the recipe takes all.

    Examples:
        >>> shortened(Recipe("fashion_cnn"), 1 / 3, 54_000).tuning.images_per_epoch
        18000
    """
    tuning = recipe.tuning
    trained = tuning.epochs or recipe.regulariser.epochs or recipe.start.epochs
    if share == 1.0 or not trained:
        return recipe
    whole = min(tuning.images_per_epoch or images, images)
    few = max(round(share * whole), min(tuning.batch_size, whole), 2)
    tuning = replace(tuning, images_per_epoch=max(few, tuning.batch_size))
    scale = ceil(few / tuning.batch_size) / ceil(whole / tuning.batch_size)
    return replace(
        recipe, tuning=tuning, schedule=_scaled(recipe.schedule, scale), rewind=_scaled(recipe.rewind, scale)
    )


def _scaled(choice: T, scale: float) -> T:
    """The choice with its numbers of steps in proportion."""
    counted = [each.name for each in fields(cast(Any, choice)) if each.name in LEAST]
    steps = {name: max(int(getattr(choice, name) * scale), LEAST[name]) for name in counted}
    if "end_step" in steps:
        steps["begin_step"] = min(steps["begin_step"], steps["end_step"] - 1)
    return cast(T, replace(cast(Any, choice), **steps))
