"""RigL in a run: exactly as many weights at every step, weights that return, and what is refused."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from pruning.errors import RecipeError
from pruning.events import Event, Masked, Started, Warned
from pruning.granularities import Channels, Kernels
from pruning.recipe.controls import dense_control
from pruning.recipe.recipe import Recipe
from pruning.repair import LeastSquares
from pruning.run.engine import prune
from pruning.run.state import RunState
from pruning.selection.amounts import PerLayer, Sparsity
from pruning.selection.scopes import WithinBlocks, WithinLayer, WithinRow
from pruning.training.fine_tuning import Training
from pruning.training.schedules import OneShot, RigL
from pruning.training.tuning import Tuning
from pruning.workload import Classification, TensorSplit, Workload
from tests.networks import CPU, NETWORKS, carried_out, taught, tiny

TUNING = Tuning(epochs=4, batch_size=64, learning_rate=0.05)
"""Twenty steps: 300 samples in batches of 64."""


def masked(events: list[Event]) -> list[Masked]:
    return [event for event in events if isinstance(event, Masked)]


def test_exchanges_fall_along_half_a_cosine_and_end_in_time():
    rounds = RigL(0.4, frequency=5, end=0.8).rounds_of(30, 0.9)
    assert [(each.progress, each.steps) for each in rounds] == [(1.0, 5)] * 4 + [(1.0, 10)]
    shares = [0.2 * (1 + math.cos(math.pi * at / 24)) for at in (5, 10, 15, 20)]
    assert [each.exchange for each in rounds] == pytest.approx([0.0, *shares])
    assert sum(each.steps for each in rounds) == 30


@pytest.mark.parametrize("steps", [0, 10, 13])
def test_a_training_too_short_for_an_exchange_is_refused(steps):
    with pytest.raises(RecipeError, match=r"schedule\.frequency is 10, but exchanges end after .* raise tuning"):
        RigL(frequency=10).rounds_of(steps, 0.5)
    assert len(RigL(frequency=10).rounds_of(14, 0.5)) == 2


def test_more_than_a_thousand_exchanges_are_refused():
    with pytest.raises(RecipeError, match="more than 1000 exchanges"):
        RigL(frequency=1).rounds_of(2000, 0.5)


@pytest.mark.parametrize("name", NETWORKS)
def test_at_every_validation_exactly_as_many_weights_are_zero_and_some_have_come_back(name):
    recipe = Recipe("m", scope=WithinLayer(), amount=Sparsity(0.7), schedule=RigL(0.5, 4, 0.9), tuning=TUNING)
    work = tiny(name)
    seen: list[dict[str, torch.Tensor]] = []

    def save(state: RunState) -> tuple[()]:
        seen.append({n: t.clone() for n, t in state.tensors.items() if n.endswith("weight") and t.dim() > 1})
        for group, stays in state.cut.keep.items():
            assert int((~stays).sum()) == round(0.7 * len(stays))
            weight = state.tensors[f"{group}.weight"].flatten()
            assert not weight[~stays.cpu()].any()
        return ()

    run = prune(work, recipe, CPU, save=save)
    events: list[Event] = []
    while True:
        try:
            events.append(next(run))
        except StopIteration as end:
            result = end.value
            break
    cuts = masked(events)
    assert len(cuts) == 5 == next(event.rounds for event in events if isinstance(event, Started))
    assert {cut.pruned for cut in cuts} == {cuts[0].pruned} and cuts[0].exchanged == 0
    assert sum(cut.exchanged for cut in cuts) > 0
    first, last = ({n: t != 0 for n, t in each.items()} for each in (seen[0], seen[-1]))
    assert any(bool((last[n] & ~first[n]).any()) for n in last)
    # of those that came back a few may never have learnt: behind a unit that is dead their slope is 0
    assert result.stages["tuned"].nonzero <= result.stages["pruned"].nonzero


def test_weights_that_return_start_at_zero_without_a_past():
    recipe = Recipe("m", amount=Sparsity(0.5), schedule=RigL(0.8, 4, 0.9), tuning=TUNING)
    states: list[RunState] = []
    pasts: list[dict[int, torch.Tensor]] = []

    def save(state: RunState) -> tuple[()]:
        states.append(replace(state, tensors={name: each.clone() for name, each in state.tensors.items()}))
        pasts.append({i: each["exp_avg"].clone() for i, each in state.training["optimiser"]["state"].items()})
        return ()

    for _ in prune(tiny("mlp"), recipe, CPU, save=save):
        pass
    cuts = [place for place in range(1, len(states)) if states[place].cut.number > states[place - 1].cut.number]
    names = [name for name, _ in tiny("mlp").build().named_parameters()]
    grown = 0
    for place in cuts:
        for group, stays in states[place].cut.keep.items():
            new = stays & ~states[place - 1].cut.keep[group]
            assert not states[place].tensors[f"{group}.weight"].flatten()[new].any()
            past = pasts[place][names.index(f"{group}.weight")].flatten()
            assert not past[new].any() and bool(past[stays & ~new].any())
            grown += int(new.sum())
    assert grown == sum(state.cut.reported.exchanged for state in (states[place] for place in cuts)) > 0


def test_forgetting_leaves_other_weights_their_past():
    model = nn.Sequential(nn.Linear(6, 3))
    training = Training(model, tiny("mlp"), replace(TUNING, optimiser="sgd"), 4, CPU, 0)
    list(training.steps(2, {}))
    before = next(iter(training.state()["optimiser"]["state"].values()))["momentum_buffer"].clone()
    here = torch.zeros(3, 6, dtype=torch.bool)
    here[0, 1] = True
    training.forget({"0.weight": here})
    after = next(iter(training.state()["optimiser"]["state"].values()))["momentum_buffer"]
    assert float(after[0, 1]) == 0.0 != float(before[0, 1]) and torch.equal(after[~here], before[~here])


def telling() -> Workload:
    """Only the first of four inputs tells the class, and its weights are the smallest."""

    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(4, 2))
        with torch.no_grad():
            model[0].weight.copy_(torch.tensor([[0.001, 0.02, 0.03, 0.04], [-0.001, 0.03, 0.02, 0.01]]))
            model[0].bias.zero_()
        return model.eval()

    def split(seed: int) -> TensorSplit:
        inputs = torch.randn(300, 4, generator=torch.Generator().manual_seed(seed))
        return TensorSplit(inputs, (inputs[:, 0] > 0).long())

    train, validation, test = map(split, range(3))
    return Workload("telling", build, train.inputs[:1], train, validation, test, Classification(("a", "b")))


def test_what_the_loss_needs_comes_back():
    def end(schedule) -> tuple[float, torch.Tensor]:
        recipe = Recipe("m", scope=WithinLayer(), amount=Sparsity(0.5), schedule=schedule, tuning=TUNING)
        _, result = carried_out(telling(), recipe)
        return result.stages["tuned"].score, result.keep["0"].reshape(2, 4)[:, 0]

    without, kept = end(OneShot())
    assert not bool(kept.any())
    score, kept = end(RigL(0.5, 4, 0.9))
    assert bool(kept.all()) and score > without + 0.15


def test_only_the_cut_is_repaired():
    recipe = Recipe("m", schedule=RigL(0.5, 5), tuning=TUNING, repair=LeastSquares(samples=64))
    events, _ = carried_out(taught("mlp"), recipe)
    assert [type(event).__name__ for event in events].count(
        "Repaired"
    ) == 1  # the stage, which is the first round's cut


def test_units_that_are_no_single_weights_are_refused():
    for granularity in (Channels(), Kernels()):
        with pytest.raises(RecipeError, match=r"schedule rigl exchanges single weights, .* choose granularity weights"):
            Recipe("m", granularity=granularity, schedule=RigL())
    for scope in (WithinRow(), WithinBlocks()):
        with pytest.raises(RecipeError, match="counts them in each row: choose scope global or layer"):
            Recipe("m", scope=scope, schedule=RigL())


def test_layers_that_lose_nothing_and_all_stay_as_they_are():
    recipe = Recipe("m", amount=PerLayer({"0": 0.0, "2": 1.0}, Sparsity(0.5)), schedule=RigL(0.5, 5), tuning=TUNING)
    events, result = carried_out(tiny("mlp"), recipe)
    assert bool(result.keep["0"].all()) and not bool(result.keep["2"].any())
    assert not [event for event in events if isinstance(event, Warned)]


def test_the_dense_control_exchanges_nothing():
    recipe = Recipe("m", schedule=RigL(0.5, 5), tuning=TUNING)
    events, result = carried_out(tiny("mlp"), dense_control(recipe))
    assert all(bool(stays.all()) for stays in result.keep.values())
    assert {cut.exchanged for cut in masked(events)} == {0}
