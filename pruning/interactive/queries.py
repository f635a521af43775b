"""The questions that a page asks while a person moves a slider: each is a function of the worker's session.

The page sends a function and its arguments to a worker, which calls it with the session that it keeps. So this file
imports no torch: what computes lies in `answers.py`, which only the worker imports. Scores are computed and sorted once
for a model, criterion and granularity; a slider position is then a search. Accuracy comes in growing samples: the page
asks again for as long as it wants to know more. A newer position asks for something else, and the older estimate ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from pruning.errors import PruningError
from pruning.interactive.responses import (
    AccuracyPreview,
    Axis,
    CutPreview,
    Heatmap,
    ModelView,
    Repairing,
    RepairPreview,
    Scoring,
    UnitsView,
)
from pruning.layer_sensitivity.result import Sensitivity
from pruning.level_search.result import Searched
from pruning.pipeline.comparison import Agreement, Compared, Effort
from pruning.recipe.recipe import Recipe
from pruning.selection.goal import Goal

if TYPE_CHECKING:
    from pruning.interactive.session import PreviewSession


def open_workload(session: PreviewSession, name: str) -> ModelView:
    """The model as it is, measured on the validation split the first time."""
    return session.opened(name).view


def score_range(session: PreviewSession, recipe: Recipe) -> tuple[float, float]:
    """The ends of a threshold slider. At most one unit in 500 lies above its upper end: few scores are far larger."""
    return session.ranges(recipe.workload, recipe.criterion, recipe.granularity, recipe.scope, recipe.seed)


def allocation(
    session: PreviewSession, recipe: Recipe, rule: Literal["uniform", "erk"], share: float
) -> dict[str, float]:
    """Group name -> sparsity by rule: what a person starts from who sets layers by hand."""
    from pruning.interactive.answers import allocated

    return allocated(session, recipe, rule, share)


def look(session: PreviewSession, recipe: Recipe, axis: Axis) -> CutPreview:
    """What the recipe's amount does to every layer and to the sizes."""
    from pruning.interactive.answers import cut_preview

    return cut_preview(session, recipe, axis)


def estimate(session: PreviewSession, recipe: Recipe, seconds: float) -> AccuracyPreview:
    """Evaluate the cut on more of the validation split for about so many seconds, from where the last call ended."""
    from pruning.interactive.answers import accuracy_preview

    return accuracy_preview(session, recipe, seconds)


def estimate_repaired(session: PreviewSession, recipe: Recipe, seconds: float) -> RepairPreview | Repairing:
    """As `estimate`, of the cut after the recipe's repair; how far that is until it is done. PatienceError if it takes
    too long.
    """
    from pruning.interactive.answers import repair_preview

    return repair_preview(session, recipe, seconds)


def heatmap(session: PreviewSession, recipe: Recipe, layer: str, window: tuple[int, int, int, int] | None) -> Heatmap:
    """Importance of the layer's weights in a window (top, bottom, left, right), pooled to at most 128 x 128 cells."""
    from pruning.interactive.answers import pooled_heatmap

    return pooled_heatmap(session, recipe, layer, window)


def sensitivity(
    session: PreviewSession,
    recipe: Recipe,
    levels: tuple[float, ...],
    half_width: float,
    max_drop: float | None,
    part: tuple[int, int],
    seconds: float,
) -> Sensitivity:
    """Sharpen the map of the recipe's criterion, granularity and repair, from where it was left.

    It takes about so many `seconds`. `half_width` is how narrow each cell's 95 % interval shall be, in the unit of the
    score; 0 evaluates all samples. `part` (i, n) takes every nth row from row i on: n workers make a map together.
    `max_drop` as in `SensitivityAnalysis.advance`.
    """
    return session.sensing(recipe, levels, part).advance(seconds, half_width, max_drop)


def search(session: PreviewSession, recipe: Recipe, goal: Goal, batch: int, seconds: float) -> Searched | None:
    """Go on with the search for this goal for about so many seconds, from where it was left.

    `batch` samples are in a pass, where the cost is its time. The units are scored first: until something is known it
    is None. PatienceError if scoring or a repair takes too long.
    """
    if not session.score_more(recipe, seconds).done:
        return None
    return session.searching(recipe, goal, batch).advance(seconds)


def verify(
    session: PreviewSession, recipe: Recipe, goal: Goal, batch: int, shares: Mapping[str, float]
) -> Searched | None:
    """The search that is over, with one more cut measured: that of these shares. None where it must begin anew."""
    return session.searching(recipe, goal, batch).verify(shares)


def score(session: PreviewSession, recipe: Recipe, seconds: float) -> Scoring:
    """Score the recipe's units for about so many seconds, from where that was left. PatienceError if it takes too long.

    Who asks for anything that needs the scores before this is done waits until they are all computed.
    """
    return session.score_more(recipe, seconds)


def effort(session: PreviewSession, recipe: Recipe) -> Effort:
    """What scoring the recipe's units took the first time; scores them if that has not been done."""
    return session.scored(recipe.workload, recipe.criterion, recipe.granularity, recipe.seed)[2]


def compared(session: PreviewSession, kind: str, recipe: Recipe, seconds: float) -> Compared | None:
    """A comparison's row: its units scored, and evaluated on more samples, in no seconds on none.

    None until all units are scored.
    """
    from pruning.interactive.answers import estimated

    try:
        if not session.score_more(recipe, seconds).done:
            return None
        now = look(session, recipe, "score")
        row = Compared(kind, now.units, now.pruned, effort(session, recipe))
        return replace(row, estimate=estimated(session, recipe, seconds)) if seconds else row
    except PruningError as error:
        return Compared(kind, problem=str(error))


def agree(session: PreviewSession, recipes: Mapping[str, Recipe]) -> Agreement:
    """How far the criteria of the recipes, by kind, agree on what is important and on what is pruned."""
    return session.agreements(tuple(recipes.items()))


def units(session: PreviewSession, recipe: Recipe, layers: Sequence[str]) -> list[UnitsView]:
    """Of every unit of the layers' groups its score and whether it is pruned, each group once."""
    from pruning.interactive.answers import unit_views

    return unit_views(session, recipe, layers)
