import pytest
import torch
from torch import nn

from pruning.workload import Classification, TensorSplit, shuffled
from tests.networks import CPU


def split(n: int, **how) -> TensorSplit:
    return TensorSplit(torch.arange(n, dtype=torch.uint8), torch.arange(n), **how)


def order(n: int, size: int, seed: int) -> list[list[int]]:
    return [y.tolist() for _, y in shuffled(split(n), size, CPU, torch.Generator().manual_seed(seed))]


def test_an_epoch_holds_every_sample_once_in_an_order_that_the_seed_decides():
    assert sorted(target for batch in order(10, 4, 0) for target in batch) == list(range(10))
    assert order(10, 4, 0) == order(10, 4, 0) != order(10, 4, 1)


def test_a_last_batch_of_one_sample_is_left_out():
    assert [len(batch) for batch in order(9, 4, 0)] == [4, 4]
    assert [len(batch) for batch in order(1, 4, 0)] == [1]


def test_inputs_are_stored_as_given_and_prepared_when_asked_for():
    prepared = split(3, prepare=lambda stored: stored.float() / 2)
    inputs, targets = prepared.batch(torch.tensor([2, 1]), CPU)
    assert inputs.tolist() == [1.0, 0.5] and targets.tolist() == [2, 1]


def test_only_a_pass_with_a_generator_is_augmented():
    noisy = split(3, prepare=torch.Tensor.float, augment=lambda x, g: x + torch.rand(x.shape, generator=g))
    index = torch.arange(3)
    plain, _ = noisy.batch(index, CPU)
    one, two = (noisy.batch(index, CPU, torch.Generator().manual_seed(seed))[0] for seed in (0, 1))
    assert plain.tolist() == [0.0, 1.0, 2.0]
    assert not torch.equal(one, plain) and not torch.equal(one, two)


def test_classification_is_evaluated_by_the_highest_logit():
    task = Classification(("a", "b"))
    evaluated = task.judge(torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 4.0]]), torch.tensor([0, 1, 1]))
    assert evaluated.tolist() == [1.0, 1.0, 0.0] and evaluated.dtype == torch.float32


def test_classification_is_tuned_by_cross_entropy():
    loss = Classification(("a", "b")).loss(nn.Identity(), (torch.zeros(3, 2), torch.tensor([0, 1, 1])))
    assert float(loss) == pytest.approx(0.693147, abs=1e-6)
