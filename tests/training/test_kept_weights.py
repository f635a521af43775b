"""An average of weights worked out by hand, the best weights after a patience, and both in the middle of a training."""

import copy

import pytest
import torch
from torch import Tensor, nn

from pruning.model.tensors import copies_of, put_into, tensors_of
from pruning.training.fine_tuning import Training, tune
from pruning.training.kept_weights import Average, KeptWeights
from pruning.training.tuning import Tuning
from tests.networks import CPU, tiny


def single(value: float) -> nn.Module:
    """One weight and one running mean."""
    model = nn.BatchNorm1d(1)
    model.weight.data.fill_(value)
    model.running_mean.fill_(2 * value)
    return model


def higher(one: float, other: float) -> bool:
    return one > other


def test_the_average_follows_as_worked_out_by_hand():
    model = single(0.0)
    average = Average(model, 0.5)
    # of the first average 1/11 stays, then 2/12, ...; from the tenth step on a half
    for value, expected in ((11.0, 10.0), (22.0, 20.0), (7.0, 20.0 * 3 / 13 + 7.0 * 10 / 13)):
        put_into(model, tensors_of(single(value)))
        model.num_batches_tracked += 1
        average.follow(model)
        assert float(average.tensors["weight"]) == pytest.approx(expected)
        assert float(average.tensors["running_mean"]) == pytest.approx(2 * expected)
        assert torch.equal(average.tensors["num_batches_tracked"], model.num_batches_tracked)
    for _ in range(10):
        average.follow(model)
    before = float(average.tensors["weight"])
    put_into(model, tensors_of(single(100.0)))
    average.follow(model)
    assert float(average.tensors["weight"]) == pytest.approx((before + 100.0) / 2)


def test_what_is_zero_all_the_time_is_exactly_zero_in_the_average():
    work = tiny("conv_bn")
    model = work.build()
    masks = {name: torch.rand(p.shape) < 0.5 for name, p in model.named_parameters() if p.dim() > 1}
    for name, stays in masks.items():
        model.get_parameter(name).data[~stays] = 0.0
    training = Training(model, work, Tuning(batch_size=64, average=0.9, learning_rate=0.05), 10, CPU, 0)
    list(training.steps(10, masks))
    raw = copies_of(model)
    with training.kept.validated():
        averaged = copies_of(model)
    assert all(torch.equal(raw[name], tensor) for name, tensor in tensors_of(model).items())
    training.kept.settle()
    assert all(torch.equal(averaged[name], tensor) for name, tensor in tensors_of(model).items())
    for name, stays in masks.items():
        assert int(averaged[name][~stays].count_nonzero()) == 0 and int(averaged[name][stays].count_nonzero())
        assert not torch.allclose(averaged[name], raw[name], rtol=1e-3)


def test_a_whole_tuning_leaves_the_average():
    work, tuning = tiny("mlp"), Tuning(epochs=2, batch_size=100, average=0.9)
    model, parted = work.build(), work.build()
    list(tune(model, work, tuning, {}, CPU, 0))
    training = Training(parted, work, tuning, 6, CPU, 0)
    list(training.steps(6, {}))
    with training.kept.validated():
        assert all(torch.equal(tensor, tensors_of(model)[name]) for name, tensor in tensors_of(parted).items())


def test_an_average_of_a_later_part_begins_anew():
    work = tiny("mlp")
    model = work.build()
    training = Training(model, work, Tuning(batch_size=100, average=0.99999), 6, CPU, 0)
    list(training.steps(3, {}))
    training.kept.settle()
    between = copies_of(model)
    list(training.steps(0, {}))
    training.kept.settle()
    assert all(torch.equal(between[name], tensor) for name, tensor in tensors_of(model).items())
    list(training.steps(1, {}))
    raw = copies_of(model)
    training.kept.settle()
    name = "0.weight"
    assert torch.allclose(model[0].weight.detach(), between[name] / 11 + raw[name] * 10 / 11, atol=1e-6)


@pytest.mark.parametrize(
    "scores, over, best",
    [
        ([0.5, 0.6, 0.7], [False, False, False], 2),
        ([0.5, 0.4, 0.3], [False, False, True], 0),
        ([0.5, 0.4, 0.6, 0.6, 0.6], [False, False, False, False, True], 2),  # as good is not better
    ],
)
def test_patience_counts_validations_without_a_better_one(scores, over, best):
    model = single(0.0)
    kept = KeptWeights(model, 0.0, patience=2)
    for step, (score, expected) in enumerate(zip(scores, over, strict=True)):
        model.weight.data.fill_(float(step))
        with kept.validated():
            kept.note(score, step, higher)
        assert kept.over == expected
    found = kept.settle()
    assert found is not None and (found.score, found.step) == (scores[best], best)
    assert float(model.weight.detach()) == best and not kept.over


def test_where_lower_is_better_the_lowest_score_is_kept():
    model = single(0.0)
    kept = KeptWeights(model, 0.0, patience=5)
    for step, score in enumerate((3.0, 1.0, 2.0)):
        model.weight.data.fill_(float(step))
        kept.note(score, step, lambda one, other: one < other)
    assert kept.settle().score == 1.0 and float(model.weight.detach()) == 1.0


def test_the_best_weights_are_those_that_were_validated():
    model = single(0.0)
    kept = KeptWeights(model, 0.5, patience=1)
    kept.begin()
    model.weight.data.fill_(11.0)
    kept.follow()
    with kept.validated():
        assert float(model.weight.detach()) == pytest.approx(10.0)
        kept.note(0.9, 1, higher)
    assert float(model.weight.detach()) == 11.0
    kept.settle()
    assert float(model.weight.detach()) == pytest.approx(10.0)


def test_nothing_is_kept_apart_where_nobody_asked():
    model = single(3.0)
    kept = KeptWeights(model, 0.0, None)
    kept.begin()
    kept.note(0.5, 0, higher)
    model.weight.data.fill_(4.0)
    kept.follow()
    assert kept.settle() is None and float(model.weight.detach()) == 4.0
    assert kept.state() == {"average": None, "best": None, "worse": 0}


def test_a_block_that_fails_leaves_the_weights_of_the_training():
    model = single(1.0)
    kept = KeptWeights(model, 0.5, None)
    kept.begin()
    model.weight.data.fill_(5.0)
    with pytest.raises(ValueError, match="stop"), kept.validated():
        assert float(model.weight.detach()) == 1.0
        raise ValueError("stop")
    assert float(model.weight.detach()) == 5.0


def test_the_state_says_all_that_the_rest_depends_on():
    def ends(interrupted: bool) -> tuple[list[bool], dict[str, Tensor]]:
        model = single(0.0)
        kept, over = KeptWeights(model, 0.5, patience=2), list[bool]()
        kept.begin()
        for step, score in enumerate((0.5, 0.7, 0.6, 0.65)):
            model.weight.data.fill_(float(step))
            kept.follow()
            with kept.validated():
                kept.note(score, step, higher)
            over.append(kept.over)
            if interrupted:
                state = copy.deepcopy(kept.state())
                kept = KeptWeights(model, 0.5, patience=2)
                kept.load(state)
                kept.begin()
        kept.settle()
        return over, copies_of(model)

    (over, values), (over_again, values_again) = ends(False), ends(True)
    assert over == over_again == [False, False, False, True]
    assert all(torch.equal(values[name], values_again[name]) for name in values)
