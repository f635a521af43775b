"""Scores whose task does not say what they are: told from its losses, sample by sample."""

import warnings
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pruning
from pruning.metric import ACCURACY, Metric
from pruning.model.score_order import order_of, with_metric
from pruning.workload import Batch, TensorSplit, Workload, metric_of

VECTORS = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
SPLIT = TensorSplit(VECTORS, VECTORS[:, :1] * 3)


class Judged:
    """Learns by the squared error, and is judged by whatever is given."""

    classes: tuple[str, ...] = ()

    def __init__(self, score: object) -> None:
        self.score = score

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.mse_loss(model(batch[0]), batch[1])

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return self.score(output, target)  # type: ignore[operator]


def work(score: object) -> Workload:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1)).eval()
    return Workload("regression", lambda: model, VECTORS[:1], SPLIT, SPLIT, SPLIT, Judged(score))


def squared(output: Tensor, target: Tensor) -> Tensor:
    return ((output - target) ** 2).flatten()


PLAIN = {
    "squared error": (squared, Metric("error", better="lower")),
    "absolute error": (lambda o, t: squared(o, t).sqrt(), Metric("error", better="lower")),
    "an error below 1": (lambda o, t: squared(o, t) / 1e3, Metric("error", better="lower")),
    "minus the squared error": (lambda o, t: -squared(o, t), Metric("score")),
    "R2": (lambda o, t: 1 - squared(o, t) / 9, Metric("score")),
}


@pytest.mark.parametrize("name", PLAIN)
def test_scores_that_go_with_the_loss_are_taken_in_their_unit_and_direction_with_a_word(name):
    score, right = PLAIN[name]
    given = work(score)
    with pytest.warns(UserWarning, match=f"regression: the task does not say.*so {right.better} is taken for better"):
        told = with_metric(given)
    assert metric_of(told.task) == right
    assert metric_of(given.task) == ACCURACY, "the person's own task is as it was"
    assert replace(told, task=given.task) == given


@pytest.mark.parametrize(
    "score",
    [
        lambda o, t: torch.exp(-squared(o, t)),  # from 0 to 1, and higher is better: an accuracy
        lambda o, t: o.flatten() * 5,  # neither rises nor falls with the loss: open_model says what is missing
        lambda o, t: (squared(o, t) > 1).float() * 2,  # two values say little
        lambda o, t: squared(o, t).mean(),  # one number for all
        lambda o, t: o.argmax(dim=5),  # fails
    ],
)
def test_of_other_scores_nothing_is_guessed(score):
    given = work(score)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert with_metric(given) is given


def test_a_loss_that_only_some_samples_go_with_says_nothing():
    given = work(squared)
    model, batch = given.build(), SPLIT.batch(torch.arange(8), torch.device("cpu"))
    with torch.no_grad():
        scores = squared(model(batch[0]), batch[1])
    assert order_of(given.task, model, batch, scores) == "lower"
    assert order_of(given.task, model, batch, -scores) == "higher"
    low, high = int(scores.argmin()), int(scores.argmax())
    scores[[low, high]] = scores[[high, low]]
    assert order_of(given.task, model, batch, scores) is None


def test_prune_and_sensitivity_speak_in_that_unit():
    with pytest.warns(UserWarning, match="does not say what its scores are"):
        found = pruning.sensitivity(work(squared), levels=(0.5,), half_width=0.0, device="cpu", progress=False).map
    assert found.metric.better == "lower" and found.dense == pytest.approx(float(mean_error(work(squared))))
    with pytest.warns(UserWarning, match="does not say what its scores are"):
        result = pruning.prune(work(lambda o, t: -squared(o, t)), sparsity=0.5, epochs=0, device="cpu", progress=False)
    assert result.stages["dense"].validation == pytest.approx(-float(mean_error(work(squared))))


@torch.no_grad()
def mean_error(given: Workload) -> Tensor:
    return squared(given.build()(VECTORS), SPLIT.targets).mean()
