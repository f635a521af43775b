"""Units set to zero and units removed compute the same, over the architectures that people prune."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.criteria import Magnitude
from pruning.events import SurgeryChecked
from pruning.granularities import Channels
from pruning.model.surgery import remove_units
from pruning.model.trial import compute_the_same
from pruning.model.units import apply_masks, masks_of
from pruning.recipe.recipe import Recipe
from pruning.training.tuning import Tuning
from tests.architectures import ARCHITECTURES, inputs_of, made
from tests.networks import VECTOR, carried_out, seeded, workload

SEEDS = range(4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_can_be_cut_is_what_the_hand_found(name):
    groups, reasons = Channels().sorted_out(made(name), inputs_of(name, count=1))
    assert {group.name: (group.members, group.units) for group in groups} == ARCHITECTURES[name].channels
    assert all(len(reason) > 20 for reason in reasons.values())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_masked_and_removed_compute_the_same(name, seed, record_property):
    model, inputs = made(name, seed), inputs_of(name, seed=seed)
    groups = Channels().sorted_out(model, inputs[:1])[0]
    draw = torch.Generator().manual_seed(seed)
    keep = {group.name: torch.randperm(group.units, generator=draw) * 2 < group.units for group in groups}
    assert all(not bool(stays.all()) for stays in keep.values())  # every group loses units, coupled ones too
    masked = copy.deepcopy(model)
    apply_masks(masked, masks_of(groups, keep, masked))
    smaller = remove_units(masked, inputs[:1], groups, keep)
    with torch.no_grad():
        whole, zeroed, removed = model(inputs), masked(inputs), smaller(inputs)
    difference = float((zeroed - removed).abs().max())
    record_property("difference", difference)
    print(f"{name}, seed {seed}: largest difference {difference:.3g} of outputs up to {float(zeroed.abs().max()):.3g}")
    assert compute_the_same(masked, smaller, inputs)
    if ARCHITECTURES[name].averaged:
        assert difference > 0.1
    else:
        assert difference == 0.0 if ARCHITECTURES[name].exact else difference <= 1e-12
    assert float((whole - zeroed).abs().max()) > 1e-3 and float(zeroed.std(dim=0).max()) > 1e-5  # something happens
    # what were pruned is gone: as many parameters as the masks left, but for the tied weight's single copy
    gone = sum(int((~mask).sum()) for mask in masks_of(groups, keep, model).values())
    sizes = [sum(p.numel() for p in network.parameters()) for network in (model, smaller)]
    assert gone > 0 and sizes[1] == sizes[0] - gone


class LayerNormed(nn.Module):
    """A LayerNorm over the units that are cut: with fewer of them its mean and variance are others."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.last(F.relu(self.norm(self.first(vectors))))


def test_where_statistics_change_the_difference_is_reported_and_the_score_is_the_smaller_networks():
    work = workload(lambda: seeded(LayerNormed), VECTOR)
    events, result = carried_out(work, Recipe("tiny", Magnitude(), Channels(), tuning=Tuning(epochs=0)))
    checked = [event for event in events if isinstance(event, SurgeryChecked)]
    assert checked and all(event.max_difference > 1e-3 for event in checked)
    model = work.build()
    groups = Channels().sorted_out(model, work.example)[0]
    assert [(group.name, group.units) for group in groups] == [("first", 8)] and not bool(result.keep["first"].all())
    masked = copy.deepcopy(model)
    apply_masks(masked, masks_of(groups, result.keep, masked))
    smaller = remove_units(masked, work.example, groups, result.keep)
    with torch.no_grad():
        inputs = work.validation.inputs[:256]
        difference = float((masked(inputs) - smaller(inputs)).abs().max())
        right = (smaller(work.test.inputs).argmax(dim=1) == work.test.targets).double().mean()
    assert abs(checked[-1].max_difference - difference) < 1e-5
    assert result.stages["tuned"].score == float(right)
    assert result.stages["tuned"].parameters == sum(p.numel() for p in smaller.parameters())
