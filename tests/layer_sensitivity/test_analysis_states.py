"""A map is interrupted, fails, is asked for something else and keeps what it says: it goes on."""

import pytest
import torch
from torch import nn

from pruning.criteria import Magnitude, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.evaluation.accuracy import Evaluator
from pruning.evaluation.sequential_bounds import FIRST_LOOK, UntilNarrow
from pruning.granularities import Weights
from pruning.layer_sensitivity.activation_cache import CACHE_BYTES
from pruning.layer_sensitivity.analysis import SensitivityAnalysis
from pruning.layer_sensitivity.result import largest_cuts
from pruning.layer_sensitivity.suffix_graph import tensors_in
from pruning.recipe.recipe import Recipe
from tests.architectures import LSTMClassifier
from tests.layer_sensitivity.test_analysis import LEVELS, cells, naive, sensing, wide
from tests.networks import CPU, seeded, taught, tiny, workload


def test_a_map_goes_on_from_where_it_was_left():
    work = tiny("mlp", count=2000)
    one = sensing(work)
    coarse = one.advance(60.0, 0.1)
    assert coarse.done
    finer = one.advance(60.0, 0.0)
    once = 2000 * sum(len({c.pruned for c in row.cells}) for row in finer.rows)
    assert finer.done and finer.spent < once + coarse.spent  # only what was rounded is evaluated again
    assert cells(finer) == cells(sensing(work).advance(60.0, 0.0))


def test_a_map_may_be_interrupted_between_any_two_steps():
    work = tiny("residual", count=250)
    whole, bit_by_bit = sensing(work).advance(60.0, 0.0), sensing(work)
    steps, sensed = 0, whole
    while steps < 100 or sensed.half_width or not sensed.done:
        sensed = bit_by_bit.advance(0.0, (0.3, 0.2, 0.1)[steps % 3] if steps < 100 else 0.0)
        steps += 1
        assert steps < 20_000
    assert steps > 100 and cells(sensed) == cells(whole)


def test_work_in_the_middle_leaves_the_network_alone():
    work = tiny("conv_bn")
    one = sensing(work)
    before = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    for _ in range(40):
        one.advance(0.0, 0.0)
        for model in (one.model, one._cut_model.work):  # cuts are made in the copy, and taken back after each batch
            assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_dense_network_runs_once_where_it_is_not_known():
    work = tiny("conv_bn", count=3000)
    model, passed = work.build(), 0
    groups, _ = Weights().sorted_out(model, work.example)
    scores = unit_scores(Magnitude(), model, groups, Calibration(work, CPU, 0))
    one = SensitivityAnalysis(model, groups, scores, LEVELS, None, Evaluator(work.validation, work.task, CPU))
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    one.advance(0.0, 0.02)  # the network has been tried out on examples by now

    def count(module, inputs, output):
        nonlocal passed
        passed += len(output)

    first.register_forward_hook(count)
    before = one.known.evaluated
    coarse = one.advance(0.0, 0.02)
    while not all(cell.estimate.samples for row in coarse.rows for cell in row.cells):
        coarse = one.advance(0.0, 0.02)
    assert before < 3000  # a first look does not wait for the whole pass
    last = one.advance(60.0, 0.0)
    assert last.done and passed == 3000 - before
    assert cells(last) == naive(work, Recipe("tiny"), LEVELS)
    assert last.dense == Evaluator(work.validation, work.task, CPU).score(model)


def test_what_layers_see_is_walked_anew_where_there_is_no_room(monkeypatch):
    work = tiny("residual", count=700)
    kept = sensing(work).advance(60.0, 0.0)
    monkeypatch.setattr("pruning.layer_sensitivity.activation_cache.CACHE_BYTES", 0)
    assert cells(sensing(work).advance(60.0, 0.0)) == cells(kept)
    one = sensing(work)
    unknown = SensitivityAnalysis(one.model, one.groups, one.scores, one.levels, None, one.evaluator)
    assert cells(unknown.advance(60.0, 0.0)) == cells(kept)
    assert not unknown._activations._kept


def test_a_map_that_decides_may_be_interrupted_and_asked_for_another_limit():
    work = tiny("conv_bn", count=3000)
    one, whole = sensing(work), sensing(work).advance(60.0, 0.05, 0.02)
    for step in range(300):
        one.advance(0.0, 0.05, (0.02, 0.05)[step % 2])
    sensed = one.advance(60.0, 0.05, 0.02)
    assert sensed.done and largest_cuts(sensed, 0.02) == largest_cuts(whole, 0.02)
    for limit in (0.001, 0.003, 0.01, 0.04, 0.08, 0.15, 0.3):
        assert one.advance(60.0, 0.05, limit).done
        assert one.advance(60.0, 0.05).done  # a cell that has decided is as narrow as before
    for step in range(200):
        between = one.advance(0.0, 0.05, (0.002, 0.07)[step % 2])
        for row in between.rows:
            costs = [cell.estimate.half_width - cell.estimate.change for cell in row.cells]
            first = next((i for i, cost in enumerate(costs) if cost > between.max_drop), None)
            open_ = [i for i, cell in enumerate(row.cells) if not cell.done]
            assert open_ in ([], [first])  # one cell of a row decides, and where it is sure none is open
            if first is not None and not open_:
                assert -row.cells[first].estimate.change - row.cells[first].estimate.half_width > between.max_drop


def test_an_exact_map_forgets_nothing_when_the_limit_moves():
    one = sensing(workload(lambda: seeded(wide), (6,), count=600), (0.5, 0.95))
    once = one.advance(60.0, 0.0, 0.01)
    assert once.done and once.spent == 600 * 6
    for half_width, max_drop in ((0.0, 0.02), (0.0, None), (0.05, 0.01), (0.0, 0.01)):
        again = one.advance(0.0, half_width, max_drop)
        assert again.done and again.spent == once.spent and cells(again) == cells(once)


def test_a_map_goes_on_after_an_error(monkeypatch):
    work = tiny("mlp", count=400)
    whole, one = sensing(work).advance(60.0, 0.0), sensing(work)
    judge, calls = type(work.task).judge, 0

    def failing(self, output, target):
        nonlocal calls
        calls += 1
        if calls in (1, 5):
            raise RuntimeError("once")
        return judge(self, output, target)

    monkeypatch.setattr(type(work.task), "judge", failing)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="once"):
            one.advance(60.0, 0.0)
    sensed = one.advance(60.0, 0.0)
    assert sensed.done and cells(sensed) == cells(whole)


@pytest.mark.parametrize("levels, groups", [((0.0,), 3), ((0.5,), 0)])
def test_a_map_without_cuts_still_knows_the_dense_network(levels, groups):
    work = tiny("mlp", count=3000)
    one = sensing(work, levels)
    unknown = SensitivityAnalysis(one.model, one.groups[:groups], one.scores, levels, None, one.evaluator)
    sensed = unknown.advance(0.0, 0.05)
    while not sensed.done:
        sensed = unknown.advance(0.0, 0.05)
    assert sensed.dense == float(
        Evaluator(work.validation, work.task, CPU).evaluate_all(work.build())[0].double().mean()
    )


def test_a_network_in_training_mode_is_evaluated_in_evaluation_and_left_alone():
    work = taught("conv_bn")
    model = work.build().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    one = sensing(work)
    sensed = SensitivityAnalysis(model, one.groups, one.scores, LEVELS, None, one.evaluator).advance(60.0, 0.0)
    assert cells(sensed) == naive(work, Recipe("tiny"), LEVELS)
    assert sensed.dense == one.evaluator.score(work.build())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())


def test_what_has_been_looked_at_is_estimated_anew_for_another_width():
    """Also where it has come to the first look only."""
    one = sensing(taught("mlp", count=2000))
    while not any(cell.samples == FIRST_LOOK and cell.estimate.samples for cell in one._cells()):
        one.advance(0.0, 0.2)
    one.advance(0.0, 0.01)
    there = [cell for cell in one._cells() if cell.samples == FIRST_LOOK]
    assert there
    for cell in there:
        assert cell.estimate == one.known.estimates(cell.scores[None, :FIRST_LOOK], UntilNarrow(0.01))[0]


def test_no_more_is_kept_in_memory_than_is_counted():
    """The last step of a long sequence is a view that would keep the whole sequence."""
    work = workload(lambda: seeded(LSTMClassifier), (5, 4), count=400)
    one = sensing(work)
    one.advance(60.0, 0.0)
    kept = [
        each
        for batch in one._activations._kept.values()
        for each in (batch.inputs, batch.target, *(t for values in batch.seen.values() for t in tensors_in(values)))
    ]
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in kept}
    assert kept and CACHE_BYTES - one._activations._room == sum(storages.values())
    assert all(each.untyped_storage().nbytes() <= each.numel() * each.element_size() for each in kept[:-1])
