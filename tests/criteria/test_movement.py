import copy
import itertools

import pytest
import torch
from torch import nn

from pruning.criteria import Movement, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import RecipeError, WorkloadError
from pruning.granularities import Channels, Weights
from pruning.model.preparation import open_model
from tests.criteria.by_hand import SQUARED, calibration, one_layer, scored
from tests.networks import CPU, tiny


def test_a_weight_that_shrinks_scores_low_and_one_that_grows_high():
    # L = w x / 2 with x = 2: dL/dw = 1, so in steps of 0.5 w goes 3, 2.5, 2 and -3, -3.5, -4
    for start, score in ((3.0, -(3 + 2.5 + 2)), (-3.0, 3 + 3.5 + 4)):
        scores = scored(Movement(steps=3, learning_rate=0.5), Weights(), calibration([2.0]), one_layer([start]))
        assert scores == {"0": [score]}


def test_batches_come_in_their_order_again_and_again():
    data = calibration([2.0], [4.0], batch=1)  # gradients 1 and 2, in the order that the seed decides
    one, two = (float(inputs) / 2 for inputs, _ in data.batches())
    assert {one, two} == {1.0, 2.0}
    w = [10, 10 - one, 10 - one - two]
    scores = scored(Movement(steps=3, learning_rate=1.0), Weights(), data, one_layer([10.0]))
    assert scores == {"0": [-(w[0] * one + w[1] * two + w[2] * one)]}


def test_a_weight_that_is_zero_stays_zero():
    model = one_layer([0.0, 3.0])
    scores = scored(Movement(steps=3, learning_rate=0.5), Weights(), calibration([2.0, 2.0]), model)
    assert scores == {"0": [0, -(3 + 2.5 + 2)]}


def chain(frozen: bool) -> nn.Module:
    """x -> 3 x -> 1 · 3 x."""
    model = nn.Sequential(*one_layer([3.0]), *one_layer([1.0]))
    model[1].weight.requires_grad_(not frozen)
    return model


def test_frozen_weights_stay_where_they_are():
    # with v = 1 fixed dL/dw = v x / 2 = 1 always; else v goes 1 -> 1 - .5 · w x / 2 = -.5, and then dL/dw = -.5
    how = Movement(steps=2, learning_rate=0.5), Weights(), calibration([2.0])
    assert scored(*how, chain(frozen=True)) == {"0": [-(3 + 2.5)]}
    assert scored(*how, chain(frozen=False))["0"] == [-(3 * 1 + 2.5 * -0.5)]


@pytest.mark.parametrize("network", ["mlp", "conv_bn"])
def test_it_is_plain_sgd_of_torch_in_eval_mode(network):
    work = tiny(network, count=64)
    model = open_model(work, CPU)
    data = Calibration(work, CPU, batch=24)
    groups = Channels().sorted_out(model, work.example)[0]
    tuned = copy.deepcopy(model)
    optimiser = torch.optim.SGD(tuned.parameters(), lr=0.05)
    totals = {group.name: torch.zeros(group.units) for group in groups}
    for batch in itertools.islice(itertools.cycle(list(data.batches())), 7):
        optimiser.zero_grad()
        work.task.loss(tuned, batch).backward()
        for group in groups:
            weight = tuned.get_parameter(group.params[0])
            totals[group.name] -= (weight * weight.grad).detach().flatten(1).sum(dim=1)
        optimiser.step()
    scores = unit_scores(Movement(steps=7, learning_rate=0.05), model, groups, data)
    for name, total in totals.items():
        assert scores[name].tolist() == pytest.approx(total.tolist(), rel=1e-4, abs=1e-6)


def test_dropout_is_off():
    model = nn.Sequential(*one_layer([3.0, 2.0]), nn.Dropout(0.5))
    with_it, without = (
        scored(Movement(steps=5), Weights(), calibration([2.0, 1.0]), m)["0"] for m in (model.train(), model[:1])
    )
    assert with_it == without


def test_a_learning_rate_that_diverges_is_named():
    data = calibration([100.0], loss=SQUARED)
    with pytest.raises(WorkloadError, match=r"0\.weight: .* criterion\.learning_rate below 1$"):
        scored(Movement(learning_rate=1.0), Weights(), data, one_layer([3.0]))


@pytest.mark.parametrize("how", [{"steps": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}])
def test_steps_and_learning_rate_have_their_range(how):
    with pytest.raises(RecipeError, match=f"criterion.{next(iter(how))} is"):
        Movement(**how)
