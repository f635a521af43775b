"""No answer is that of another question: what a session keeps is asked for by all that it depends on.

Each answer is compared with that of a fresh session, and with what is computed without one.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from pruning.criteria import Magnitude, Random, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.granularities import Channels
from pruning.interactive.queries import (
    estimate,
    estimate_repaired,
    heatmap,
    look,
    open_workload,
    score_range,
    sensitivity,
    units,
)
from pruning.interactive.session import PreviewSession
from pruning.layer_sensitivity.analysis import analysis_of, repaired_analysis_of
from pruning.model.costs import cost_model
from pruning.model.preparation import open_model
from pruning.pipeline.eligibility import chosen_groups
from pruning.pipeline.one_shot import rank_units
from pruning.recipe.recipe import Recipe
from pruning.repair import LeastSquares
from pruning.selection.amounts import PerLayer, Sparsity
from pruning.selection.scopes import Global, WithinLayer
from pruning.workload import Workload
from tests.networks import CPU, taught

NETWORKS: dict[str, Callable[[], Workload]] = {
    "mlp": lambda: taught("mlp", count=150),
    "conv": lambda: taught("conv", count=150),
}
FIRST = Recipe("mlp", Random(), amount=Sparsity(0.5))
LEVELS = (0.3, 0.6)
CHANGES = {
    "workload": {"workload": "conv"},
    "criterion": {"criterion": Magnitude()},
    "granularity": {"granularity": Channels()},
    "scope": {"scope": WithinLayer()},
    "the scope's normalising": {"scope": Global("max")},
    "amount": {"amount": Sparsity(0.8)},
    "the share of a layer": {"amount": PerLayer({"0": 0.9}, Sparsity(0.5))},
    "a layer that is emptied": {"amount": PerLayer({"0": 1.0}, Sparsity(0.5))},
    "keep_whole": {"keep_whole": frozenset({"0"})},
    "seed": {"seed": 5},
    "repair": {"repair": LeastSquares(samples=32)},
}


def session() -> PreviewSession:
    return PreviewSession(NETWORKS, CPU)


def plain(value: Any) -> Any:
    """The value in dicts, lists and numbers, which can be compared; without what a clock gave."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.name != "seconds"}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    return value


def answers(bench: PreviewSession, recipe: Recipe) -> dict[str, Any]:
    """To every question that a page asks of a recipe; whatever is estimated, to its end."""
    layers = [layer.name for layer in open_workload(bench, recipe.workload).layers if layer.shape][:1]
    estimate(bench, recipe, 60.0)
    estimate_repaired(bench, recipe, 60.0)
    return {
        "model": plain(open_workload(bench, recipe.workload)),
        "scores": plain(look(bench, recipe, "score")),
        "weights": plain(look(bench, recipe, "sigma")),
        "range": plain(score_range(bench, recipe)),
        "estimate": plain(estimate(bench, recipe, 60.0)),
        "repaired": plain(estimate_repaired(bench, recipe, 60.0)),
        "units": plain(units(bench, recipe, layers)),
        "heatmap": plain(heatmap(bench, recipe, layers[0], None)),
        "map": plain(sensitivity(bench, recipe, LEVELS, 0.0, None, (0, 1), 60.0)),
    }


@pytest.mark.parametrize("change", CHANGES)
def test_a_recipe_is_answered_the_same_whatever_was_asked_before(change: str) -> None:
    bench, other = session(), replace(FIRST, **CHANGES[change])
    first = answers(bench, FIRST)
    found = answers(bench, other)
    assert found == answers(session(), other)
    assert found != first
    assert answers(bench, FIRST) == first


@pytest.mark.parametrize("change", CHANGES)
def test_decisions_and_maps_are_those_that_are_made_without_a_session(change: str) -> None:
    bench, recipe = session(), replace(FIRST, **CHANGES[change])
    bench.decision(FIRST)
    work = NETWORKS[recipe.workload]()
    model = open_model(work, CPU)
    groups = chosen_groups(work, recipe, model)
    scores = unit_scores(recipe.criterion, model, groups, Calibration(work, CPU, recipe.seed))
    keep = rank_units(recipe, groups, scores, cost_model(model, work.example)).decide(recipe.amount).keep
    found = bench.decision(recipe).keep
    assert found.keys() == keep.keys() and all(torch.equal(found[name], keep[name]) for name in keep)
    sensitivity(bench, FIRST, LEVELS, 0.0, None, (0, 1), 60.0)
    begun = repaired_analysis_of if change == "repair" else analysis_of
    whole = begun(work, recipe, LEVELS, CPU).advance(60.0, 0.0)
    assert plain(sensitivity(bench, recipe, LEVELS, 0.0, None, (0, 1), 60.0).rows) == plain(whole.rows)


def test_a_map_is_of_the_levels_and_the_part_that_were_asked_for() -> None:
    bench = session()
    for levels, part in [((0.5,), (0, 1)), ((0.9,), (0, 1)), ((0.5,), (0, 2)), ((0.5,), (1, 2))]:
        found = plain(sensitivity(bench, FIRST, levels, 0.0, None, part, 60.0))
        assert found == plain(sensitivity(session(), FIRST, levels, 0.0, None, part, 60.0))
