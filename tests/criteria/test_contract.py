"""What every criterion owes, over whatever stands in the tables: a new row is covered without a new file."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pruning.calibration import Calibration
from pruning.criteria import CRITERIA, unit_scores
from pruning.errors import RecipeError, WorkloadError
from pruning.granularities import GRANULARITIES, Weights
from pruning.opening import open_model
from pruning.recipe import Recipe
from pruning.scopes import SCOPES
from pruning.tuning import Tuning
from pruning.units import UnitGroup
from tests.networks import CPU, NETWORKS, carried_out, tiny

PAIRS = [(c, g) for c in CRITERIA for g in GRANULARITIES]
FITTING = [(c, g) for c, g in PAIRS if g in CRITERIA[c].fits]


def scored(criterion: str, granularity: str, network: str, seed: int = 0) -> tuple[list[UnitGroup], dict[str, Tensor]]:
    work = tiny(network, count=64)
    model = open_model(work, CPU)
    groups = GRANULARITIES[granularity]().groups(model, work.example)
    return groups, unit_scores(CRITERIA[criterion](), model, groups, Calibration(work, CPU, seed))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("criterion, granularity", FITTING)
def test_every_unit_has_one_finite_float32_score_that_the_seed_decides(criterion, granularity, network):
    groups, scores = scored(criterion, granularity, network)
    assert scores.keys() == {group.name for group in groups}
    for group in groups:
        assert scores[group.name].shape == (group.units,)
        assert scores[group.name].dtype == torch.float32 and scores[group.name].device == CPU
        assert bool(scores[group.name].isfinite().all())
    _, again = scored(criterion, granularity, network)
    assert all(torch.equal(scores[name], again[name]) for name in scores)


@pytest.mark.parametrize("network", ["conv_bn", "residual"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("criterion, granularity", FITTING)
def test_the_model_comes_back_bitwise_as_it_was(criterion, granularity, training, network):
    work = tiny(network, count=64)
    model = open_model(work, CPU)
    groups = GRANULARITIES[granularity]().groups(model, work.example)
    model.train(training)
    before = copy.deepcopy(model.state_dict())
    draws = torch.get_rng_state()
    unit_scores(CRITERIA[criterion](), model, groups, Calibration(work, CPU))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(module.training is training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert torch.equal(draws, torch.get_rng_state())


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("criterion, granularity", PAIRS)
def test_a_run_ends_with_a_smaller_or_sparser_model_or_the_rule_is_said(criterion, granularity, scope):
    def made() -> Recipe:
        return Recipe("conv", CRITERIA[criterion](), GRANULARITIES[granularity](), SCOPES[scope]())

    if granularity not in CRITERIA[criterion].fits:
        with pytest.raises(
            RecipeError, match=f"criterion {criterion} does not score {granularity}: choose granularity"
        ):
            made()
        return
    _, result = carried_out(tiny("conv", count=64), replace(made(), tuning=Tuning(epochs=0)))
    assert result.stages["pruned"].nonzero < result.stages["dense"].nonzero


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_says_what_it_is(criterion):
    made = CRITERIA[criterion]
    assert made.formula and made.source and made.cost and made.__doc__
    assert made.fits and set(made.fits) <= GRANULARITIES.keys()
    assert hash(made()) == hash(made()) and made() == made()


class Broken:
    """Raises, or gives a score that is NaN."""

    formula = source = cost = ""
    fits = ("weights",)

    def __init__(self, raises: bool) -> None:
        self.raises = raises

    def score(self, model: nn.Module, groups: Sequence[UnitGroup], calibration: Calibration) -> dict[str, Tensor]:
        if self.raises:
            raise ZeroDivisionError
        return {group.name: torch.full((group.units,), torch.nan) for group in groups}


def test_scores_that_are_not_finite_name_the_layer():
    work = tiny("mlp")
    model = open_model(work, CPU)
    groups = Weights().groups(model, work.example)[1:]
    with pytest.raises(WorkloadError, match=r"2: broken gave scores that are NaN or infinite"):
        unit_scores(Broken(raises=False), model, groups, Calibration(work, CPU))


def test_the_training_flag_is_restored_also_after_an_error():
    work = tiny("mlp")
    model = open_model(work, CPU).train()
    with pytest.raises(ZeroDivisionError):
        unit_scores(Broken(raises=True), model, [], Calibration(work, CPU))
    assert model.training
