"""Training from scratch, lottery tickets and their control: which weights a round begins with."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pruning.errors import RecipeError
from pruning.events import Event, Masked, Measured, UnitSizes, Warned
from pruning.model.drawing import draw_anew
from pruning.model.preparation import open_model
from pruning.model.tensors import copies_of
from pruning.recipe.controls import dense_control, drawn_control
from pruning.recipe.recipe import Recipe, from_json, to_json
from pruning.repair import LeastSquares
from pruning.run.engine import PruneResult, prune
from pruning.run.state import RunState
from pruning.selection.amounts import Sparsity
from pruning.selection.scopes import WithinLayer
from pruning.training.fine_tuning import Training
from pruning.training.regularisers import L1
from pruning.training.rewinds import DrawAnew, NoRewind, RewindWeights
from pruning.training.schedules import Geometric, Linear, OneShot, PolynomialDecay, RigL, Until
from pruning.training.snapshot import Snapshot
from pruning.training.starts import Scratch, Trained
from pruning.training.tuning import Tuning
from pruning.workload import Workload
from tests.networks import CPU, carried_out, taught, tiny

QUICK = Tuning(epochs=2, batch_size=64, learning_rate=0.02)
"""Ten steps: 300 samples in batches of 64."""
TICKETS = Recipe(
    "m", scope=WithinLayer(), amount=Sparsity(0.6), schedule=Linear(2), tuning=QUICK, start=Scratch(2),
    rewind=RewindWeights(7), seed=3,
)  # fmt: skip


def states(work: Workload, recipe: Recipe) -> tuple[list[tuple[Measured, dict[str, Tensor], RunState]], PruneResult]:
    """Every validation that has a checkpoint, with copies of all values at that moment, and the result."""
    seen: list[tuple[Measured, dict[str, Tensor], RunState]] = []
    last: list[Event] = []

    def save(state: RunState) -> tuple[()]:
        assert isinstance(last[-1], Measured)
        seen.append((last[-1], {name: each.detach().clone() for name, each in state.tensors.items()}, state))
        return ()

    run = prune(work, recipe, CPU, save=save)
    while True:
        try:
            last.append(next(run))
        except StopIteration as end:
            return seen, end.value


def at_step(work: Workload, step: int, seed: int) -> dict[str, Tensor]:
    """All values after so many steps of the training from scratch, done by hand."""
    model = open_model(work, CPU)
    draw_anew(model, seed, CPU)
    list(Training(model, work, QUICK, 10, CPU, seed).steps(step, {}))
    return copies_of(model)


@pytest.mark.parametrize("step", [0, 1, 7, 10])
def test_after_each_cut_what_is_left_is_as_it_was_at_that_step(step):
    work = tiny("conv_bn")
    seen, _ = states(work, replace(TICKETS, rewind=RewindWeights(step)))
    early = at_step(work, step, 3)
    cuts = [(tensors, state) for at, tensors, state in seen if at.round and at.step == 10 * at.round]
    assert len(cuts) == 2
    for tensors, state in cuts:
        for name, tensor in tensors.items():
            group, keep = name.removesuffix(".weight"), state.cut.keep
            stays = keep[group].reshape(tensor.shape) if group in keep and tensor.dim() > 1 else None
            expected = early[name] if stays is None else torch.where(stays, early[name], 0.0)
            assert torch.equal(tensor, expected), name
    pruned = [sum(int((~stays).sum()) for stays in state.cut.keep.values()) for _, state in cuts]
    assert 0 < pruned[0] < pruned[1]


def test_the_cut_is_made_by_what_the_weights_have_learnt():
    work = tiny("conv_bn")
    seen, _ = states(work, TICKETS)
    learnt = at_step(work, 10, 3)["0.weight"].abs().flatten()
    keep = next(state.cut.keep["0"] for at, _, state in seen if at.round == 1)
    assert float(learnt[~keep].max()) <= float(learnt[keep].min())


def test_without_epochs_the_first_cut_is_among_drawn_weights():
    work = tiny("mlp")
    seen, _ = states(work, replace(TICKETS, start=Scratch(0), rewind=NoRewind(), schedule=OneShot()))
    drawn = at_step(work, 0, 3)
    at, tensors, state = seen[0]
    assert (at.round, at.step) == (0, 0)
    keep = state.cut.keep["0"]
    assert torch.equal(tensors["0.weight"].flatten()[keep], drawn["0.weight"].flatten()[keep])
    sizes = drawn["0.weight"].abs().flatten()
    assert float(sizes[~keep].max()) <= float(sizes[keep].min())


def test_the_control_keeps_the_mask_and_draws_what_is_left():
    work = tiny("conv_bn")
    tickets, _ = states(work, replace(TICKETS, schedule=OneShot()))
    drawn, _ = states(work, replace(TICKETS, schedule=OneShot(), rewind=DrawAnew()))
    first, second = (next((t, s.cut.keep) for at, t, s in seen if at.round == 1) for seen in (tickets, drawn))
    assert all(torch.equal(first[1][name], second[1][name]) for name in first[1])
    stays = first[1]["0"].reshape(first[0]["0.weight"].shape)
    one, other = first[0]["0.weight"], second[0]["0.weight"]
    assert not other[~stays].any() and not bool((one[stays] == other[stays]).any())
    assert torch.equal(other[stays], at_step(work, 0, 3 + 2)["0.weight"][stays])  # by another seed in each round


def test_the_stages_before_show_the_network_that_was_given():
    work = taught("mlp")
    _, given = carried_out(work, replace(TICKETS, start=Trained(), rewind=NoRewind()))
    events, result = carried_out(work, TICKETS)
    assert all(result.stages[name] == given.stages[name] for name in ("dense", "pruned"))
    assert [event.progress for event in events if isinstance(event, Masked)] == [0.0, 0.5, 1.0]
    assert events[0].steps == 30


@pytest.mark.parametrize("schedule", [PolynomialDecay(0.0, 2, 8, 3), RigL(0.5, 3), Geometric(0.3)])
def test_a_network_is_pruned_while_it_is_trained_from_scratch(schedule):
    recipe = Recipe("m", schedule=schedule, tuning=replace(QUICK, epochs=4), start=Scratch(0))
    _, result = carried_out(tiny("mlp"), recipe)
    assert sum(int((~stays).sum()) for stays in result.keep.values()) == 31  # half of 62


def test_training_from_scratch_and_sparse_training_follow_one_another():
    recipe = Recipe("m", tuning=QUICK, start=Scratch(1), regulariser=L1(0.01, epochs=1))
    events, _ = carried_out(tiny("mlp"), recipe)
    assert [(e.round, e.step) for e in events if isinstance(e, Measured)] == [
        *((0, 0), (0, 5), (1, 5), (1, 10), (2, 10), (2, 15), (2, 20)),
    ]
    assert [event.round for event in events if isinstance(event, UnitSizes)] == [1, 1]


def test_a_network_from_scratch_is_not_given_up_before_it_has_learnt():
    recipe = replace(TICKETS, schedule=Until(1.0, 2), rewind=NoRewind(), start=Scratch(1))
    events, _ = carried_out(taught("mlp"), replace(recipe, schedule=Until(0.0, 2), tuning=replace(QUICK, epochs=1)))
    masked = [event for event in events if isinstance(event, Masked)]
    assert masked[1].progress > 0  # it got to the first cut, whatever the first epoch scored
    assert sum(isinstance(event, Warned) for event in events) <= 1


def test_a_snapshot_goes_on_from_its_state():
    model = tiny("mlp").build()
    one, other = Snapshot(model, 3), Snapshot(model, 3)
    for _ in range(2):
        one.after_step(model)
    other.load(one.state())
    model[0].weight.data.add_(1.0)
    other.after_step(model)
    assert torch.equal(other.tensors["0.weight"], model[0].weight)
    assert not torch.equal(one.tensors["0.weight"], model[0].weight)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"start": Trained()}, "rewind weights goes back into a training from scratch, .* choose start scratch"),
        ({"schedule": PolynomialDecay()}, "schedule polynomial_decay is one training: choose schedule geometric"),
        ({"repair": LeastSquares()}, "rewind weights puts other values .* choose repair none"),
        ({"tuning": Tuning(epochs=0)}, "rewind weights leaves weights that have to learn, .* raise tuning.epochs"),
        ({"rewind": DrawAnew(), "repair": LeastSquares()}, "rewind draw_anew puts other values"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, sentence):
    with pytest.raises(RecipeError, match=sentence):
        replace(TICKETS, **changes)


def test_a_step_that_training_does_not_reach_is_refused_before_any_work():
    with pytest.raises(RecipeError, match=r"rewind\.step is 11, but training from scratch takes 10 optimiser steps"):
        list(prune(tiny("mlp"), replace(TICKETS, rewind=RewindWeights(11)), CPU))


def test_controls():
    assert drawn_control(TICKETS) == replace(TICKETS, rewind=DrawAnew())
    assert dense_control(TICKETS).rewind == NoRewind() and dense_control(TICKETS).start == Scratch(2)
    with pytest.raises(RecipeError, match="rewind none brings no weights back"):
        drawn_control(Recipe("m"))


def test_a_recipe_of_a_trained_network_is_written_as_before():
    assert not {"start", "rewind"} & {*to_json(Recipe("m")).split('"')}
    assert from_json(to_json(TICKETS)) == TICKETS
