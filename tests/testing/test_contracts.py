"""The shipped contracts find what is wrong: each broken criterion and granularity fails the test made for it."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import nn

from pruning.criteria import ANY, CRITERIA, Magnitude
from pruning.errors import SurgeryError
from pruning.granularities import Channels, Weights
from pruning.model.layer_types import WITH_MATRICES
from pruning.testing import CriterionContract, GranularityContract, RemovalContract
from pruning.testing.untouched import untouched
from tests.networks import tiny

WORK = tiny("conv_bn", count=32)


@dataclass(frozen=True)
class Broken(Magnitude):
    """Magnitude with one fault."""

    fault: str = ""

    def score(self, model, groups, calibration):
        scores = super().score(model, groups, calibration)
        name = groups[0].name
        match self.fault:
            case "a score too few":
                scores[name] = scores[name][1:]
            case "a group left out":
                del scores[name]
            case "other scores every time":
                scores[name] = torch.rand(len(scores[name]), generator=torch.Generator().manual_seed(torch.seed()))
            case "the global generator":
                torch.rand(1)
            case "looks at validation":
                calibration.workload.validation.batch(torch.arange(2), calibration.device)
            case "a hook left":
                next(model.children()).register_forward_hook(lambda *_: None)
            case "a gradient left":
                next(model.parameters()).grad = torch.zeros_like(next(model.parameters()))
            case "a weight changed":
                next(model.parameters()).data.add_(1e-3)
            case "an attribute left":
                next(model.children()).seen = []
            case "everything to 1 once pruned":
                dead = any(bool((weight == 0).all(dim=1).any()) for weight in model.parameters() if weight.dim() == 2)
                scores = {group: torch.ones_like(values) if dead else values for group, values in scores.items()}
        return scores


def contract_of(criterion) -> CriterionContract:
    contract = CriterionContract()
    contract.criterion, contract.workload = criterion, WORK
    return contract


@pytest.mark.parametrize(
    "fault, test, sentence",
    [
        ("a score too few", "test_every_unit_has_one_finite_score", "0: (71,) scores of 72 units"),
        ("a group left out", "test_every_unit_has_one_finite_score", ""),
        ("other scores every time", "test_the_same_seed_gives_the_same_scores", "0: other scores for the same seed"),
        ("looks at validation", "test_only_training_samples_are_looked_at", "only training samples are for it"),
        ("the global generator", "test_a_model_in_evaluation_comes_back_as_it_was", "the global random generator"),
        ("a hook left", "test_a_model_in_evaluation_comes_back_as_it_was", "a hook was left on 0"),
        ("a gradient left", "test_a_model_in_evaluation_comes_back_as_it_was", "0.weight was left with a gradient"),
        ("a weight changed", "test_a_model_in_evaluation_comes_back_as_it_was", "0.weight has other values"),
        ("an attribute left", "test_a_model_in_training_with_a_frozen_part_comes_back_as_it_was", "0 has other attrib"),
    ],
)
def test_a_broken_criterion_fails_the_test_made_for_it(fault, test, sentence):
    with pytest.raises(AssertionError) as failed:
        getattr(contract_of(Broken(fault=fault)), test)()
    assert sentence in str(failed.value)


@pytest.mark.parametrize("test", [name for name in vars(CriterionContract.__mro__[2]) if name.startswith("test_")])
def test_the_same_criterion_without_a_fault_keeps_the_contract(test):
    getattr(contract_of(Broken()), test)()


def test_what_a_criterion_says_of_itself_is_checked():
    class Silent(Magnitude):
        source: ClassVar[str] = ""
        fits: ClassVar[tuple[str, ...]] = ("wheels",)
        layers: ClassVar[tuple[str, ...]] = (*WITH_MATRICES, "ReLU")

    contract = contract_of(Silent())
    with pytest.raises(AssertionError, match=r"Silent\.source is empty"):
        contract.test_it_says_its_formula_its_source_and_its_cost()
    with pytest.raises(AssertionError, match=r"fits names \['wheels'\]"):
        contract.test_it_names_the_granularities_and_the_layers_that_it_can_score()
    Silent.fits = ANY
    with pytest.raises(AssertionError, match=r"layers names \['ReLU'\]"):
        contract.test_it_names_the_granularities_and_the_layers_that_it_can_score()


@pytest.mark.parametrize("criterion, units", [("magnitude", "single weights"), ("activation", "channels")])
def test_without_a_granularity_the_first_that_the_criterion_fits_is_taken(criterion, units):
    assert contract_of(CRITERIA[criterion]())._granularity().unit == units


def test_a_network_without_such_units_says_that_it_tests_nothing():
    contract = contract_of(CRITERIA["batchnorm_scale"]())
    contract.workload = tiny("mlp", count=32)
    with pytest.raises(AssertionError, match="mlp has no channels to score: test on another network"):
        contract.test_every_unit_has_one_finite_score()


class OffByOne(Weights):
    """Weights whose last group lacks a sentence, or whose order is turned."""

    turned: ClassVar[bool] = False
    silent: ClassVar[bool] = False

    def sorted_out(self, model, example):
        groups, reasons = super().sorted_out(model, example)
        return (groups[::-1] if self.turned else groups[:-1] if self.silent else groups), reasons


@pytest.mark.parametrize(
    "fault, test, sentence",
    [
        ("turned", "test_groups_are_rows_of_the_model_in_its_order", "groups "),
        ("silent", "test_every_prunable_row_is_in_one_group_or_says_why_not", "neither in a group nor with a reason"),
    ],
)
def test_a_broken_granularity_fails_the_test_made_for_it(fault, test, sentence, monkeypatch):
    monkeypatch.setattr(OffByOne, fault, True)
    contract = GranularityContract()
    contract.granularity, contract.workload = OffByOne(), WORK
    with pytest.raises(AssertionError, match=sentence):
        getattr(contract, test)()


def test_units_that_leave_something_of_theirs_behind_fail_the_removal_contract():
    """Channels without their BatchNorm and the next layer's columns: masked, they still send the norm's shift on."""

    class Forgetful(Channels):
        def sorted_out(self, model, example):
            groups, reasons = super().sorted_out(model, example)
            return [replace(g, follows=()) for g in groups], reasons

    contract = RemovalContract()
    contract.granularity, contract.workload = Forgetful(), WORK
    with pytest.raises(SurgeryError, match="the smaller model does not run"):
        contract.test_a_network_without_the_pruned_units_gives_what_the_masked_one_gives()
    contract.granularity = Weights()
    with pytest.raises(AssertionError, match="single weights cannot be removed: leave this contract out"):
        contract.test_a_network_without_the_pruned_units_gives_what_the_masked_one_gives()


def test_what_is_changed_is_named_also_where_the_block_raises():
    model = nn.Linear(2, 2)
    with pytest.raises(AssertionError, match="the network was left in another mode"), untouched(model):
        model.eval()
        raise ValueError("something else")
