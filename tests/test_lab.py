"""What the page is told while a slider moves, against plain recomputation and against the run that follows."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from pruning.amounts import PerLayer, Sparsity, Threshold
from pruning.answers import BINS
from pruning.costs import costs, file_bytes, gzip_size
from pruning.criteria import CRITERIA, Magnitude, Random, Taylor
from pruning.errors import RecipeError
from pruning.granularities import GRANULARITIES, Channels, Weights
from pruning.lab import Lab, estimate, highest_score, look, open_workload
from pruning.measure import judge_all
from pruning.recipe import Recipe
from pruning.schedules import Polynomial
from pruning.scopes import SCOPES, Global, Layer
from pruning.select import select
from pruning.tuning import Tuning
from pruning.units import masks_of
from tests.networks import CPU, NETWORKS, VECTOR, Tied, carried_out, seeded, tiny, workload

BENCH = Lab({name: (lambda name=name: tiny(name, count=700)) for name in NETWORKS}, CPU)
FITTING = [(c, g) for c in CRITERIA for g in GRANULARITIES if g in CRITERIA[c].fits]


def made(network: str, criterion: str, granularity: str, **how) -> Recipe:
    return Recipe(network, CRITERIA[criterion](), GRANULARITIES[granularity](), **how)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_workload_is_shown_as_it_is(network):
    view, work = open_workload(BENCH, network), tiny(network, count=700)
    assert view.score == pytest.approx(
        float(judge_all(work.build(), work.validation, work.task, CPU)[0].mean()), abs=1e-6
    )
    assert (view.samples, view.classes, view.data) == (700, ("a", "b", "c"), "three clouds")
    assert view.costs == costs(work.build(), work.example)
    assert sum(layer.parameters for layer in view.layers) == view.costs.parameters


@pytest.mark.parametrize(
    "amount", [Sparsity(0.0), Sparsity(0.4), Sparsity(1.0), Threshold(0.2), PerLayer({}, Sparsity(0.7))]
)
@pytest.mark.parametrize("network", ["mlp", "residual"])
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("axis", ["score", "sigma"])
def test_the_histograms_count_every_unit_or_weight_once(axis, granularity, network, amount):
    recipe = made(network, "magnitude", granularity, amount=amount)
    seen = look(BENCH, recipe, axis)
    model = BENCH.opened(network).model
    masks = masks_of(BENCH.ranking(recipe).groups, select(BENCH.ranking(recipe), amount), model)
    for row in seen.layers:
        assert row.kept.shape == row.fallen.shape == (BINS,) and row.low < row.high
        assert (row.kept >= 0).all() and (row.fallen >= 0).all()
        if row.why_not:
            assert row.units == row.fallen_units == 0
        if axis == "score":
            assert (row.kept.sum() + row.fallen.sum(), row.fallen.sum()) == (row.units, row.fallen_units)
        elif isinstance(model.get_submodule(row.name), (torch.nn.Linear, torch.nn.Conv2d)):
            weight = model.get_submodule(row.name).weight
            stays = masks.get(f"{row.name}.weight", torch.ones_like(weight, dtype=torch.bool))
            assert (row.kept.sum(), row.fallen.sum()) == (int(stays.sum()), int((~stays).sum()))
    own_rows = [row for row in seen.layers if row.row == row.name and not row.why_not]
    assert sum(row.fallen_units for row in own_rows) == seen.fallen
    assert sum(row.units for row in own_rows) == seen.units
    assert seen.asked >= seen.fallen


def test_the_cut_parts_what_falls_from_what_stays():
    recipe = Recipe("conv", amount=Sparsity(0.5))
    seen = look(BENCH, recipe, "score")
    weights = torch.cat([BENCH.opened("conv").model[i].weight.detach().abs().flatten() for i in (0, 3, 7)])
    assert seen.cut == pytest.approx(float(weights.sort().values[156])) and (seen.asked, seen.fallen) == (156, 156)
    assert all(row.cuts == (seen.cut,) for row in seen.layers)
    for row in look(BENCH, recipe, "sigma").layers:
        sigma = float(BENCH.opened("conv").model.get_submodule(row.name).weight.detach().std(correction=0))
        assert row.cuts == pytest.approx((-seen.cut / sigma, seen.cut / sigma)) and (row.low, row.high) == (-4, 4)


def test_there_is_no_single_cut_where_there_are_several_pools():
    assert look(BENCH, Recipe("conv", scope=Layer()), "score").cut is None
    assert look(BENCH, Recipe("conv", amount=Sparsity(0.0)), "score").cut is None
    assert look(BENCH, Recipe("conv", amount=PerLayer({"0": 0.1}, Sparsity(0.5))), "score").cut is not None


def test_a_cut_is_drawn_on_the_axis_of_weights_only_where_importance_is_their_size():
    for criterion, granularity in ((Taylor(), Weights()), (Magnitude(), Channels())):
        assert all(row.cuts == () for row in look(BENCH, Recipe("conv", criterion, granularity), "sigma").layers)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_a_histogram_is_what_numpy_counts(granularity):
    recipe = made("conv", "magnitude", granularity, scope=Layer(), amount=Sparsity(0.5))
    ranking = BENCH.ranking(recipe)
    masks = masks_of(ranking.groups, select(ranking, recipe.amount), BENCH.opened("conv").model)
    weight = BENCH.opened("conv").model[3].weight.detach().flatten(1).numpy()
    stays = masks["3.weight"].flatten(1).numpy()  # with channels also the columns that fall with the layer before
    row = next(row for row in look(BENCH, recipe, "sigma").layers if row.name == "3")
    for counts, part in ((row.kept, stays), (row.fallen, ~stays)):
        assert np.array_equal(counts, np.histogram((weight / weight.std())[part].clip(-4, 4), BINS, (-4, 4))[0])


def test_layers_kept_whole_coupled_and_protected_are_marked():
    recipe = Recipe("residual", Magnitude(), Channels(), Layer(), Sparsity(0.5), keep_whole=("conv1",))
    rows = {row.name: row for row in look(BENCH, recipe, "score").layers}
    assert rows["conv1"].whole and rows["conv1"].fallen_units == 0 and rows["conv1"].units == 5
    assert (rows["conv2"].row, rows["project"].row, rows["stem"].row) == ("stem", "conv3", "stem")
    assert not rows["conv2"].whole
    coupled = replace(recipe, keep_whole=("stem",))
    assert {row.name for row in look(BENCH, coupled, "score").layers if row.whole} == {"stem", "conv2"}
    assert rows["conv2"].fallen_units == rows["stem"].fallen_units > 0
    assert "output" in rows["fc"].why_not and "norm" in rows["bn1"].why_not


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_a_shared_weight_says_so(granularity):
    lab = Lab({"tied": lambda: workload(lambda: seeded(Tied), VECTOR), "mlp": lambda: tiny("mlp")}, CPU)
    recipe = made("tied", "magnitude", granularity)
    if granularity == "channels":
        with pytest.raises(RecipeError, match="nothing is left to prune"):
            look(lab, recipe, "score")
        return
    rows = {row.name: row for row in look(lab, recipe, "score").layers}
    assert "shares its weight with first" in rows["second"].why_not and rows["first"].units == 36


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_sizes_are_those_of_the_model_that_is_tried(granularity, network, scope):
    recipe = made(network, "magnitude", granularity, scope=SCOPES[scope](), amount=Sparsity(0.45))
    seen = look(BENCH, recipe, "score")
    real = costs(BENCH.trials(recipe_key(recipe)).model, tiny(network).example)
    assert (seen.parameters, seen.macs, seen.nonzero) == (real.parameters, real.macs, real.nonzero)
    assert abs(seen.bytes - real.bytes) <= 64 and seen.zero_before == 0


def recipe_key(recipe: Recipe) -> Recipe:
    return replace(recipe, schedule=replace(Recipe("m")).schedule, tuning=Tuning())


def test_zeros_that_were_there_before_are_counted():
    def build():
        model = tiny("mlp").build()
        model[0].weight.data[0].zero_()
        return model

    lab = Lab({"zeros": lambda: workload(build, VECTOR)}, CPU)
    assert look(lab, Recipe("zeros", amount=Sparsity(0.0)), "score").zero_before == 6


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("criterion, granularity", FITTING)
def test_the_preview_selects_what_the_run_does(criterion, granularity, scope):
    recipe = made(
        "conv_bn", criterion, granularity, scope=SCOPES[scope](), amount=Sparsity(0.6), tuning=Tuning(epochs=0)
    )
    _, result = carried_out(tiny("conv_bn", count=700), recipe)
    preview = select(BENCH.ranking(recipe), recipe.amount)
    assert preview.keys() == result.keep.keys()
    assert all(torch.equal(preview[name], result.keep[name]) for name in preview)
    while not (outcome := estimate(BENCH, recipe, 0.0)).estimate.measured:
        pass
    assert outcome.estimate.score == pytest.approx(result.stages["pruned"].validation, abs=1e-12)
    seen = look(BENCH, recipe, "score")
    stage = result.stages["pruned"]
    assert (seen.parameters, seen.macs, seen.nonzero) == (stage.parameters, stage.macs, stage.nonzero)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_an_estimate_sharpens_until_it_is_measured(granularity):
    recipe = made("conv", "magnitude", granularity, amount=Sparsity(0.55))
    outcomes = [estimate(BENCH, recipe, 0.0)]
    while not outcomes[-1].estimate.measured:
        outcomes.append(estimate(BENCH, recipe, 0.0))
    assert [outcome.estimate.samples for outcome in outcomes] == [250, 700]
    assert outcomes[0].estimate.half_width > outcomes[1].estimate.half_width == 0.0
    assert outcomes[0].gzip_bytes is None
    trial = BENCH.trials(recipe_key(recipe))
    assert outcomes[1].gzip_bytes == gzip_size(file_bytes(trial.model.state_dict()))
    work = tiny("conv", count=700)
    full = float(judge_all(trial.model, work.validation, work.task, CPU)[0].double().mean())
    assert outcomes[1].estimate.score == full
    assert outcomes[1].estimate.change == pytest.approx(full - open_workload(BENCH, "conv").score, abs=1e-12)
    assert estimate(BENCH, recipe, 0.0) == outcomes[1]


def test_an_estimate_goes_on_where_it_was_whatever_the_tuning():
    recipe = Recipe("mlp", amount=Sparsity(0.35))
    estimate(BENCH, recipe, 0.0)
    later = replace(recipe, tuning=Tuning(epochs=7), schedule=Polynomial(4))
    assert estimate(BENCH, later, 0.0).estimate.measured


def test_the_dense_model_is_untouched_by_all_of_it():
    model = BENCH.opened("residual").model
    before = copy.deepcopy(model.state_dict())
    for granularity in GRANULARITIES:
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
    rows = {row.name: row.fallen_units for row in look(BENCH, recipe, "score").layers}
    assert rows == {"0": 0, "2": 20, "4": 0}
    with pytest.raises(RecipeError, match=r"amount.shares.0 is 1.0, but a layer without channels cannot run"):
        look(BENCH, Recipe("mlp", Magnitude(), Channels(), Global(), PerLayer({"0": 1.0})), "score")


def test_the_threshold_slider_ends_where_one_unit_in_500_lies_above():
    top = highest_score(BENCH, Recipe("residual"))
    weights = torch.cat([m.weight.detach().abs().flatten() for m in BENCH.opened("residual").model.modules()
                         if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))])  # fmt: skip
    assert 0 <= int((weights > top).sum()) <= len(weights) / 500


def test_an_unknown_workload_is_answered_with_the_known_ones():
    with pytest.raises(RecipeError, match="workload is 'alexnet'; use one of concatenated, conv, conv_bn,"):
        open_workload(BENCH, "alexnet")
