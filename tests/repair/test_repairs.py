"""What every repair owes, and what each is for."""

import copy
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from pruning.granularities import GRANULARITIES
from pruning.model.preparation import open_model
from pruning.model.units import apply_masks, masks_of
from pruning.repair import (
    REPAIRS,
    BatchNorm,
    Bias,
    Block,
    LeastSquares,
    NoRepair,
    NormsAndBiases,
    OptimalBrain,
    Rescale,
)
from pruning.repair.block import steps_of
from pruning.repair.mended import Likeness, distance, mended
from pruning.repair.repair import Cut
from pruning.workload import Workload
from tests.networks import CPU, NETWORKS, VECTOR, Tied, seeded, taught, workload

FEW = {"none": NoRepair(), **{kind: made(samples=64) for kind, made in REPAIRS.items() if kind != "none"}}
FEW |= {"block": Block(samples=64, steps=20), "norms_and_biases": NormsAndBiases(samples=64, steps=20)}


def cut_of(given: str | Workload, granularity: str, share: float = 0.4) -> tuple[Cut, torch.Tensor]:
    """A network without some of its units by lot, and inputs."""
    work = taught(given) if isinstance(given, str) else given
    dense = open_model(work, CPU)
    groups, _ = GRANULARITIES[granularity]().sorted_out(dense, work.example)
    draw = torch.Generator().manual_seed(0)
    keep = {group.name: torch.rand(group.units, generator=draw) >= share for group in groups}
    for group in groups:
        keep[group.name][0] = True
    masks = masks_of(groups, keep, dense)
    model = copy.deepcopy(dense)
    apply_masks(model, masks)
    return Cut(model, dense, masks), work.train.inputs


@pytest.mark.parametrize("granularity", ["weights", "channels"])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", REPAIRS)
def test_what_is_pruned_stays_zero_and_the_dense_network_as_it_was(kind, name, granularity):
    cut, inputs = cut_of(name, granularity)
    before, modes = copy.deepcopy(cut.dense.state_dict()), [module.training for module in cut.model.modules()]
    asks = [parameter.requires_grad for parameter in cut.model.parameters()]
    left = FEW[kind].mend(cut, inputs[:64], 0)
    assert all(isinstance(why, str) and why for why in left.values())
    for param, values in cut.model.named_parameters():
        assert bool(values.isfinite().all()) and values.grad is None
        if param in cut.masks:
            assert not values[~cut.masks[param]].any(), param
    assert all(torch.equal(tensor, before[each]) for each, tensor in cut.dense.state_dict().items())
    assert [module.training for module in cut.model.modules()] == modes
    assert [parameter.requires_grad for parameter in cut.model.parameters()] == asks
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in cut.model.modules())


@pytest.mark.parametrize("kind", [kind for kind in REPAIRS if kind != "none"])
def test_the_same_seed_mends_the_same(kind):
    found = []
    for _ in range(2):
        cut, inputs = cut_of("conv_bn", "channels")
        FEW[kind].mend(cut, inputs[:64], 3)
        found.append(cut.model.state_dict())
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


def wide() -> nn.Module:
    """More units than it needs: what some give, others can give in their place."""
    return nn.Sequential(nn.Linear(6, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 3))


@pytest.mark.parametrize("granularity", ["weights", "channels"])
@pytest.mark.parametrize(
    "repair, left",
    # the surgeon keeps what a layer made of what it reads now, and does not make up for the layers before it
    [(LeastSquares(), 0.3), (Block(steps=60), 0.3), (OptimalBrain(), 0.97)],
    ids=["least_squares", "block", "optimal_brain"],
)
def test_outputs_come_nearer_to_what_they_were(repair, left, granularity):
    cut, inputs = cut_of(workload(lambda: seeded(wide), VECTOR, count=600), granularity)
    before = distance(cut.model, cut.dense, inputs[500:])
    repair.mend(cut, inputs[:500], 0)
    assert distance(cut.model, cut.dense, inputs[500:]) < left * before


def test_least_squares_leave_the_error_that_ordinary_ones_leave():
    # one layer without its first input: what is left of y on the others, worked out with lstsq
    dense = nn.Sequential(nn.Linear(4, 2, bias=False)).eval()
    inputs = torch.randn(500, 4) @ torch.randn(4, 4)
    masks = {"0.weight": torch.tensor([[False, True, True, True]] * 2)}
    model = copy.deepcopy(dense)
    apply_masks(model, masks)
    LeastSquares(ridge=1e-6).mend(Cut(model, dense, masks), inputs, 0)
    with torch.no_grad():
        expected = torch.linalg.lstsq(inputs[:, 1:], dense(inputs)).solution.T
    assert torch.allclose(model[0].weight[:, 1:], expected, atol=1e-3)


def test_statistics_of_batchnorm_are_those_of_what_it_sees_now():
    cut, inputs = cut_of("conv_bn", "weights")
    BatchNorm(samples=64).mend(cut, inputs[:64], 0)
    seen: list[torch.Tensor] = []
    norm = next(module for module in cut.model.modules() if isinstance(module, nn.BatchNorm2d))
    with norm.register_forward_pre_hook(lambda _, args: seen.append(args[0])), torch.no_grad():
        cut.model(inputs[:64])
    assert torch.allclose(norm.running_mean, seen[0].mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, seen[0].var((0, 2, 3)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("repair, spread", [(Bias(samples=64), False), (Rescale(samples=64), True)])
def test_mean_and_spread_are_put_back(repair, spread):
    cut, inputs = cut_of("mlp", "weights", 0.3)
    repair.mend(cut, inputs[:64], 0)
    for name, module in cut.model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        found, wanted = [], []
        for model, into in ((cut.model, found), (cut.dense, wanted)):
            with (
                model.get_submodule(name).register_forward_hook(lambda _m, _a, o, into=into: into.append(o)),
                torch.no_grad(),
            ):
                model(inputs[:64])
        alive = cut.masks[f"{name}.weight"].any(dim=1)
        assert torch.allclose(found[0].mean(0)[alive], wanted[0].mean(0)[alive], atol=1e-4), name
        if spread:
            deviation, before = found[0].std(0, correction=0)[alive], wanted[0].std(0, correction=0)[alive]
            near = (deviation / before).log().abs() < 1e-3
            assert bool((near | (deviation < before)).all()), name  # none is multiplied by more than 5


def test_the_surgeon_sees_in_the_dense_network_what_units_gave_that_are_gone():
    cut, inputs = cut_of("mlp", "channels")
    before = copy.deepcopy(cut.model.state_dict())
    OptimalBrain(samples=64).mend(cut, inputs[:64], 0)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in cut.model.state_dict().items())


def test_only_norms_and_biases_move():
    cut, inputs = cut_of("conv_bn", "weights")
    before = copy.deepcopy(cut.model.state_dict())
    NormsAndBiases(samples=64, steps=5).mend(cut, inputs[:64], 0)
    moved = {name for name, values in cut.model.named_parameters() if not torch.equal(values, before[name])}
    assert moved and all(cut.model.get_parameter(name).dim() == 1 for name in moved)


@pytest.mark.parametrize("kind", ["least_squares", "optimal_brain", "block"])
def test_frozen_and_shared_weights_stay_as_they_are(kind):
    cut, inputs = cut_of("mlp", "weights")
    cut.model[2].weight.requires_grad_(False)
    before = cut.model[2].weight.detach().clone()
    assert "it is frozen" in FEW[kind].mend(cut, inputs[:64], 0)["2"]
    assert torch.equal(cut.model[2].weight, before)
    tied = seeded(Tied)
    model, masks = copy.deepcopy(tied), {"first.weight": torch.rand_like(tied.first.weight) < 0.5}
    apply_masks(model, masks)
    left = FEW[kind].mend(Cut(model, tied, masks), inputs[:64], 0)
    assert {name for name, why in left.items() if "shares its weight" in why} == {"first"}  # one parameter, one name


def test_means_of_frozen_layers_are_not_put_back():
    cut, inputs = cut_of("mlp", "weights")
    cut.model[2].requires_grad_(False)
    before = copy.deepcopy(cut.model[2].state_dict())
    assert list(Rescale(samples=64).mend(cut, inputs[:64], 0)) == ["2"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in cut.model[2].state_dict().items())


# -- carried out, and taken back


@dataclass(frozen=True)
class Spoiling:
    samples: int = 16

    def mend(self, cut, inputs, seed):
        with torch.no_grad():
            for tensor in [*cut.model.parameters(), *cut.model.buffers()]:
                tensor.add_(1)
        return {"": "spoilt"}


def test_a_repair_that_does_not_help_is_taken_back_with_both_figures():
    cut, _ = cut_of("conv_bn", "weights")
    before = copy.deepcopy(cut.model.state_dict())
    done = mended(Spoiling(), cut, taught("conv_bn"), CPU, 0)
    assert not done.helped and done.after > done.before > 0 and done.left == {"": "spoilt"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in cut.model.state_dict().items())


def test_a_repair_is_looked_at_on_inputs_that_it_has_not_seen():
    seen: list[torch.Tensor] = []

    @dataclass(frozen=True)
    class Looking(Spoiling):
        samples: int = 10_000

        def mend(self, cut, inputs, seed):
            seen.append(inputs)
            return {}

    cut, _ = cut_of("mlp", "weights")
    work = taught("mlp")
    assert not mended(Looking(), cut, work, CPU, 0).helped  # no nearer is no help
    assert len(seen[0]) == len(work.train) - len(work.train) // 5
    few = replace(work, train=type(work.train)(work.train.inputs[:2], work.train.targets[:2]))
    mended(Looking(), cut, few, CPU, 0)
    assert len(seen[1]) == 1


def test_a_repair_that_helps_stays():
    work = workload(lambda: seeded(wide), VECTOR, count=600)
    cut, _ = cut_of(work, "weights")
    done = mended(LeastSquares(), cut, work, CPU, 0)
    assert done.helped and 0 <= done.after < done.before and done.seconds > 0
    assert distance(cut.model, cut.dense, work.validation.inputs) < done.before


def test_a_repair_that_brings_outputs_nearer_and_loses_answers_is_taken_back():
    class Shrinking(Spoiling):
        def mend(self, cut, inputs, seed):
            with torch.no_grad():
                cut.model[-1].weight.mul_(0)
                cut.model[-1].bias.mul_(0)
            return {}

    work = workload(lambda: seeded(wide), VECTOR, count=600)
    dense = open_model(work, CPU)
    model = copy.deepcopy(dense)
    with torch.no_grad():  # all answers are right, and outputs twice as far from the dense ones as zeros are
        model[-1].weight.mul_(3)
        model[-1].bias.mul_(3)
    before = copy.deepcopy(model.state_dict())
    done = mended(Shrinking(), Cut(model, dense, {}), work, CPU, 0)
    assert done.after == pytest.approx(done.before / 4) and not done.helped
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    "one, other, nearer",
    [
        (Likeness(0.1, 0.5), Likeness(0.2, 0.5), True),
        (Likeness(0.1, 0.4), Likeness(0.2, 0.5), False),
        (Likeness(0.2, 0.9), Likeness(0.2, 0.5), False),
        (Likeness(0.1, None), Likeness(0.2, None), True),
        # 2 √(2 · 0.2 · 0.8 / 200) = 0.08: what luck gives where nearly all answers are wrong
        (Likeness(0.1, 0.27, 200), Likeness(0.2, 0.2, 200), False),
        (Likeness(0.1, 0.29, 200), Likeness(0.2, 0.2, 200), True),
        (Likeness(float("nan"), 0.9), Likeness(0.2, 0.5), False),
    ],
)
def test_nearer_is_a_smaller_distance_for_which_no_answer_was_lost(one, other, nearer):
    assert one.nearer_than(other) == nearer


def test_a_small_network_takes_more_steps_of_imitation():
    assert [steps_of(macs) for macs in (0, 1_000_000, 5_000_000, 9_900_000, 10**9)] == [400, 400, 160, 80, 80]
