"""What is known of every sample beforehand, column by column; and from how far an interval's end is foreseen."""

import math

import pytest
import torch
from torch import Tensor

from pruning.evaluation.regression_estimator import MOST_CLASSES, DenseReferenceBuilder
from pruning.evaluation.sequential_bounds import UntilNarrow
from pruning.workload import Classification


def predictors(targets: Tensor, classes: int) -> Tensor:
    """The predictors of a network that gives these targets random logits."""
    logits = torch.randn(len(targets), classes, generator=torch.Generator().manual_seed(0))
    builder = DenseReferenceBuilder(Classification(tuple(map(str, range(classes)))), len(targets))
    builder.add(torch.arange(len(targets)), logits, targets)
    return builder.known().predictors


def test_the_rank_of_a_sample_is_a_predictor_and_so_is_its_square():
    found = predictors(torch.arange(60) % 3, 3)
    assert torch.equal(found[:, 3].sort().values, torch.arange(60).double() / 60)
    assert torch.allclose(found[:, 4], found[:, 3] ** 2)


def test_a_class_that_no_sample_has_is_a_column_of_zeros():
    found = predictors(torch.arange(60) % 2, 4)  # of 4 classes the last two are missing
    assert found.shape == (60, 2 + 3 + 3)
    assert found[:, 5].tolist() == [0.0, 1.0] * 30 and not found[:, 6:].any()


@pytest.mark.parametrize("classes, columns", [(MOST_CLASSES, MOST_CLASSES - 1), (MOST_CLASSES + 1, 0)])
def test_many_classes_are_no_predictors(classes, columns):
    assert predictors(torch.arange(60) % classes, classes).shape == (60, 2 + 3 + columns)


def test_an_interval_that_is_nearly_narrow_enough_needs_a_few_more_samples():
    until, total, samples = UntilNarrow(0.01), 10_000, 1000
    half = 0.012
    enough = until.enough(half, samples, total)
    # the standard error shrinks like the root of the variance, and the boundary by its fourth root: 1.2^(4/3) in all
    variance = (1 / samples - 1 / total) / 1.2 ** (4 / 3)
    assert enough == math.ceil(1 / (variance + 1 / total)) and 1200 < enough < 1300


class Constant(Classification):
    """Scores every output 1, whatever its shape."""

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return torch.ones(len(output))


@pytest.mark.parametrize(
    "classes, outputs, targets, known",
    [
        (2, (6, 2), torch.zeros(6, dtype=torch.long), True),
        (1, (6, 1), torch.zeros(6, dtype=torch.long), False),  # one class: nothing to tell apart
        (3, (6, 4), torch.zeros(6, dtype=torch.long), False),  # an output for something else than a class
        (3, (6, 3), torch.zeros(6), False),  # targets that are no class numbers
        (3, (6, 3), torch.zeros(6, 3, dtype=torch.long), False),
    ],
)
def test_only_logits_of_the_classes_give_predictors_of_the_classes(classes, outputs, targets, known):
    builder = DenseReferenceBuilder(Constant(tuple("abc"[:classes])), 6)
    builder.add(torch.arange(6), torch.rand(outputs), targets)
    found = builder.known()
    assert found.predictors.shape[1] == (2 + 3 + 1 if known else 2)
    assert found.chance == (1.0 if known else 0.0)


def test_every_batch_counts_towards_what_has_been_evaluated():
    builder = DenseReferenceBuilder(Constant(("a", "b")), 9)
    for batch in torch.arange(9).split([2, 3, 4]):
        builder.add(batch, torch.rand(len(batch), 2), torch.zeros(len(batch), dtype=torch.long))
    assert builder.evaluated == builder.known().evaluated == 9
