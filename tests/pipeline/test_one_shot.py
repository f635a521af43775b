"""One decision: its parts say the same, follow from the recipe by hand, and are made once."""

import pytest
import torch
from torch import nn

from pruning.criteria import Magnitude, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.events import PrunedValues
from pruning.granularities import Channels, Heads, Weights
from pruning.interactive.queries import estimate, heatmap, look, units
from pruning.interactive.session import PreviewSession
from pruning.model import units as model_units
from pruning.model.costs import cost_model, costs
from pruning.model.memory import bytes_of
from pruning.model.units import masks_of
from pruning.pipeline import one_shot
from pruning.pipeline.eligibility import chosen_groups
from pruning.pipeline.one_shot import Decision, RankedUnits, rank_units
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Budget, Sparsity, Threshold
from pruning.workload import Workload
from tests.networks import CPU, NETWORKS, tiny, workload


def decide(model: nn.Module, workload: Workload, recipe: Recipe, device: torch.device) -> Decision:
    """What the recipe prunes of the model, which lies on the device, when its whole amount is taken at once."""
    groups = chosen_groups(workload, recipe, model)
    scores = unit_scores(recipe.criterion, model, groups, Calibration(workload, device, recipe.seed))
    return rank_units(recipe, groups, scores, cost_model(model, workload.example.to(device))).decide(recipe.amount)


def by_hand() -> nn.Module:
    """Two layers whose weights are their own sizes."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -5.0], [2.0, 6.0]]))
        model[1].weight.copy_(torch.tensor([[3.0, 7.0], [-4.0, 8.0]]))
    return model.eval()


def ranked(recipe: Recipe) -> tuple[nn.Module, RankedUnits]:
    work = workload(by_hand, (2,))
    model = work.build()
    decision = decide(model, work, recipe, CPU)
    return model, rank_units(recipe, decision.groups, decision.scores, cost_model(model, work.example))


def test_a_decision_worked_out_by_hand():
    model, units_ = ranked(Recipe("tiny", Magnitude(), Weights(), amount=Sparsity(0.5)))
    decision = units_.decide(Sparsity(0.5))
    assert {name: stays.tolist() for name, stays in decision.keep.items()} == {
        "0": [False, True, False, True],
        "1": [False, True, False, True],
    }
    assert (decision.counts.asked, decision.counts.pruned, decision.counts.units) == (4, 4, 8)
    assert decision.masks["0.weight"].tolist() == [[False, True], [False, True]]
    assert decision.masked_copy(model)[1].weight.tolist() == [[0.0, 7.0], [0.0, 8.0]]
    assert model[1].weight.tolist() == [[3.0, 7.0], [-4.0, 8.0]]
    assert decision.sizes.parameters == 8  # single weights are set to zero, not removed
    assert decision.values == PrunedValues(4, 8, 8)


def test_a_part_of_the_amount_is_pruned_at_a_part_of_the_progress():
    _, units_ = ranked(Recipe("tiny", Magnitude(), Weights()))
    counts = [units_.decide(Sparsity(0.5), progress).counts.pruned for progress in (0.0, 0.25, 0.5, 1.0)]
    assert counts == [0, 1, 2, 4]
    assert all(bool(stays.all()) for stays in units_.decide(Sparsity(0.5), 0.0).keep.values())


def test_an_amount_that_depends_on_costs_is_worked_out():
    _, units_ = ranked(Recipe("tiny", Magnitude(), Weights()))
    decision = units_.decide(Budget("parameters", 0.25))  # two of eight are left
    assert isinstance(decision.amount, Sparsity) and decision.counts.pruned == 6
    again = units_.decide(decision.amount)
    assert again.amount == decision.amount and again.counts == decision.counts


@pytest.mark.parametrize("granularity", [Weights(), Channels()], ids=["weights", "channels"])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_parts_of_a_decision_agree_with_each_other_and_with_the_network_that_it_leaves(network, granularity):
    work = tiny(network)
    model = work.build()
    decision = decide(model, work, Recipe(network, Magnitude(), granularity, amount=Sparsity(0.5)), CPU)
    shares = {share.name: share.pruned for share in decision.counts.shares}
    assert shares == {name: int((~stays).sum()) for name, stays in decision.keep.items()}
    assert sum(shares.values()) == decision.counts.pruned > 0
    masks = masks_of(decision.groups, decision.keep, model)
    assert masks.keys() == decision.masks.keys()
    assert all(torch.equal(masks[name], decision.masks[name]) for name in masks)
    left = costs(decision.pruned_copy(model, work.example), work.example)
    assert (decision.sizes.parameters, decision.sizes.macs) == (left.parameters, left.macs)
    assert bytes_of(decision) >= sum(map(bytes_of, (decision.keep, decision.masks)))


def test_one_position_of_a_slider_makes_one_decision_and_its_masks_once(monkeypatch):
    made: list[str] = []

    def counted(name, function):
        def call(*arguments):
            made.append(name)
            return function(*arguments)

        return call

    monkeypatch.setattr(one_shot, "masks_for", counted("masks", one_shot.masks_for))
    monkeypatch.setattr(one_shot, "select", counted("select", one_shot.select))
    monkeypatch.setattr(model_units, "masks_for", counted("masks", model_units.masks_for))
    session = PreviewSession({"mlp": lambda: tiny("mlp")}, CPU)
    for amount in (Sparsity(0.5), Threshold(0.2), Sparsity(0.5)):
        recipe = Recipe("mlp", Magnitude(), Weights(), amount=amount)
        look(session, recipe, "score")
        look(session, recipe, "sigma")
        estimate(session, recipe, 0.0)
        heatmap(session, recipe, "0", None)
        units(session, recipe, ["0"])
    assert made == 2 * ["select", "masks"]


def values(work: Workload, recipe: Recipe) -> PrunedValues:
    return decide(work.build(), work, recipe, CPU).values


def test_values_that_coupled_units_own_are_counted_once():
    """6-5-4-3 by channels: a unit's row, bias and column. Rows and columns of the middle weight overlap."""
    work = tiny("mlp")
    every, output = 30 + 5 + 20 + 4 + 12 + 3, 3
    assert values(work, Recipe("mlp", granularity=Channels(), amount=Sparsity(0.0))) == PrunedValues(
        0, every - output, every
    )
    # at least one unit of each layer stays: its row of 6 and its bias, one value of the middle, its bias, a column of 3
    left = 6 + 1 + 1 + 1 + 3
    most = values(work, Recipe("mlp", granularity=Channels(), amount=Sparsity(1.0)))
    assert most == PrunedValues(every - output - left, every - output, every)


def test_values_of_layers_that_are_kept_whole_do_not_compete():
    recipe = Recipe("mlp", amount=Sparsity(0.5), keep_whole=frozenset({"0"}))
    assert values(tiny("mlp"), recipe) == PrunedValues(16, 32, 74)


def test_values_of_heads_are_those_of_the_attention_alone():
    encoder = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
    work = workload(lambda: nn.Sequential(encoder, nn.Flatten(), nn.Linear(12, 3)), (3, 4))
    seen = values(work, Recipe("tiny", granularity=Heads(), amount=Sparsity(0.5)))
    # three times four rows of four with their biases, and four by four of the output, of which half are pruned
    assert (seen.pruned, seen.prunable) == (38, 76)
