"""Which criteria a comparison sets side by side, and what it finds: plain values, no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pruning.criteria import CRITERIA
from pruning.evaluation.estimate import Estimate
from pruning.recipe.catalog import kind_of
from pruning.recipe.compatibility import fits
from pruning.recipe.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np


def candidates(recipe: Recipe) -> dict[str, Recipe]:
    """Kind -> the recipe with that criterion, of all that can score its units; its own criterion keeps its fields."""
    own, granularity = kind_of(recipe.criterion), kind_of(recipe.granularity)
    return {
        kind: recipe if kind == own else replace(recipe, criterion=made())
        for kind, made in CRITERIA.items()
        if fits(made, granularity)
    }


@dataclass(frozen=True)
class Effort:
    """What scoring took: seconds, and samples that went forward and backward through the network."""

    seconds: float
    forward: int
    backward: int


@dataclass(frozen=True)
class Compared:
    """A criterion in the comparison: its `kind`, what is known so far, or why it cannot score the model.

    `pruned` of `units` units are pruned; a criterion that cannot score some layers has fewer `units` than others.
    """

    kind: str
    units: int = 0
    pruned: int = 0
    effort: Effort | None = None
    estimate: Estimate | None = None
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far criteria agree, float64 [criteria, criteria], in the order of `kinds`.

    `ranks` is Spearman's correlation of the unit scores, ties sharing their mean rank. `overlap` is, of the units that
    are pruned by the row's criterion, the share that is pruned by the column's too; NaN where none is pruned.
    """

    kinds: tuple[str, ...]
    ranks: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    overlap: np.ndarray[tuple[int, int], np.dtype[np.float64]]
