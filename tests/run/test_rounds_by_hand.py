"""What later rounds of a run go by, worked out by hand: the divisors of the first, and the seed of the recipe."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pruning.criteria import Magnitude, Random, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.events import Measured
from pruning.granularities import Weights
from pruning.model.costs import cost_model
from pruning.model.preparation import open_model
from pruning.recipe.recipe import Recipe
from pruning.run.context import RunContext, StopAsked
from pruning.selection.amounts import Sparsity
from pruning.selection.scopes import Global
from pruning.training.schedules import Linear, OneShot
from pruning.training.tuning import Tuning
from pruning.workload import TensorSplit
from tests.networks import CPU, carried_out, tiny, workload

UNTUNED = Tuning(epochs=0)


def two_layers() -> nn.Module:
    """Two layers of four weights with a mean of 1 each, and a last layer."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 3)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.2, 0.2], [0.9, 2.7]]))
        model[1].weight.copy_(torch.tensor([[0.95, 0.95], [1.05, 1.05]]))
    return model


def test_later_rounds_divide_by_what_the_first_divided_by():
    """Half of eight weights in two rounds, each layer's sizes divided by their mean.

    Round 1 prunes the two 0.2, round 2 the two lowest of those left: 0.9 and 0.95. Had the first layer's mean been
    taken anew, of 0, 0, 0.9 and 2.7, its 0.9 would count as 1 and stay, only because its layer had lost weights.
    """
    work = workload(two_layers, (2,))
    recipe = Recipe(
        "tiny", Magnitude(), Weights(), Global("mean"), Sparsity(0.5), Linear(2), UNTUNED, keep_whole=frozenset({"2"})
    )
    _, result = carried_out(work, recipe)
    assert result.keep["0"].tolist() == [False, False, False, True]
    assert result.keep["1"].tolist() == [False, True, True, True]


def test_a_run_scores_with_the_seed_of_its_recipe():
    """Chance prunes the units that the recipe's seed draws the lowest numbers for, and another seed others."""
    work = tiny("mlp")
    model = open_model(work, CPU)
    groups, _ = Weights().sorted_out(model, work.example)
    kept = []
    for seed in (0, 5):
        recipe = Recipe("mlp", Random(), Weights(), Global(), Sparsity(0.5), OneShot(), UNTUNED, seed=seed)
        _, result = carried_out(work, recipe)
        scores = unit_scores(Random(), model, groups, Calibration(work, CPU, seed))
        pruned = torch.cat([scores[name][~stays] for name, stays in result.keep.items()])
        stay = torch.cat([scores[name][stays] for name, stays in result.keep.items()])
        assert len(pruned) == len(stay) == 31 and float(pruned.max()) < float(stay.min())
        kept.append(torch.cat([result.keep[group.name] for group in groups]))
    assert not torch.equal(*kept)


def test_rounds_are_measured_on_the_validation_split():
    """After the last epoch nothing changes: its score is the tuned stage's on this split, not on the other."""
    work = tiny("mlp", count=200)
    recipe = Recipe("mlp", amount=Sparsity(0.5), tuning=Tuning(epochs=1))
    events, result = carried_out(work, recipe)
    last = [event for event in events if isinstance(event, Measured)][-1]
    tuned = result.stages["tuned"]
    assert (last.split, last.score) == ("validation", tuned.validation) and tuned.validation != tuned.score


def test_a_training_split_is_given_what_it_draws_its_augmentation_from():
    drawn: list[Tensor] = []

    def augment(ready: Tensor, generator: torch.Generator) -> Tensor:
        drawn.append(torch.rand(1, generator=generator))
        return ready

    work = tiny("mlp", count=20)
    train = TensorSplit(work.train.inputs, work.train.targets, augment=augment)
    recipe = Recipe("mlp", amount=Sparsity(0.5), tuning=Tuning(epochs=3, batch_size=10))
    carried_out(replace(work, train=train), recipe)
    assert len(drawn) == 3 * 2


def test_a_stop_is_noticed_at_the_next_batch_of_either_split():
    work = tiny("mlp", count=20)
    model = work.build()
    run = RunContext(work, Recipe("mlp"), CPU, model, [], cost_model(model, work.example)).stoppable(lambda: True)
    for split in (run.workload.train, run.workload.validation):
        assert len(split) == 20
        with pytest.raises(StopAsked):
            split.batch(torch.arange(2), CPU)
