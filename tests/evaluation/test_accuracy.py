import torch
from torch import Tensor, nn

from pruning.evaluation.accuracy import Evaluator, class_scores
from pruning.workload import Classification, TensorSplit
from tests.networks import CLASSES, CPU, conv_bn, mlp, samples, seeded

TASK = Classification(CLASSES)


def scored(model: nn.Module, split: TensorSplit) -> Tensor:
    """The per-sample scores in the plainest way."""
    with torch.no_grad():
        return torch.tensor(
            [float(model(x[None]).argmax() == y) for x, y in zip(split.inputs, split.targets, strict=True)]
        )


def test_a_split_is_evaluated_sample_by_sample_in_its_order():
    model, split = seeded(mlp), samples((6,), 1100, 0)
    scores, targets = Evaluator(split, TASK, CPU).evaluate_all(model)
    assert torch.equal(scores, scored(model, split)) and torch.equal(targets, split.targets)
    assert 0.1 < float(scores.mean()) < 0.9


def test_some_samples_are_evaluated_in_the_order_asked():
    model, split = seeded(mlp), samples((6,), 50, 0)
    index = torch.tensor([7, 3, 49])
    assert torch.equal(Evaluator(split, TASK, CPU).evaluate_some(model, index)[0], scored(model, split)[index])


def test_evaluating_uses_eval_mode_and_gives_the_mode_back():
    model, split = seeded(conv_bn).train(), samples((2, 8, 8), 40, 0)
    before = model[1].running_mean.clone()
    Evaluator(split, TASK, CPU).evaluate_all(model)
    assert model.training and torch.equal(before, model[1].running_mean)


def test_class_scores_are_means_over_each_class():
    scores, targets = torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.tensor([0, 0, 2, 2])
    assert class_scores(scores, targets, 4) == (0.5, 0.0, 1.0, 0.0)
    assert class_scores(scores, torch.tensor([0.5, 1.5, 2.5, 3.5]), 0) == ()
