"""What the page is told while a slider moves, against plain recomputation and against the run that follows."""

import copy
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from pruning.criteria import CRITERIA, Largest, Magnitude, Random, Taylor
from pruning.errors import PatienceError, PruningError, RecipeError
from pruning.evaluation.accuracy import Evaluator
from pruning.granularities import GRANULARITIES, Channels, Weights
from pruning.interactive import answers
from pruning.interactive.queries import (
    allocation,
    estimate,
    estimate_repaired,
    look,
    open_workload,
    score_range,
    sensitivity,
    units,
)
from pruning.interactive.responses import BINS, Repairing
from pruning.interactive.session import PreviewSession
from pruning.layer_sensitivity.result import merged
from pruning.model import costs as costs_of
from pruning.model.costs import costs, gzip_size, model_file
from pruning.model.layer_table import prunable_weights
from pruning.model.module_sizes import sizes_between
from pruning.model.units import masks_of
from pruning.recipe.compatibility import fits
from pruning.recipe.recipe import Recipe
from pruning.repair import LeastSquares
from pruning.selection.allocation import erk
from pruning.selection.amounts import Budget, PerLayer, RelativeThreshold, Sparsity, Threshold
from pruning.selection.ranking import select
from pruning.selection.scopes import SCOPES, Global, WithinBlocks, WithinLayer, WithinRow
from pruning.training.schedules import Polynomial
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.every_granularity import tiny_for
from tests.networks import CPU, NETWORKS, VECTOR, Tied, carried_out, seeded, tiny, workload
from tests.own_layers import OwnLayers

BENCH = PreviewSession({name: (lambda name=name: tiny(name, count=700)) for name in NETWORKS}, CPU)
ON_IMAGES = ("weights", "channels", "kernels", "blocks")
"""Granularities whose units the networks of the bench have."""
OWN = PreviewSession({name: (lambda name=name: tiny_for(name)) for name in GRANULARITIES}, CPU)
"""A network for each granularity."""
FITTING = [(c, g) for c in CRITERIA for g in GRANULARITIES if fits(CRITERIA[c], g)]


def made(network: str, criterion: str, granularity: str, **how) -> Recipe:
    return Recipe(network, CRITERIA[criterion](), GRANULARITIES[granularity](), **how)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_workload_is_shown_as_it_is(network):
    view, work = open_workload(BENCH, network), tiny(network, count=700)
    assert view.score == pytest.approx(
        float(Evaluator(work.validation, work.task, CPU).evaluate_all(work.build())[0].mean()), abs=1e-6
    )
    assert (view.samples, view.classes, view.data) == (700, ("a", "b", "c"), "three clouds")
    assert view.costs == costs(work.build(), work.example)
    assert sum(layer.parameters for layer in view.layers) == view.costs.parameters


@pytest.mark.parametrize(
    "amount", [Sparsity(0.0), Sparsity(0.4), Sparsity(1.0), Threshold(0.2), PerLayer({}, Sparsity(0.7))]
)
@pytest.mark.parametrize("network", ["mlp", "residual"])
@pytest.mark.parametrize("granularity", ["weights", "channels"])
@pytest.mark.parametrize("axis", ["score", "sigma"])
def test_the_histograms_count_every_unit_or_weight_once(axis, granularity, network, amount):
    recipe = made(network, "magnitude", granularity, amount=amount)
    seen = look(BENCH, recipe, axis)
    model = BENCH.opened(network).model
    masks = masks_of(BENCH.ranking(recipe).groups, select(BENCH.ranking(recipe), amount), model)
    for row in seen.layers:
        assert row.kept.shape == row.pruned.shape == (BINS,) and row.low < row.high
        assert (row.kept >= 0).all() and (row.pruned >= 0).all()
        if row.why_not:
            assert row.units == row.pruned_units == 0
        if axis == "score":
            assert (row.kept.sum() + row.pruned.sum(), row.pruned.sum()) == (row.units, row.pruned_units)
        elif isinstance(model.get_submodule(row.name), (torch.nn.Linear, torch.nn.Conv2d)):
            weight = model.get_submodule(row.name).weight
            stays = masks.get(f"{row.name}.weight", torch.ones_like(weight, dtype=torch.bool))
            assert (row.kept.sum(), row.pruned.sum()) == (int(stays.sum()), int((~stays).sum()))
    own_rows = [row for row in seen.layers if row.row == row.name and not row.why_not]
    assert sum(row.pruned_units for row in own_rows) == seen.pruned
    assert sum(row.units for row in own_rows) == seen.units
    assert seen.asked >= seen.pruned


def test_the_cut_parts_what_is_pruned_from_what_stays():
    recipe = Recipe("conv", amount=Sparsity(0.5))
    seen = look(BENCH, recipe, "score")
    weights = torch.cat([BENCH.opened("conv").model[i].weight.detach().abs().flatten() for i in (0, 3, 7)])
    assert seen.cut == pytest.approx(float(weights.sort().values[156])) and (seen.asked, seen.pruned) == (156, 156)
    assert all(row.cuts == (seen.cut,) for row in seen.layers)
    for row in look(BENCH, recipe, "sigma").layers:
        sigma = float(BENCH.opened("conv").model.get_submodule(row.name).weight.detach().std(correction=0))
        assert row.cuts == pytest.approx((-seen.cut / sigma, seen.cut / sigma)) and (row.low, row.high) == (-4, 4)


def test_there_is_no_single_cut_where_there_are_several_pools():
    assert look(BENCH, Recipe("conv", scope=WithinLayer()), "score").cut is None
    assert look(BENCH, Recipe("conv", amount=Sparsity(0.0)), "score").cut is None
    assert look(BENCH, Recipe("conv", amount=PerLayer({"0": 0.1}, Sparsity(0.5))), "score").cut is not None


def test_a_cut_is_drawn_on_the_axis_of_weights_only_where_importance_is_their_size():
    for criterion, granularity in ((Taylor(), Weights()), (Magnitude(), Channels())):
        assert all(row.cuts == () for row in look(BENCH, Recipe("conv", criterion, granularity), "sigma").layers)


@pytest.mark.parametrize("granularity", ON_IMAGES)
def test_a_histogram_is_what_numpy_counts(granularity):
    recipe = made("conv", "magnitude", granularity, scope=WithinLayer(), amount=Sparsity(0.5))
    ranking = BENCH.ranking(recipe)
    masks = masks_of(ranking.groups, select(ranking, recipe.amount), BENCH.opened("conv").model)
    weight = BENCH.opened("conv").model[3].weight.detach().flatten(1).numpy()
    stays = masks["3.weight"].flatten(1).numpy()  # with channels also the columns that are pruned with the layer before
    row = next(row for row in look(BENCH, recipe, "sigma").layers if row.name == "3")
    for counts, part in ((row.kept, stays), (row.pruned, ~stays)):
        assert np.array_equal(counts, np.histogram((weight / weight.std())[part].clip(-4, 4), BINS, (-4, 4))[0])


def test_layers_kept_whole_coupled_and_protected_are_marked():
    recipe = Recipe("residual", Magnitude(), Channels(), WithinLayer(), Sparsity(0.5), keep_whole=("conv1",))
    rows = {row.name: row for row in look(BENCH, recipe, "score").layers}
    assert rows["conv1"].whole and rows["conv1"].pruned_units == 0 and rows["conv1"].units == 5
    assert (rows["conv2"].row, rows["project"].row, rows["stem"].row) == ("stem", "conv3", "stem")
    assert not rows["conv2"].whole
    coupled = replace(recipe, keep_whole=("stem",))
    assert {row.name for row in look(BENCH, coupled, "score").layers if row.whole} == {"stem", "conv2"}
    assert rows["conv2"].pruned_units == rows["stem"].pruned_units > 0
    assert "output" in rows["fc"].why_not and "norm" in rows["bn1"].why_not


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("axis", ["score", "sigma"])
def test_what_hangs_beside_layers_stays_and_says_why_unless_it_is_asked_for(axis, bare):
    lab = PreviewSession({"own": lambda: workload(lambda: seeded(OwnLayers), VECTOR)}, CPU)
    seen = look(lab, Recipe("own", Magnitude(), Weights(bare), WithinLayer(), Sparsity(0.5)), axis)
    row = next(row for row in seen.layers if row.name == "positions")
    assert (row.units, row.pruned_units, "bare_parameters" in row.why_not) == ((8, 4, False) if bare else (0, 0, True))
    drawn = 0 if axis == "score" and not bare else 8  # a weight that stays has a histogram of its values all the same
    assert (row.kept.sum() + row.pruned.sum(), row.pruned.sum()) == (drawn, 4 * bare)


@pytest.mark.parametrize("granularity", ["weights", "channels"])
def test_a_shared_weight_says_so(granularity):
    lab = PreviewSession({"tied": lambda: workload(lambda: seeded(Tied), VECTOR), "mlp": lambda: tiny("mlp")}, CPU)
    recipe = made("tied", "magnitude", granularity)
    if granularity == "channels":
        with pytest.raises(
            RecipeError, match=r"no channels in this network can be pruned \(first: its units meet values that no layer"
        ):
            look(lab, recipe, "score")
        return
    rows = {row.name: row for row in look(lab, recipe, "score").layers}
    assert "shares its weight with first" in rows["second"].why_not and rows["first"].units == 36


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("granularity", ["weights", "channels"])
def test_sizes_are_those_of_the_model_that_is_tried(granularity, network, scope):
    recipe = made(network, "magnitude", granularity, scope=SCOPES[scope](), amount=Sparsity(0.45))
    seen = look(BENCH, recipe, "score")
    real = costs(BENCH.trial(recipe_key(recipe)).model, tiny(network).example)
    assert (seen.parameters, seen.macs, seen.nonzero) == (real.parameters, real.macs, real.nonzero)
    assert abs(seen.bytes - real.bytes) <= 64 and seen.zero_before == 0


def recipe_key(recipe: Recipe) -> Recipe:
    return replace(recipe, schedule=replace(Recipe("m")).schedule, tuning=Tuning())


def test_zeros_that_were_there_before_are_counted():
    def build():
        model = tiny("mlp").build()
        model[0].weight.data[0].zero_()
        return model

    lab = PreviewSession({"zeros": lambda: workload(build, VECTOR)}, CPU)
    assert look(lab, Recipe("zeros", amount=Sparsity(0.0)), "score").zero_before == 6


def agree(lab: PreviewSession, work: Workload, recipe: Recipe) -> None:
    """The preview and the first cut of the run choose the same units and count the same costs."""
    _, result = carried_out(work, recipe)
    preview = lab.decision(recipe).keep
    assert preview.keys() == result.keep.keys()
    assert all(torch.equal(preview[name], result.keep[name]) for name in preview)
    while not (outcome := estimate(lab, recipe, 0.0)).estimate.measured:
        pass
    stage = result.stages["pruned"]
    assert outcome.estimate.score == pytest.approx(stage.validation, abs=1e-12)
    seen = look(lab, recipe, "score")
    assert (seen.parameters, seen.macs, seen.nonzero) == (stage.parameters, stage.macs, stage.nonzero)
    assert seen.pruned == sum(int((~stays).sum()) for stays in preview.values()) > 0


AT_A_STATE = {"change"}
"""Criteria that need something of the workload that the networks here have not."""


@pytest.mark.parametrize("criterion, granularity", [pair for pair in FITTING if pair[0] not in AT_A_STATE])
def test_the_preview_selects_what_the_run_does(criterion, granularity):
    quick = {f.name: 2 for f in fields(CRITERIA[criterion]) if f.name in ("steps", "rounds", "probes")}
    recipe = Recipe(
        granularity,
        CRITERIA[criterion](**quick),
        GRANULARITIES[granularity](),
        amount=Sparsity(0.6),
        tuning=Tuning(epochs=0),
    )
    if criterion == "synflow" and granularity.startswith("embedding"):
        with pytest.raises(PruningError, match=r"synflow sends ones through the network, and this one takes whole"):
            look(OWN, recipe, "score")
        return
    agree(OWN, tiny_for(granularity), recipe)


@pytest.mark.parametrize(
    "scope",
    [
        Global(),
        Global("mean"),
        Global("l2"),
        Global("max"),
        WithinLayer(),
        WithinRow(),
        WithinBlocks(),
        WithinBlocks(3),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "amount",
    [
        Sparsity(0.5),
        Threshold(0.1),
        RelativeThreshold(0.3),
        PerLayer({"0": 0.25}, Sparsity(0.5)),
        PerLayer({"0": 1.0}, RelativeThreshold(0.3)),
        Budget("parameters", 0.4),
        PerLayer({"4": 0.2}, Budget("parameters", 0.6)),
    ],
    ids=str,
)
def test_the_preview_selects_what_the_run_does_whatever_the_scope_and_amount(amount, scope):
    recipe = Recipe("conv_bn", Magnitude(), Weights(), scope, amount, tuning=Tuning(epochs=0))
    agree(BENCH, tiny("conv_bn", count=700), recipe)


@pytest.mark.parametrize("of", ["parameters", "bytes", "macs"])
def test_a_budget_is_met_in_the_preview_and_in_the_run(of):
    recipe = Recipe("conv_bn", Taylor(), Channels(), Global(), Budget(of, 0.6), tuning=Tuning(epochs=0))
    agree(BENCH, tiny("conv_bn", count=700), recipe)
    seen, dense = look(BENCH, recipe, "score"), BENCH.opened("conv_bn").view.costs
    assert 0.2 < getattr(seen, of) / getattr(dense, of) <= 0.6


@pytest.mark.parametrize("granularity", ON_IMAGES)
def test_an_estimate_sharpens_until_it_is_measured(granularity):
    recipe = made("conv", "magnitude", granularity, amount=Sparsity(0.55))
    outcomes = [estimate(BENCH, recipe, 0.0)]
    while not outcomes[-1].estimate.measured:
        outcomes.append(estimate(BENCH, recipe, 0.0))
    assert all(outcome.gzip_bytes is None for outcome in outcomes)  # it is looked for once the score is known
    while outcomes[-1].gzip_bytes is None:
        outcomes.append(estimate(BENCH, recipe, 0.0))
    seen = [outcome.estimate.samples for outcome in outcomes]
    assert seen == sorted(seen) and seen[0] == 100 and seen[-1] == 700
    assert outcomes[0].estimate.half_width > outcomes[-1].estimate.half_width == 0.0
    trial = BENCH.trial(recipe_key(recipe))
    work = tiny("conv", count=700)
    assert outcomes[-1].gzip_bytes == gzip_size(model_file(trial.model, sizes_between(work.build(), trial.model)))
    full = Evaluator(work.validation, work.task, CPU).score(trial.model)
    assert outcomes[-1].estimate.score == full
    assert outcomes[-1].estimate.change == pytest.approx(full - open_workload(BENCH, "conv").score, abs=1e-12)
    assert estimate(BENCH, recipe, 0.0) == outcomes[-1]


def test_the_gzip_size_is_found_beside_an_evaluation_that_takes_long(monkeypatch: pytest.MonkeyPatch):
    """Slices in turns: a file that takes long to pack does not keep the score waiting either."""
    monkeypatch.setattr(answers, "LONG_S", 0.0)
    monkeypatch.setattr(costs_of, "PACKED_AT_ONCE", 400)
    recipe = made("conv", "magnitude", "weights", amount=Sparsity(0.45))
    outcomes = [estimate(BENCH, recipe, 0.0) for _ in range(12)]
    samples, sizes = [outcome.estimate.samples for outcome in outcomes], [outcome.gzip_bytes for outcome in outcomes]
    assert samples[0] == samples[1] < samples[2] == samples[3] <= 700 and sizes[3] is None
    trial = BENCH.trial(recipe_key(recipe))
    assert sizes[-1] == gzip_size(model_file(trial.model, sizes_between(tiny("conv").build(), trial.model)))


def test_an_estimate_goes_on_where_it_was_whatever_the_tuning():
    recipe = Recipe("mlp", amount=Sparsity(0.35))
    first = estimate(BENCH, recipe, 0.0).estimate.samples
    later = replace(recipe, tuning=Tuning(epochs=7), schedule=Polynomial(4))
    assert estimate(BENCH, later, 0.0).estimate.samples > first


def test_a_sensitivity_map_goes_on_where_it_was_whatever_the_amount():
    recipe = Recipe("conv_bn", amount=Sparsity(0.35))
    first = sensitivity(BENCH, recipe, (0.5, 0.9), 0.0, None, (0, 1), 0.0)
    later = replace(recipe, amount=Sparsity(0.9), schedule=Polynomial(4))
    while not (sensed := sensitivity(BENCH, later, (0.5, 0.9), 0.0, None, (0, 1), 0.05)).done:
        assert sensed.spent > first.spent
    assert sensed.spent == 2 * 700 * len(sensed.rows)
    assert sensed.dense == open_workload(BENCH, "conv_bn").score


def test_parts_of_a_map_are_its_rows_dealt_out():
    recipe = Recipe("residual")
    parts = [sensitivity(BENCH, recipe, (0.5,), 0.0, None, (i, 4), 60.0) for i in range(4)]
    whole = sensitivity(BENCH, recipe, (0.5,), 0.0, None, (0, 1), 60.0)
    assert [len(part.rows) for part in parts] == [2, 2, 1, 1]
    assert replace(merged(parts), seconds=0.0) == replace(whole, seconds=0.0)


def test_the_dense_model_is_untouched_by_all_of_it():
    model = BENCH.opened("residual").model
    before = copy.deepcopy(model.state_dict())
    for granularity in ON_IMAGES:
        recipe = made("residual", "taylor", granularity, amount=Sparsity(0.9))
        look(BENCH, recipe, "sigma")
        estimate(BENCH, recipe, 0.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not model.training and all(p.grad is None for p in model.parameters())


def test_one_sort_serves_every_position_of_a_slider():
    recipes = [Recipe("mlp", Random(), amount=amount) for amount in (Sparsity(0.1), Sparsity(0.9), Threshold(0.5))]
    assert len({id(BENCH.ranking(recipe)) for recipe in recipes}) == 1
    apart = Recipe("mlp", Random(), amount=PerLayer({"2": 0.1}))
    assert BENCH.ranking(apart) is not BENCH.ranking(recipes[0])
    assert BENCH.ranking(apart) is BENCH.ranking(replace(apart, amount=PerLayer({"2": 0.2}, Threshold(1.0))))


def test_a_share_of_one_by_hand_empties_the_layer_in_the_preview_too():
    recipe = Recipe("mlp", amount=PerLayer({"2": 1.0}))
    rows = {row.name: row.pruned_units for row in look(BENCH, recipe, "score").layers}
    assert rows == {"0": 0, "2": 20, "4": 0}
    with pytest.raises(RecipeError, match=r"amount.shares.0 is 1.0, but one of its channels at least has to stay"):
        look(BENCH, Recipe("mlp", Magnitude(), Channels(), Global(), PerLayer({"0": 1.0})), "score")


def test_a_relative_threshold_has_a_ranking_of_its_own_that_serves_all_shares():
    plain = Recipe("mlp", Magnitude())
    one, two = (replace(plain, amount=RelativeThreshold(share)) for share in (0.1, 0.7))
    assert BENCH.ranking(one) is BENCH.ranking(two) is not BENCH.ranking(plain)
    assert [len(pools.names) for pools in BENCH.ranking(one).pools] == [1, 1, 1]


def test_a_budget_shares_the_ranking_of_a_sparsity_and_is_settled_once():
    recipe = Recipe("mlp", Magnitude(), amount=Budget("parameters", 0.5))
    assert BENCH.ranking(recipe) is BENCH.ranking(replace(recipe, amount=Sparsity(0.5)))
    assert BENCH.decision(recipe) is BENCH.decision(replace(recipe, tuning=Tuning(epochs=9)))
    # of 74 parameters 12 are biases: 37 left are 25 weights, so that 37 of 62 are pruned
    assert look(BENCH, recipe, "score").pruned == 37


def test_a_budget_that_cannot_be_met_is_said_in_a_sentence():
    with pytest.raises(RecipeError, match=r"amount\.share is 0\.1 of the parameters, and with one unit in each layer"):
        look(BENCH, Recipe("mlp", amount=Budget("parameters", 0.1)), "score")


def weights_of(network: str) -> torch.Tensor:
    model = BENCH.opened(network).model
    return torch.cat([model.get_parameter(row.param).detach().abs().flatten() for row in prunable_weights(model)])


def test_the_threshold_slider_goes_from_the_lowest_score_to_where_one_unit_in_500_lies_above():
    low, high = score_range(BENCH, Recipe("residual"))
    weights = weights_of("residual")
    assert low == float(weights.min()) and 0 < int((weights > high).sum()) <= len(weights) / 500 + 1


def test_the_threshold_slider_has_the_units_that_scores_are_compared_in():
    model = BENCH.opened("residual").model
    relative = torch.cat([(w := model.get_parameter(row.param).detach().abs()).flatten() / w.max()
                          for row in prunable_weights(model)])  # fmt: skip
    low, high = score_range(BENCH, Recipe("residual", scope=Global("max")))
    assert low == pytest.approx(float(relative.min())) and 0.9 < high <= 1.0
    share = look(BENCH, Recipe("residual", scope=Global("max"), amount=Threshold(0.5)), "score").pruned
    assert share == int((relative < 0.5).sum())


def test_scores_below_zero_have_a_threshold_slider_too():
    low, high = score_range(BENCH, Recipe("mlp", Largest()))
    weights = weights_of("mlp")
    assert (low, high) == (-float(weights.max()), -float(weights.min()))
    seen = look(BENCH, Recipe("mlp", Largest(), amount=Threshold((low + high) / 2)), "score")
    assert seen.pruned == int((-weights < (low + high) / 2).sum()) and 0 < seen.pruned < seen.units
    for row in seen.layers:
        assert row.low <= low and row.high >= 0 and row.kept.sum() + row.pruned.sum() == row.units


def test_shares_of_layers_by_rule_are_a_start_for_ones_own():
    recipe = Recipe("mlp")
    assert allocation(BENCH, recipe, "uniform", 0.7) == {"0": 0.7, "2": 0.7, "4": 0.7}
    shapes = {"0.weight": (5, 6), "2.weight": (4, 5), "4.weight": (3, 4)}
    groups = list(BENCH.ranking(recipe).groups)
    shares = allocation(BENCH, recipe, "erk", 0.7)
    assert shares == erk(groups, shapes, 0.7)
    assert look(BENCH, replace(recipe, amount=PerLayer(shares)), "score").pruned == round(0.7 * 62)
    assert allocation(BENCH, replace(recipe, keep_whole=("0",)), "uniform", 0.7).keys() == {"2", "4"}


@pytest.mark.parametrize("granularity", ["weights", "channels"])
def test_a_repaired_cut_scores_what_the_run_measures_of_it(granularity):
    recipe = made(
        "conv_bn",
        "magnitude",
        granularity,
        amount=Sparsity(0.4),
        repair=LeastSquares(samples=64),
        tuning=Tuning(epochs=0),
    )
    seen = estimate_repaired(BENCH, recipe, 60.0)
    _, result = carried_out(tiny("conv_bn", count=700), recipe)
    assert seen.estimate.measured and seen.estimate.score == pytest.approx(result.stages["repaired"].validation)
    assert seen.seconds > 0 and seen.helped and seen.left == {}
    assert estimate_repaired(BENCH, recipe, 0.0).estimate == seen.estimate


def test_a_repaired_cut_is_evaluated_on_more_samples_at_every_call():
    bench = PreviewSession({"conv_bn": lambda: tiny("conv_bn", count=5000)}, CPU)
    recipe = made("conv_bn", "magnitude", "weights", amount=Sparsity(0.4), repair=LeastSquares(samples=64))
    while isinstance(first := estimate_repaired(bench, recipe, 0.0), Repairing):
        assert first.seconds_left >= 0
    assert first.estimate.samples < 5000 and first.estimate.half_width > 0
    assert estimate_repaired(bench, recipe, 0.0).estimate.samples > first.estimate.samples


def test_one_decision_serves_all_repairs():
    recipe = made("mlp", "magnitude", "weights", amount=Sparsity(0.4))
    assert BENCH.decision(recipe) is BENCH.decision(replace(recipe, repair=LeastSquares()))
    assert BENCH.trial(recipe) is BENCH.trial(replace(recipe, repair=LeastSquares()))


def test_units_are_shown_as_they_lie_each_group_once():
    recipe = made("residual", "magnitude", "channels", scope=WithinLayer(), amount=Sparsity(0.5))
    shown = units(BENCH, recipe, ["conv2", "stem", "conv1"])
    keep = select(BENCH.ranking(recipe), recipe.amount)
    assert [view.layer for view in shown] == ["stem", "conv1"]
    for view in shown:
        assert view.scores.dtype == np.float32 and np.array_equal(view.pruned, ~keep[view.layer].numpy())
    kernels = units(BENCH, made("residual", "magnitude", "kernels"), ["conv1"])[0]
    weight = BENCH.opened("residual").model.conv1.weight.detach()
    assert kernels.scores.shape == (5, 4)
    assert np.allclose(kernels.scores, weight.abs().sum(dim=(2, 3)).numpy(), atol=1e-6)


def test_units_kept_whole_have_not_been_pruned_and_a_layer_without_units_is_named():
    recipe = made("residual", "magnitude", "channels", amount=Sparsity(0.5), keep_whole=("conv1",))
    assert not units(BENCH, recipe, ["conv1"])[0].pruned.any()
    with pytest.raises(RecipeError, match="fc has no channels that may be pruned; choose another layer"):
        units(BENCH, recipe, ["fc"])


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_every_row_has_units_or_says_why_not(granularity):
    recipe = Recipe(granularity, Magnitude(), GRANULARITIES[granularity](), amount=Sparsity(0.5))
    seen = look(OWN, recipe, "score")
    groups = {group.name: group.units for group in OWN.ranking(recipe).groups}
    assert {row.row for row in seen.layers if not row.why_not} == groups.keys()
    for row in seen.layers:  # a row of a block holds that one unit of its group
        assert row.why_not or row.units == (1 if row.of_several else groups[row.row])
    assert any(row.of_several for row in seen.layers) == (granularity == "layers")
    assert all(len(row.why_not) > 20 for row in seen.layers if row.row not in groups)
    pruned = {row.row: max(r.pruned_units for r in seen.layers if r.row == row.row) for row in seen.layers}
    assert sum(pruned.values()) == seen.pruned == round(seen.units / 2)


def test_an_unknown_workload_is_answered_with_the_known_ones():
    with pytest.raises(RecipeError, match="workload is 'alexnet'; use one of concatenated, conv, conv_bn,"):
        open_workload(BENCH, "alexnet")


def test_a_map_that_the_worker_could_not_keep_is_refused_with_a_sentence(monkeypatch):
    monkeypatch.setattr("pruning.interactive.session.CACHE_BYTES", 2**20)
    with pytest.raises(PatienceError, match=r"takes up to 0\.4 GiB .* python -m pruning sensitivity"):
        sensitivity(PreviewSession({"tiny": lambda: tiny("mlp")}, CPU), Recipe("tiny"), (0.5,), 0.0, None, (0, 1), 0.0)
