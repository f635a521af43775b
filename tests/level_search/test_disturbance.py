"""How far outputs move, and what single groups add up to."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pruning.evaluation.accuracy import Evaluator
from pruning.level_search import disturbance as module
from pruning.level_search.disturbance import disturbance_of
from pruning.level_search.disturbance_table import (
    MOST_LEVELS,
    DisturbanceTable,
    levels_up_to,
    measured_at,
    pruned_by,
)
from pruning.level_search.loss_estimate import LossEstimate
from pruning.workload import Classification, TensorSplit
from tests.linear_regression import mse

CPU = torch.device("cpu")


class Scaled(nn.Module):
    """Logits are the inputs times a number."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * self.by


def evaluator(classes: tuple[str, ...] = ("a", "b", "c")) -> Evaluator:
    inputs = torch.tensor([[3.0, 1.0, 0.0], [0.0, 1.0, 1.5], [9.0, 0.0, 1.0]])
    return Evaluator(TensorSplit(inputs, torch.tensor([0, 2, 0])), Classification(classes), CPU)


def test_margins_are_between_the_two_best_classes_of_the_dense_network():
    """Margins are 2, 0.5 and 8. Of logits times 1.5 each grows by its half: a quarter of the mean square."""
    looked_at = disturbance_of(Scaled(1.0), evaluator())
    assert looked_at.scale == pytest.approx((4 + 0.25 + 64) / 3)
    assert looked_at.of(Scaled(1.5)) == pytest.approx(0.25)


def test_only_the_samples_near_the_boundary_count(monkeypatch):
    monkeypatch.setattr(module, "NEAR", 2)
    looked_at = disturbance_of(Scaled(1.0), evaluator())
    assert looked_at.index.tolist() == [1, 0] and looked_at.scale == pytest.approx((4 + 0.25) / 2)
    assert looked_at.costs == pytest.approx(0.1 * 2 / 3)


def test_without_classes_outputs_count_as_a_share_of_their_variance(monkeypatch):
    monkeypatch.setattr(module, "FEWEST", 320)
    work = mse()
    dense, doubled = work.build(), work.build()
    doubled[0].weight.data.mul_(2)  # type: ignore[union-attr, operator]
    outputs = dense(work.validation.inputs).detach()
    looked_at = disturbance_of(dense, Evaluator(work.validation, work.task, CPU))
    assert looked_at.of(doubled) == pytest.approx(float(outputs.square().mean() / outputs.var()))
    assert looked_at.costs == pytest.approx(0.1)  # a tenth of the variance for a small change of 0.01


def test_training_samples_are_looked_at_too_and_need_no_labels(monkeypatch):
    """Margins of the validation samples are 2, 0.5 and 8, of the others 1 and 4; the wrong labels change nothing."""
    more = TensorSplit(torch.tensor([[1.0, 0.0, 0.0], [0.0, 4.0, 0.0]]), torch.tensor([2, 2]))
    looked_at = disturbance_of(Scaled(1.0), evaluator(), more, 2)
    assert sorted(looked_at.wanted.tolist()) == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert looked_at.of(Scaled(1.5)) == pytest.approx(0.25)
    assert len(disturbance_of(Scaled(1.0), evaluator(), more, 1).wanted) == 4


@given(st.permutations(range(5)))
def test_samples_of_two_splits_come_in_the_order_in_which_they_are_asked_for(order):
    first, second = (TensorSplit(torch.arange(3.0) + at, torch.arange(3) + at) for at in (0, 3))
    both = module.MoreSamples(first, second, torch.tensor([2, 0]))
    inputs, targets = both.batch(torch.tensor(order), CPU)
    assert inputs.tolist() == targets.tolist() == [[0, 1, 2, 5, 3][place] for place in order]
    assert len(both) == 5


def test_the_same_network_disturbs_nothing():
    assert disturbance_of(Scaled(1.0), evaluator()).of(Scaled(1.0)) == 0.0


ALONE = {"a": {8: 0.4, 4: 0.1}, "b": {5: 0.2}}
UNITS = {"a": 16, "b": 10}


def table() -> DisturbanceTable:
    return DisturbanceTable(UNITS, 0.1, {name: dict(found) for name, found in ALONE.items()})


def test_the_curve_goes_through_what_was_measured_and_rises():
    found = table().of("a", range(9))
    assert found[[0, 4, 8]] == pytest.approx([0.0, 0.1, 0.4])
    assert (np.diff(found) > 0).all()


def test_beyond_the_last_measured_level_nothing_is_known_to_be_better():
    assert table().of("b", [5, 9]) == pytest.approx([0.2, 0.2])


def test_a_dip_in_the_measurements_is_no_gain():
    bumpy = DisturbanceTable({"a": 16}, 0.1, {"a": {4: 0.3, 8: 0.1}})
    assert bumpy.of("a", [4, 8]) == pytest.approx([0.3, 0.3])


def test_without_joint_cuts_all_factors_are_the_first_guess():
    assert table().factors() == pytest.approx({"a": 0.1, "b": 0.1})


def test_joint_cuts_say_what_a_disturbance_costs():
    found = table()
    for _ in range(20):
        found.together += [({"a": 8, "b": 5}, 0.12), ({"a": 8, "b": 0}, 0.08), ({"a": 0, "b": 5}, 0.04)]
    assert found.factors() == pytest.approx({"a": 0.2, "b": 0.2}, rel=0.02)


def test_a_group_that_costs_more_than_the_others_gets_a_larger_factor():
    found = table()
    for _ in range(20):
        found.together += [({"a": 8, "b": 0}, 0.08), ({"a": 0, "b": 5}, 0.02)]
    factors = found.factors()
    assert factors["a"] == pytest.approx(0.2, rel=0.05) and factors["b"] == pytest.approx(0.1, rel=0.05)


def test_what_is_drawn_spreads_less_the_more_is_known():
    draw, found = np.random.default_rng(0), table()
    before = np.std(np.log([found.factors(draw)["a"] for _ in range(50)]))
    found.together += [({"a": 8, "b": 0}, 0.04)] * 10
    assert np.std(np.log([found.factors(draw)["a"] for _ in range(50)])) < before / 3


def test_the_drop_is_what_each_group_disturbs_times_its_factor():
    levels = {"a": (0, 8), "b": (0, 5)}
    added = table().drops(levels, {"a": 1.0, "b": 3.0})
    assert added.of({"a": 1, "b": 1}) == pytest.approx(0.4 + 0.6)
    assert pruned_by(levels, {"a": 1, "b": 0}) == {"a": 8, "b": 0}


def test_what_is_lost_is_how_much_likelier_the_dense_networks_class_is():
    """Logits times −1 decide for the lowest: each sample loses the difference of two probabilities."""
    looked_at = disturbance_of(Scaled(1.0), evaluator())
    likely = looked_at.evaluator.split.inputs.softmax(dim=1)
    expected = float((likely.max(dim=1).values - likely.min(dim=1).values).mean())
    assert looked_at.expected_drop(Scaled(-1.0)) == pytest.approx(expected)
    assert looked_at.expected_drop(Scaled(3.0)) == 0.0


def test_without_classes_the_drop_is_measured(monkeypatch):
    work = mse()
    dense, halved = work.build(), work.build()
    halved[0].weight.data.mul_(0.5)  # type: ignore[union-attr, operator]
    evaluated = Evaluator(work.validation, work.task, CPU)
    drop = evaluated.score(halved) - evaluated.score(dense)
    assert drop > 0 and disturbance_of(dense, evaluated).expected_drop(halved) == pytest.approx(drop)


@given(st.integers(1, 5000), st.booleans())
def test_one_unit_stays_at_every_level(units, removable):
    counts = measured_at(units, removable)
    levels = levels_up_to(max(counts, default=0), units, removable)
    assert all(0 < count < units for count in counts)
    assert levels[0] == 0 and list(levels) == sorted(set(levels)) and levels[-1] == max(counts, default=0)
    assert len(levels) <= MOST_LEVELS


def test_measured_drops_correct_the_estimated_ones():
    loss = LossEstimate(0.01)
    assert loss.drop(0.02)[0] == pytest.approx(0.02) and loss.estimated_at(0.01) == pytest.approx(0.01)
    for _ in range(50):
        loss.learn(0.02, 0.03)
    assert loss.ratio == pytest.approx(1.5, rel=0.01)
    expected, half_width = loss.drop(0.04)
    assert expected == pytest.approx(0.06, rel=0.01) and half_width < 0.2 * expected


def test_estimates_are_wider_where_measured_cuts_lay_apart():
    near, far = LossEstimate(0.01), LossEstimate(0.01)
    for drop in (0.05, 0.1, 0.15):
        near.learn(drop, drop)
        far.learn(drop, drop * (0.2 if drop == 0.1 else 1.8))
    assert near.drop(0.1)[1] < 0.6 * far.drop(0.1)[1]


def test_a_score_that_became_better_does_not_promise_more():
    loss = LossEstimate(0.01)
    loss.learn(0.02, -0.5)
    assert loss.ratio > 0 and loss.estimated_at(0.01) > 0
