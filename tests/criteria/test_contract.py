"""What every criterion owes, over whatever stands in the tables: a new row is covered without a new file."""

import contextlib
import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pruning.criteria import ANY, CRITERIA, Criterion, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import RecipeError, WorkloadError
from pruning.events import Masked
from pruning.granularities import GRANULARITIES, Weights
from pruning.model.layer_types import PRUNABLE
from pruning.model.preparation import open_model
from pruning.model.units import Keep, UnitGroup
from pruning.pipeline.eligibility import scorable_groups
from pruning.recipe.compatibility import fits
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.selection.amounts import Sparsity
from pruning.selection.scopes import Global, WithinLayer
from pruning.training.schedules import Linear, OneShot
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.every_granularity import tiny_for
from tests.networks import CPU, NETWORKS, carried_out, tiny

PAIRS = [(c, g) for c in CRITERIA for g in GRANULARITIES]
FITTING = [(c, g) for c, g in PAIRS if fits(CRITERIA[c], g)]
QUICKLY = {"movement": {"steps": 3}, "attribution": {"steps": 2}, "optimal_brain_damage": {"probes": 2}}


def made(criterion: str) -> Criterion:
    """The criterion, with less to do where its default takes long."""
    return CRITERIA[criterion](**QUICKLY.get(criterion, {}))


def groups_of(criterion: str, granularity: str, work: Workload) -> tuple[nn.Module, list[UnitGroup]]:
    model = open_model(work, CPU)
    return model, scorable_groups(made(criterion), GRANULARITIES[granularity](), model, work.example)[0]


def scored(criterion: str, granularity: str, work: Workload) -> tuple[list[UnitGroup], dict[str, Tensor]]:
    model, groups = groups_of(criterion, granularity, work)
    return groups, unit_scores(made(criterion), model, groups, Calibration(work, CPU, 0))


def check_scores(criterion: str, granularity: str, work: Workload) -> None:
    groups, scores = scored(criterion, granularity, work)
    assert scores.keys() == {group.name for group in groups}
    for group in groups:
        assert scores[group.name].shape == (group.units,)
        assert scores[group.name].dtype == torch.float32 and scores[group.name].device == CPU
        assert bool(scores[group.name].isfinite().all())
    _, again = scored(criterion, granularity, work)
    assert all(torch.equal(scores[name], again[name]) for name in scores)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("criterion, granularity", [(c, g) for c, g in FITTING if g in ("weights", "channels")])
def test_every_unit_has_one_finite_float32_score_that_the_seed_decides(criterion, granularity, network):
    check_scores(criterion, granularity, tiny(network, count=64))


@pytest.mark.parametrize("criterion, granularity", FITTING)
def test_units_of_every_granularity_are_scored_or_a_sentence_says_why_not(criterion, granularity):
    """On a network that has such units; a criterion may say of the whole network that it cannot score it."""
    work = tiny_for(granularity)
    try:
        check_scores(criterion, granularity, work)
    except (RecipeError, WorkloadError) as error:
        assert (criterion, granularity) in SAID, error
        assert len(str(error)) > 30 and "\n" not in str(error)
    else:
        assert (criterion, granularity) not in SAID


# numbers of words cannot be an input of ones
SAID = {("synflow", g) for g in ("embedding_rows", "embedding_dimensions")}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("criterion, granularity", FITTING)
def test_the_model_comes_back_bitwise_as_it_was(criterion, granularity, training):
    check_untouched(criterion, granularity, training, tiny_for(granularity))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_residual_network_comes_back_bitwise_as_it_was(criterion):
    granularity = next(g for c, g in FITTING if c == criterion)
    check_untouched(criterion, granularity, True, tiny("residual", count=64))


def check_untouched(criterion: str, granularity: str, training: bool, work: Workload) -> None:
    model, groups = groups_of(criterion, granularity, work)
    model.train(training)
    next(model.children()).eval()  # a part that was frozen in its own mode stays in it
    modes = [module.training for module in model.modules()]
    before = copy.deepcopy(model.state_dict())
    draws = torch.get_rng_state()
    # only what is known to say no may do so, and then it leaves nothing behind either
    with pytest.raises(RecipeError) if (criterion, granularity) in SAID else contextlib.nullcontext():
        unit_scores(made(criterion), model, groups, Calibration(work, CPU))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert [module.training for module in model.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert torch.equal(draws, torch.get_rng_state())


@pytest.mark.parametrize("criterion, granularity", [pair for pair in FITTING if pair not in SAID])
def test_a_run_in_two_rounds_ends_with_fewer_units_and_none_comes_back(criterion, granularity):
    recipe = Recipe(granularity, made(criterion), GRANULARITIES[granularity](), Global("mean"), Sparsity(0.6))
    recipe = replace(recipe, schedule=Linear(2), tuning=Tuning(epochs=0))
    events, result = carried_out(tiny_for(granularity), recipe)
    first, second = (event for event in events if isinstance(event, Masked))
    assert first.pruned < second.pruned == sum(int((~stays).sum()) for stays in result.keep.values())
    assert all(second.kept[name] <= first.kept[name] for name in first.kept)
    assert result.stages["tuned"].nonzero < result.stages["dense"].nonzero


WITHOUT_DATA = [c for c in CRITERIA if "no pass over data" in CRITERIA[c].cost]

DIFFER_IN_ROUNDS = {
    "distribution": "μ and σ are those of the live weights and move when some are pruned",
    "geometric_median": "a filter that has been pruned is nobody's neighbour: the sums of distances lose a term",
}
"""Criteria whose formula itself looks at which other units of the layer are live."""


def in_rounds_and_at_once(criterion: str, granularity: str, network: str, only: str = "") -> tuple[Keep, Keep]:
    """What stays of `only` this layer, or of all, after 3 rounds without tuning and after one cut."""
    recipe = Recipe(network, CRITERIA[criterion](), GRANULARITIES[granularity](), WithinLayer(), Sparsity(0.6))
    work = tiny(network, count=64)
    groups = groups_of(criterion, granularity, work)[1]
    whole = frozenset(member for group in groups for member in group.members if only and only not in group.members)
    recipe = replace(recipe, keep_whole=whole, tuning=Tuning(epochs=0))
    rounds, once = (carried_out(work, replace(recipe, schedule=how))[1].keep for how in (Linear(3), OneShot()))
    assert all(not stays.all() for stays in once.values())
    return rounds, once


ONE_LAYER = [("weights", "4"), ("kernels", "4"), ("channels", "0"), ("channels", "4")]


@pytest.mark.parametrize(
    "criterion, granularity, only",
    [(c, g, only) for c in WITHOUT_DATA for g, only in ONE_LAYER if c not in DIFFER_IN_ROUNDS and fits(CRITERIA[c], g)],
)
def test_units_that_have_been_pruned_do_not_change_the_order_of_the_live_ones_of_their_layer(
    criterion, granularity, only
):
    rounds, once = in_rounds_and_at_once(criterion, granularity, "conv_bn", only)
    assert rounds.keys() == once.keys() and all(torch.equal(rounds[name], once[name]) for name in once)


NOT_ALL_LAYERS = {
    "synflow": "what flows through a weight depends on which weights of the layers before and behind it are live",
    "batchnorm_scale": "it does not score weights",
}


@pytest.mark.parametrize("criterion", [c for c in WITHOUT_DATA if c not in (*DIFFER_IN_ROUNDS, *NOT_ALL_LAYERS)])
def test_weights_that_have_been_pruned_do_not_change_the_order_of_live_ones_of_any_layer(criterion):
    rounds, once = in_rounds_and_at_once(criterion, "weights", "conv_bn")
    assert len(once) == 3 and all(torch.equal(rounds[name], once[name]) for name in once)


def test_what_differs_in_rounds_is_a_criterion_without_data():
    assert DIFFER_IN_ROUNDS.keys() < set(WITHOUT_DATA)
    assert len(WITHOUT_DATA) == 10


@pytest.mark.parametrize("criterion, granularity", [pair for pair in PAIRS if pair not in FITTING])
def test_a_criterion_that_does_not_score_such_units_says_which_it_does(criterion, granularity):
    with pytest.raises(RecipeError, match=f"{criterion} scores .*, not .*: choose granularity"):
        Recipe("conv", made(criterion), GRANULARITIES[granularity]())


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_says_what_it_is(criterion):
    row = CRITERIA[criterion]
    assert row.formula and row.source and row.cost and row.__doc__
    assert row.fits == ANY or (row.fits and set(row.fits) <= GRANULARITIES.keys())
    assert row.layers and set(row.layers) <= set(PRUNABLE)
    assert hash(row()) == hash(row()) and row() == row()
    assert from_json(to_json(recipe_of(row))).criterion == row()


def recipe_of(row: type[Criterion]) -> Recipe:
    fitting = next(g for g in GRANULARITIES if fits(row, g))
    return Recipe("conv", row(), GRANULARITIES[fitting]())


class Broken:
    """Raises, or gives a score that is NaN."""

    formula = source = cost = ""
    fits = ("weights",)
    layers = PRUNABLE

    def __init__(self, raises: bool) -> None:
        self.raises = raises

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        if self.raises:
            raise ZeroDivisionError
        return {group.name: torch.full((group.units,), torch.nan) for group in groups}


def test_scores_that_are_not_finite_name_the_layer():
    work = tiny("mlp")
    model = open_model(work, CPU)
    groups = Weights().sorted_out(model, work.example)[0][1:]
    with pytest.raises(WorkloadError, match=r"2: broken gave scores that are NaN or infinite"):
        unit_scores(Broken(raises=False), model, groups, Calibration(work, CPU))


def test_the_training_flag_is_restored_also_after_an_error():
    work = tiny("mlp")
    model = open_model(work, CPU).train()
    with pytest.raises(ZeroDivisionError):
        unit_scores(Broken(raises=True), model, [], Calibration(work, CPU))
    assert model.training
