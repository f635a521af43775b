"""Every repair with every granularity and every criterion: it runs, and what is pruned stays so; or it says why not."""

import pytest
import torch
from torch import nn

from pruning.criteria import CRITERIA, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import RecipeError
from pruning.events import Repaired, Warned
from pruning.granularities import GRANULARITIES
from pruning.model.costs import cost_model
from pruning.model.preparation import open_model
from pruning.model.units import masks_of
from pruning.pipeline.eligibility import chosen_groups
from pruning.pipeline.one_shot import Decision, rank_units
from pruning.recipe.compatibility import fits
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.repair import REPAIRS, Block, NormsAndBiases
from pruning.repair.mended import mended
from pruning.repair.repair import Cut
from pruning.selection.amounts import Sparsity
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.every_granularity import tiny_for
from tests.networks import CPU, carried_out

KINDS = [kind for kind in REPAIRS if kind != "none"]
FEW = {kind: REPAIRS[kind](samples=32) for kind in KINDS}
FEW |= {"block": Block(samples=32, steps=5), "norms_and_biases": NormsAndBiases(samples=32, steps=5)}
FITTING = [(c, g) for c in CRITERIA for g in GRANULARITIES if fits(CRITERIA[c], g)]


def repaired(criterion: str, granularity: str, kind: str) -> None:
    recipe = Recipe(
        granularity, CRITERIA[criterion](), GRANULARITIES[granularity](), amount=Sparsity(0.4), tuning=Tuning(epochs=0),
        repair=FEW[kind],
    )  # fmt: skip
    assert from_json(to_json(recipe)) == recipe
    events, result = carried_out(tiny_for(granularity), recipe)
    (done,) = [event for event in events if isinstance(event, Repaired) and event.round == 0][-1:]
    said = [event.sentence for event in events if isinstance(event, Warned)]
    assert done.helped or any(f"the repair {kind} brought the network no nearer" in sentence for sentence in said)
    if not recipe.granularity.removable:
        masks = masks_of(
            GRANULARITIES[granularity]().sorted_out(result.model, tiny_for(granularity).example)[0],
            result.keep,
            result.model,
        )
        assert any(not stays.all() for stays in masks.values())
        for name, stays in masks.items():
            assert not result.model.get_parameter(name)[~stays].any(), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_every_repair_goes_with_every_granularity(granularity, kind):
    repaired("magnitude", granularity, kind)


def cut_by(work: Workload, criterion: str, granularity: str) -> tuple[nn.Module, Decision]:
    """The dense network, and which of its units fall: four of ten."""
    recipe = Recipe(granularity, CRITERIA[criterion](), GRANULARITIES[granularity](), amount=Sparsity(0.4))
    dense = open_model(work, CPU)
    groups = chosen_groups(work, recipe, dense)
    scores = unit_scores(recipe.criterion, dense, groups, Calibration(work, CPU, recipe.seed))
    return dense, rank_units(recipe, groups, scores, cost_model(dense, work.example)).decide(recipe.amount)


@pytest.mark.parametrize("criterion, granularity", FITTING)
def test_every_repair_goes_with_every_criterion_and_granularity(criterion, granularity):
    work = tiny_for(granularity)
    if criterion == "synflow" and granularity.startswith("embedding_"):
        with pytest.raises(RecipeError, match="takes whole numbers; use snip"):
            cut_by(work, criterion, granularity)
        return
    dense, decision = cut_by(work, criterion, granularity)
    assert any(not stays.all() for stays in decision.masks.values())
    names = {"", *dict(dense.named_parameters()), *dict(dense.named_modules())}
    for kind in KINDS:
        model = decision.masked_copy(dense)
        cut = [value.clone() for value in model.state_dict().values()]
        done = mended(FEW[kind], Cut(model, dense, decision.masks), work, CPU, 0)
        assert done.after < done.before or not done.helped
        assert done.helped != all(map(torch.equal, cut, model.state_dict().values()))
        assert all(value.isfinite().all() for value in model.state_dict().values())
        assert names.issuperset(done.left) and all(done.left.values())
        for name, stays in decision.masks.items():
            assert not model.get_parameter(name)[~stays].any(), (kind, name)
