"""What a run does, seen from outside: its events in their order, its stages against plain recomputation."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import pytest
import torch
from safetensors.torch import save
from torch import nn

from pruning.criteria import Activation, Magnitude, Taylor
from pruning.events import (
    Event,
    Masked,
    Measured,
    Repaired,
    StageMeasured,
    Started,
    SurgeryChecked,
    TuningStep,
    Warned,
)
from pruning.granularities import Channels, Weights
from pruning.recipe.recipe import Recipe
from pruning.repair import BatchNorm, LeastSquares
from pruning.repair.mended import Mender
from pruning.selection.amounts import PerLayer, Sparsity
from pruning.selection.scopes import Global, WithinLayer
from pruning.training.schedules import Linear, Polynomial
from pruning.training.tuning import Tuning
from pruning.workload import TensorSplit
from tests.networks import NETWORKS, carried_out, taught, tiny

QUICK = Tuning(epochs=2, batch_size=64, learning_rate=0.01)
CUT_ONLY = Tuning(epochs=0)


def accuracy(model: nn.Module, split: TensorSplit) -> float:
    with torch.no_grad():
        return sum(int(model(x[None]).argmax() == y) for x, y in zip(split.inputs, split.targets, strict=True)) / len(
            split
        )


def kinds(events: Sequence[Event]) -> list[str]:
    """Names of the events' types; TuningSteps that follow one another are one."""
    return [name for name, _ in groupby(type(event).__name__ for event in events)]


def of_type(events: Sequence[Event], kind: type) -> list:
    return [event for event in events if isinstance(event, kind)]


def test_one_shot_on_weights_goes_in_order():
    events, _ = carried_out(tiny("mlp"), Recipe("mlp", tuning=QUICK))
    assert kinds(events) == [
        *("Started", "StageMeasured", "Masked", "Measured"),
        *("TuningStep", "Measured", "TuningStep", "Measured", "StageMeasured"),
    ]
    assert [event.stage for event in of_type(events, StageMeasured)] == ["dense", "pruned", "tuned"]


def test_two_rounds_on_channels_go_in_order():
    recipe = Recipe("conv_bn", Magnitude(), Channels(), WithinLayer(), schedule=Polynomial(2), tuning=QUICK)
    events, _ = carried_out(tiny("conv_bn"), recipe)
    one_round = ["Masked", "Measured", "TuningStep", "Measured", "TuningStep", "Measured"]
    assert kinds(events) == [
        *("Started", "StageMeasured", "SurgeryChecked", "StageMeasured"),
        *one_round, *one_round,
        *("SurgeryChecked", "StageMeasured"),
    ]  # fmt: skip


def test_one_shot_in_order_even_without_tuning():
    events, _ = carried_out(tiny("mlp"), Recipe("mlp", tuning=CUT_ONLY))
    assert kinds(events) == ["Started", "StageMeasured", "Masked", "Measured", "StageMeasured"]


def test_steps_and_rounds_are_predicted_and_counted_through():
    recipe = Recipe("mlp", schedule=Polynomial(3), tuning=QUICK)
    events, _ = carried_out(tiny("mlp"), recipe)
    started, steps, measured = events[0], of_type(events, TuningStep), of_type(events, Measured)
    assert isinstance(started, Started) and (started.rounds, started.steps) == (3, 3 * 2 * 5)
    assert (started.workload, started.classes) == ("mlp", ("a", "b", "c"))
    counts = [step.step for step in steps]
    assert counts == sorted(set(counts)) and counts[-1] == started.steps and counts[0] == 1
    assert [step.round for step in steps] == sorted(step.round for step in steps)
    assert [(m.round, m.step) for m in measured] == [(r, r * 10 + s) for r in range(3) for s in (0, 5, 10)]
    assert {m.split for m in measured} == {"validation"}


def test_every_round_masks_as_much_as_the_schedule_says():
    work = tiny("conv")
    recipe = Recipe("conv", Taylor(), Weights(), Global(), Sparsity(0.8), Polynomial(4, 2), QUICK)
    events, result = carried_out(work, recipe)
    masked, units = of_type(events, Masked), 72 + 180 + 60
    asked = round(0.8 * units)
    assert [(m.round, m.units) for m in masked] == [(r, units) for r in range(4)]
    assert (
        [m.pruned for m in masked]
        == [m.asked for m in masked]
        == [round(each.progress * asked) for each in Polynomial(4, 2).rounds_of(1, 0.8)]
    )
    weights = {"0": 72, "3": 180, "7": 60}
    for m in masked:
        assert sum((1 - m.kept[name]) * units for name, units in weights.items()) == pytest.approx(m.pruned)
    assert [m.sparsity for m in of_type(events, Measured)][-1] == pytest.approx(asked / units)
    zeros = sum(int((result.model.get_parameter(f"{name}.weight") == 0).sum()) for name in weights)
    assert zeros == asked == sum(int((~stays).sum()) for stays in result.keep.values())


def test_the_dense_and_the_pruned_stage_are_what_plain_code_computes():
    work = tiny("conv")
    _, result = carried_out(work, Recipe("conv", amount=Sparsity(0.6), tuning=CUT_ONLY))
    dense = work.build()
    assert result.stages["dense"].score == pytest.approx(accuracy(dense, work.test), abs=1e-12)
    assert result.stages["dense"].validation == pytest.approx(accuracy(dense, work.validation), abs=1e-12)
    weights = [dense[i].weight for i in (0, 3, 7)]
    cut = torch.cat([w.detach().abs().flatten() for w in weights]).sort().values[round(0.6 * 312)]
    for weight in weights:
        weight.data[weight.abs() < cut] = 0.0
    stage = result.stages["pruned"]
    assert stage.score == pytest.approx(accuracy(dense, work.test), abs=1e-12) != result.stages["dense"].score
    assert stage.validation == pytest.approx(accuracy(dense, work.validation), abs=1e-12)
    assert stage.nonzero == sum(int(p.count_nonzero()) for p in dense.parameters())
    file = save({name: tensor.contiguous() for name, tensor in dense.state_dict().items()}, {"format": "pt"})
    assert (stage.bytes, stage.samples, stage.parameters) == (len(file), 300, 324)
    by_class = [accuracy(dense, TensorSplit(work.test.inputs[at], work.test.targets[at])) for at in
                (work.test.targets == c for c in range(3))]  # fmt: skip
    assert stage.class_scores == pytest.approx(by_class, abs=1e-12)
    assert stage.class_samples == tuple(int((work.test.targets == c).sum()) for c in range(3))


@pytest.mark.parametrize("granularity", [Weights(), Channels()])
def test_the_tuned_stage_is_of_the_model_that_is_returned(granularity):
    work = tiny("residual")
    _, result = carried_out(
        work, Recipe("residual", Magnitude(), granularity, WithinLayer(), schedule=Polynomial(2), tuning=QUICK)
    )
    stage = result.stages["tuned"]
    assert stage.score == pytest.approx(accuracy(result.model, work.test), abs=1e-12)
    assert stage.parameters == sum(p.numel() for p in result.model.parameters())
    assert stage.nonzero == sum(int(p.count_nonzero()) for p in result.model.parameters())
    assert list(result.model.state_dict()) == list(work.build().state_dict())
    assert not result.model.training and not result.stopped
    smaller = stage.parameters < result.stages["dense"].parameters
    assert smaller == granularity.removable and (stage.macs < result.stages["dense"].macs) == smaller


def test_tuning_heals():
    recipe = Recipe("mlp", amount=Sparsity(0.5), tuning=Tuning(epochs=15, batch_size=32, learning_rate=0.02))
    _, result = carried_out(tiny("mlp"), recipe)
    assert result.stages["tuned"].score > result.stages["pruned"].score + 0.1


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("criterion", [Magnitude(2), Activation()])
def test_masked_and_removed_outputs_hardly_differ(criterion, network):
    recipe = Recipe(
        network, criterion, Channels(), WithinLayer(), Sparsity(0.5), tuning=Tuning(epochs=1, batch_size=64)
    )
    events, result = carried_out(tiny(network), recipe)
    checks = of_type(events, SurgeryChecked)
    assert [check.stage for check in checks] == ["pruned", "tuned"]
    for check in checks:
        assert check.max_difference < 1e-5
        left = result.stages[check.stage].parameters / result.stages["dense"].parameters
        assert check.removed_parameters == pytest.approx(1 - left) and 0.2 < left < 0.7
        assert 0.3 <= check.pruned_share <= 0.6
    assert not of_type(events, Warned)


def test_the_same_recipe_ends_bitwise_equal():
    recipe = Recipe("conv_bn", Taylor(), Channels(), schedule=Polynomial(2), tuning=QUICK, seed=3)
    (one, first), (two, second) = carried_out(tiny("conv_bn"), recipe), carried_out(tiny("conv_bn"), recipe)
    assert one == two and first.stages == second.stages
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True)
    )


def test_the_workloads_own_model_is_untouched():
    work = tiny("conv")
    model = work.build()
    before = copy.deepcopy(model.state_dict())
    carried_out(replace(work, build=lambda: model), Recipe("conv", schedule=Polynomial(2), tuning=QUICK))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_layer_kept_whole_and_a_share_by_hand_are_obeyed():
    recipe = Recipe("conv", amount=PerLayer({"3": 0.5}, Sparsity(0.9)), keep_whole=("0",), tuning=CUT_ONLY)
    _, result = carried_out(tiny("conv"), recipe)
    pruned = {name: int((~stays).sum()) for name, stays in result.keep.items()}
    assert pruned == {"3": 90, "7": 54}
    assert int((result.model[0].weight == 0).sum()) == 0


def test_a_repair_is_a_stage_and_comes_after_every_cut_and_before_its_tuning():
    recipe = Recipe("m", amount=Sparsity(0.4), schedule=Polynomial(2), tuning=QUICK, repair=LeastSquares(samples=64))
    events, result = carried_out(taught("conv"), recipe)
    assert list(result.stages) == ["dense", "pruned", "repaired", "tuned"]
    names = [type(event).__name__ for event in events]
    for place, name in enumerate(names):
        if name == "Masked":
            assert names[place + 1 : place + 3] == ["Repaired", "Measured"]
    repairs = [event for event in events if isinstance(event, Repaired)]
    assert [event.round for event in repairs] == [0, 0, 1] and all(event.repair == "least_squares" for event in repairs)
    assert repairs[0].score == result.stages["pruned"].validation and all(event.helped for event in repairs)
    assert all(event.after < event.before for event in repairs)


def test_a_cut_that_is_the_whole_amount_is_repaired_once(monkeypatch):
    made: list[int] = []
    real = Mender.mend
    monkeypatch.setattr(Mender, "mend", lambda self, model, masks: made.append(1) or real(self, model, masks))
    recipe = Recipe("conv_bn", amount=Sparsity(0.4), repair=LeastSquares(samples=64), tuning=Tuning(epochs=0))
    events, result = carried_out(tiny("conv_bn"), recipe)
    assert len(made) == 1 and sum(isinstance(event, Repaired) for event in events) == 1
    # the round begins with the network whose stage was measured
    assert result.stages["tuned"] == result.stages["repaired"]
    made.clear()
    carried_out(tiny("conv_bn"), replace(recipe, schedule=Linear(2)))
    assert len(made) == 3  # the whole amount at once, half of it, and the rest


def test_a_repair_that_has_nothing_to_work_with_says_so_and_leaves_the_cut():
    recipe = Recipe("m", amount=Sparsity(0.4), tuning=CUT_ONLY, repair=BatchNorm(samples=64))
    events, result = carried_out(taught("mlp"), recipe)
    (said,) = [event.sentence for event in events if isinstance(event, Warned)]
    assert said.startswith("round 1: the repair batchnorm brought the network no nearer to the one before the cut")
    assert result.stages["repaired"] == result.stages["pruned"]
