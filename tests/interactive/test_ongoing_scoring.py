"""Scoring a slice at a time: the same scores, known progress, and nothing left of what nobody asks for."""

import pytest
import torch

from pruning.criteria import Ablation, OptimalBrainDamage, Snip
from pruning.errors import WorkloadError
from pruning.granularities import Channels, Weights
from pruning.interactive import queries
from pruning.interactive.session import PreviewSession
from pruning.recipe.recipe import Recipe
from tests.networks import CPU, tiny

SLOW = Recipe("mlp", OptimalBrainDamage("hutchinson", samples=60, probes=20), Weights())


def session() -> PreviewSession:
    return PreviewSession({"mlp": lambda: tiny("mlp", count=200)}, CPU)


@pytest.mark.parametrize("recipe", [SLOW, Recipe("mlp", Ablation(), Channels()), Recipe("mlp", Snip())])
def test_slices_give_the_scores_of_one_piece(recipe: Recipe):
    sliced, whole = session(), session()
    shares = [queries.score(sliced, recipe, 0.0).share for _ in range(2)]
    while not (now := queries.score(sliced, recipe, 0.0)).done:
        shares.append(now.share)
    assert shares == sorted(shares) and 0 < shares[-1] <= 1.0
    key = recipe.workload, recipe.criterion, recipe.granularity, recipe.seed
    _, scores, effort = sliced.scored(*key)
    _, expected, _ = whole.scored(*key)
    assert all(torch.equal(scores[name], expected[name]) for name in expected)
    assert effort.seconds > 0
    assert queries.score(sliced, recipe, 0.0) == queries.Scoring(1.0, 0.0)


def test_others_use_the_network_in_between():
    bench = session()
    assert not queries.score(bench, SLOW, 0.0).done
    during = queries.look(bench, Recipe("mlp"), "score")
    after = queries.look(session(), Recipe("mlp"), "score")
    assert during.pruned == after.pruned and during.bytes == after.bytes
    assert queries.estimate(bench, Recipe("mlp"), 9.0) == queries.estimate(session(), Recipe("mlp"), 9.0)


def test_time_left_shrinks_to_nothing():
    bench = session()
    left = [queries.score(bench, SLOW, 0.0).seconds_left for _ in range(3)]
    assert min(left) > 0
    while not (now := queries.score(bench, SLOW, 0.0)).done:
        left.append(now.seconds_left)
    assert left[-1] < max(left)


def test_what_goes_wrong_on_the_way_is_raised_and_tried_anew():
    work = tiny("mlp", count=200)
    bench = PreviewSession({"mlp": lambda: work}, CPU)
    next(bench.opened("mlp").model.parameters()).data[0, 0] = float("inf")
    recipe = Recipe("mlp", Snip())
    for _ in range(2):
        with pytest.raises(WorkloadError, match="NaN or infinite"):
            while True:
                queries.score(bench, recipe, 0.0)
