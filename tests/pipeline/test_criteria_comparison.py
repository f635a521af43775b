"""Criteria side by side: agreement worked out by hand, effort counted, and accuracy as a run would measure it."""

import json
import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from typer.testing import CliRunner

from pruning.__main__ import command_line
from pruning.criteria import Ablation, Magnitude, OptimalBrainDamage, Random, Snip, Taylor
from pruning.criteria.calibration import Calibration
from pruning.criteria.pass_counter import counted
from pruning.errors import RecipeError
from pruning.events import StageMeasured
from pruning.granularities import Channels, Weights
from pruning.model.layer_table import prunable_weights
from pruning.model.preparation import open_model
from pruning.pipeline.comparison import candidates
from pruning.pipeline.criteria_comparison import agreement, compare_all, timed_scores
from pruning.pipeline.eligibility import scorable_groups
from pruning.recipe.recipe import Recipe, to_json
from pruning.selection.amounts import Sparsity
from pruning.training.tuning import Tuning
from tests.every_granularity import tiny_for
from tests.networks import CPU, carried_out, taught, tiny
from tests.own_workload import write_own


def test_rank_agreement_is_spearmans_with_ties_sharing_their_rank():
    scores = {
        "a": {"x": torch.tensor([1.0, 2.0]), "y": torch.tensor([3.0, 4.0])},
        "b": {"x": torch.tensor([10.0, 20.0]), "y": torch.tensor([30.0, 40.0])},  # the same order
        "c": {"x": torch.tensor([4.0, 3.0]), "y": torch.tensor([2.0, 1.0])},  # the reverse
        "d": {"x": torch.tensor([1.0, 1.0]), "y": torch.tensor([2.0, 3.0])},  # ranks 1.5, 1.5, 3, 4
        "e": {"x": torch.tensor([7.0, 7.0]), "y": torch.tensor([7.0, 7.0])},  # says nothing
    }
    keep = {kind: {"x": torch.tensor([False, True]), "y": torch.tensor([True, True])} for kind in scores}
    ranks = agreement(scores, keep).ranks
    assert ranks[0].tolist() == pytest.approx([1.0, 1.0, -1.0, 4.5 / math.sqrt(5.0 * 4.5), 0.0])
    assert (ranks == ranks.T).all() and ranks.diagonal().tolist() == [1.0] * 5


def test_overlap_is_the_share_of_the_rows_pruned_that_the_column_takes_too():
    scores = {kind: {"x": torch.arange(4.0)} for kind in "ab"}
    keep = {"a": {"x": torch.tensor([False, False, True, True])}, "b": {"x": torch.tensor([True, False, True, True])}}
    assert agreement(scores, keep).overlap.tolist() == [[1.0, 0.5], [1.0, 1.0]]


def test_only_groups_that_all_could_score_are_compared():
    scores = {"a": {"x": torch.arange(3.0), "y": torch.arange(3.0)}, "b": {"x": torch.arange(3.0)}}
    keep = {kind: {name: torch.arange(3) > 0 for name in groups} for kind, groups in scores.items()}
    assert agreement(scores, keep).ranks.flatten().tolist() == pytest.approx([1.0] * 4)


def test_a_group_that_one_keeps_whole_is_not_compared():
    scores = {kind: {"x": torch.arange(3.0), "y": torch.arange(3.0)} for kind in "ab"}
    some = torch.tensor([False, True, True])
    keep = {"a": {"x": some, "y": ~some}, "b": {"x": some}}
    assert agreement(scores, keep).overlap.tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    "criterion, granularity, forward, backward",
    [
        (Magnitude(), Weights(), 0, 0),
        (Snip(), Weights(), 64, 64),
        (Taylor(), Channels(), 64, 64),
        (OptimalBrainDamage(samples=16), Weights(), 16, 16),  # sample by sample, many at once
        (Ablation(samples=32), Channels(), 32 * (1 + 5 + 4), 0),  # as it is, and without each of nine units
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_samples_that_went_through_the_network_are_counted(criterion, granularity, forward, backward):
    work = tiny("mlp", count=64)
    model = open_model(work, CPU)
    groups, _ = scorable_groups(criterion, granularity, model, work.example)
    _, effort = timed_scores(criterion, model, groups, Calibration(work, CPU))
    assert (effort.forward, effort.backward) == (forward, backward) and effort.seconds > 0


def test_counting_leaves_no_hook():
    model = nn.Sequential(nn.Linear(2, 1))
    with counted(model) as passes:
        model(torch.zeros(3, 2)).sum().backward()
    model(torch.zeros(3, 2))
    assert (passes.forward, passes.backward) == (3, 3) and not model._forward_hooks


def test_candidates_keep_the_recipes_own_settings_and_leave_out_what_does_not_fit():
    there = candidates(Recipe("m", Magnitude(2)))
    assert there["magnitude"].criterion == Magnitude(2) and there["taylor"].criterion == Taylor()
    assert "apoz" not in there and "apoz" in candidates(Recipe("m", granularity=Channels()))
    assert {recipe.amount for recipe in there.values()} == {Sparsity(0.5)}


@pytest.mark.parametrize("granularity", [Weights(), Channels()])
def test_the_accuracy_is_that_of_a_runs_pruned_stage(granularity):
    work = taught("conv_bn", count=200)
    recipe = Recipe("conv_bn", granularity=granularity, amount=Sparsity(0.5), tuning=Tuning(epochs=0))
    recipes = {kind: replace(candidates(recipe)[kind]) for kind in ("magnitude", "taylor", "snip")}
    dense, rows, agreed = compare_all(work, recipes, CPU)
    assert agreed is not None and agreed.kinds == ("magnitude", "taylor", "snip")
    for row in rows:
        events, _ = carried_out(work, recipes[row.kind])
        stages = {event.stage: event.result for event in events if isinstance(event, StageMeasured)}
        assert row.estimate is not None
        assert row.estimate.score == stages["pruned"].validation and dense == stages["dense"].validation
    assert len({dense, *(row.estimate.score for row in rows if row.estimate)}) > 2


def test_criteria_score_with_the_seed_of_their_recipe():
    """Chance prunes other weights for another seed: those that a run with that seed prunes."""
    work, scores = taught("mlp", count=200), set[float]()
    for seed in (0, 5):
        recipe = Recipe("mlp", Random(), tuning=Tuning(epochs=0), seed=seed)
        _, (row,), _ = compare_all(work, {"random": recipe}, CPU)
        _, result = carried_out(work, recipe)
        assert row.estimate is not None and row.estimate.score == result.stages["pruned"].validation
        scores.add(row.estimate.score)
    assert len(scores) == 2


def test_a_criterion_that_cannot_score_the_network_says_so_in_its_row():
    recipe = Recipe("mlp", granularity=Channels())
    there = candidates(recipe)
    dense, rows, _ = compare_all(tiny("mlp", count=64), {k: there[k] for k in ("magnitude", "batchnorm_scale")}, CPU)
    assert rows[0].problem == "" and "norm" in rows[1].problem and rows[1].estimate is None and 0 <= dense <= 1


def test_a_criterion_that_leaves_layers_whole_says_how_few_units_it_cut():
    """Without that, a cut of few units would pass for a better criterion."""
    work = tiny_for("rnn_units")
    recipes = {k: r for k, r in candidates(Recipe("lstm", amount=Sparsity(0.5))).items() if k in ("magnitude", "wanda")}
    _, (magnitude, wanda), agreed = compare_all(work, recipes, CPU)
    model = open_model(work, CPU)
    every = sum(model.get_parameter(param).numel() for _, param, _ in prunable_weights(model))
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear))
    assert (magnitude.units, magnitude.pruned) == (every, round(every / 2))
    assert (wanda.units, wanda.pruned) == (linear, round(linear / 2)) and linear < every
    assert agreed is not None and agreed.ranks.shape == (2, 2)


def test_an_agreement_where_nothing_is_pruned_is_null_in_json(tmp_path):
    recipe = tmp_path / "recipe.json"
    recipe.write_text(to_json(Recipe("own", amount=Sparsity(0.0))))
    arguments = ["compare", str(recipe), "--workload", write_own(tmp_path), "--criteria", "magnitude,lamp", "--json"]
    printed = CliRunner().invoke(command_line(), arguments, catch_exceptions=False)
    assert json.loads(printed.stdout)["agreement"]["overlap"] == [[None, None], [None, None]]


def test_criteria_that_score_no_layer_in_common_are_said_apart():
    scores = {"a": {"x": torch.arange(3.0)}, "b": {"y": torch.arange(3.0)}}
    keep = {kind: {name: torch.arange(3) > 0 for name in groups} for kind, groups in scores.items()}
    with pytest.raises(RecipeError, match="a, b score no layer in common: compare fewer criteria"):
        agreement(scores, keep)


def test_rank_agreement_is_what_scipy_calls_spearmans_correlation():
    values = torch.randint(5, (3, 40), generator=torch.Generator().manual_seed(0)).float()
    scores = {kind: {"x": row} for kind, row in zip("abc", values, strict=True)}
    keep = {kind: {"x": torch.ones(40, dtype=torch.bool)} for kind in scores}
    assert agreement(scores, keep).ranks == pytest.approx(spearmanr(values.numpy(), axis=1).statistic)
