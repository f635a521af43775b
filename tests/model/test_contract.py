"""What a workload breaks is said when it is opened, in one sentence: networks and tasks as people have them."""

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.errors import WorkloadError
from pruning.evaluation.accuracy import Evaluator, guessing
from pruning.events import Stage, SurgeryChecked, Warned
from pruning.granularities import Channels
from pruning.metric import ACCURACY
from pruning.model.contract import require_loss
from pruning.model.preparation import open_model
from pruning.recipe.recipe import Recipe
from pruning.run import engine
from pruning.selection.amounts import Sparsity
from pruning.training.tuning import Tuning
from pruning.workload import Batch, Classification, TensorSplit, Workload, sample_scores
from tests.networks import CLASSES, CPU, IMAGE, VECTOR, carried_out, conv_bn, mlp, seeded, taught, tiny, workload


def refused(own: Workload) -> str:
    with pytest.raises(WorkloadError) as caught:
        open_model(own, CPU)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- the example is one sample


def test_an_example_of_eight_samples_is_refused():
    own = tiny("conv")
    few = own.validation.batch(torch.arange(8), CPU)[0]
    sentence = refused(replace(own, example=few))
    assert sentence.endswith("give a batch of one: example[:1]") and "[8, 2, 8, 8]" in sentence


def test_an_example_without_its_batch_is_refused():
    own = tiny("conv")
    assert refused(replace(own, example=own.example[0])).endswith("give a batch of one: example[None]")


class Squeezing(nn.Module):
    """What a network gives for one image has no batch dimension: [3] and not [1, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Conv2d(2, 6, 3, padding=1), nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(F.adaptive_avg_pool2d(torch.relu(self.body(images)), 1).squeeze())


@pytest.mark.parametrize("count", [100, 101, 201, 301])
def test_a_network_that_squeezes_is_evaluated_to_its_last_sample(count):
    own = workload(lambda: seeded(Squeezing), IMAGE, count=count)
    model = open_model(own, CPU)
    evaluator = Evaluator(own.validation, own.task, CPU)
    scores, targets = evaluator.evaluate_all(model)
    inputs, expected = own.validation.batch(torch.arange(count), CPU)
    with torch.no_grad():
        assert torch.equal(scores, (model(inputs).argmax(1) == expected).float())
    assert torch.equal(targets, expected)
    assert [len(part) for part in evaluator.batches(torch.arange(count))][-1] != 1


# -- the network answers the same each time


class Dropping(nn.Module):
    """The slip of many: F.dropout drops in eval mode too where it is not told the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.fc = nn.Linear(6, 32), nn.Linear(32, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.fc(F.dropout(torch.relu(self.first(vectors)), 0.5))


def test_a_network_that_draws_in_eval_mode_is_refused():
    sentence = refused(workload(lambda: seeded(Dropping), VECTOR))
    assert "answers the same input differently each time" in sentence and "training=self.training" in sentence


class RuledOut(nn.Module):
    """One class cannot be: its logit is -inf."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(8, 4)
        self.register_buffer("allowed", torch.tensor([True, True, True, False]))

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.body(images).mean((2, 3))).masked_fill(~self.allowed, -torch.inf)


def test_a_class_that_is_ruled_out_is_no_difference():
    own = replace(workload(lambda: seeded(RuledOut), IMAGE), task=Classification((*CLASSES, "never")))
    groups, reasons = Channels().sorted_out(open_model(own, CPU), own.example)
    assert [group.name for group in groups] == ["body.0", "body.2"] and list(reasons) == ["fc"]
    recipe = Recipe("tiny", granularity=Channels(), amount=Sparsity(0.4), tuning=Tuning(epochs=0))
    events, result = carried_out(own, recipe)
    assert [event.max_difference for event in events if isinstance(event, SurgeryChecked)] == pytest.approx(
        [0, 0], abs=1e-5
    )
    assert result.stages["tuned"].parameters < result.stages["dense"].parameters


# -- the task gives one score a sample, in [0, 1]


@dataclass(frozen=True)
class Regression:
    """Whatever is given evaluates."""

    score: object
    classes: tuple[str, ...] = ()

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.mse_loss(model(batch[0]), batch[1])

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return self.score(output, target)  # type: ignore[operator]


def regression(score: object, flat: bool = False) -> Workload:
    vectors = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    targets = vectors[:, 0] * 3 if flat else vectors[:, :1] * 3
    split = TensorSplit(vectors, targets)
    make = lambda: seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1)))  # noqa: E731
    return Workload("regression", make, vectors[:1], split, split, split, Regression(score))


WRONG_SCORES = {
    "negative": (lambda o, t: -((o - t) ** 2).flatten(), False, "give|scores in [0, 1]"),
    "lower is better": (lambda o, t: ((o - t) ** 2).flatten(), False, "the higher the better"),
    "not a number": (lambda o, t: (o * torch.nan).flatten(), False, "from nan to nan"),
    "one for all": (lambda o, t: torch.exp(-((o - t) ** 2)).mean(), False, "scores of shape [] for 8 samples"),
    "a column": (lambda o, t: torch.exp(-((o - t) ** 2)), False, "scores of shape [8, 1] for 8 samples"),
    "each with each": (lambda o, t: torch.exp(-((o - t) ** 2)), True, "scores of shape [8, 8] for 8 samples"),
    "each with each, flat": (lambda o, t: torch.exp(-((o - t) ** 2)).flatten(), True, "scores of shape [64] for 8"),
    "a float": (lambda o, t: 0.5, False, "judge() gave a float"),
}


@pytest.mark.parametrize("name", WRONG_SCORES)
def test_a_score_that_is_none_is_refused(name):
    score, flat, said = WRONG_SCORES[name]
    assert said.rpartition("|")[2] in refused(regression(score, flat))


def test_a_judge_that_fails_is_named_with_the_shapes():
    sentence = refused(regression(lambda o, t: o.argmax(dim=5)))
    assert "judge() fails on outputs of shape [8, 1] and targets of shape [8, 1]" in sentence


def test_a_score_from_0_to_1_is_taken():
    own = regression(lambda o, t: torch.exp(-((o - t) ** 2)).flatten())
    assert 0 < Evaluator(own.validation, own.task, CPU).score(open_model(own, CPU)) < 1


def small_error(o: Tensor, t: Tensor) -> Tensor:
    """The squared error, in [0, 1]."""
    return ((o - t) ** 2).flatten() / 100


def test_an_error_that_is_taken_for_an_accuracy_is_pointed_out():
    assert "the higher scores the higher its loss() is, as if lower were better" in refused(regression(small_error))


def test_who_says_what_the_scores_are_is_believed():
    class Said(Regression):
        metric = ACCURACY

    own = regression(small_error)
    open_model(replace(own, task=Said(small_error)), CPU)


@pytest.mark.parametrize(
    "score",
    [
        lambda o, t: ((o - t).abs() > 1.0).float().flatten(),  # two values say little
        lambda o, t: ((o - t) ** 2).flatten().argsort(descending=True).argsort() / 100,  # the order of accuracies
    ],
)
def test_scores_in_another_order_than_their_losses_are_taken(score):
    open_model(regression(score), CPU)


def test_a_loss_that_is_of_train_mode_alone_says_nothing_of_the_scores():
    class Training(Regression):
        def loss(self, model: nn.Module, batch: Batch) -> Tensor:
            if not model.training:
                raise RuntimeError("no auxiliary output")
            return super().loss(model, batch)

    open_model(replace(regression(small_error), task=Training(small_error)), CPU)


def test_a_score_is_checked_wherever_samples_are_scored():
    task = Regression(lambda o, t: o[:, 0] + 1.5)
    with pytest.raises(WorkloadError, match=r"scores from 1.5 to 1.5"):
        sample_scores(task, torch.zeros(3, 1), torch.zeros(3))


# -- train mode


class Auxiliary(nn.Module):
    """A second head that runs in train mode alone, as in GoogLeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.aux, self.fc = nn.Linear(6, 3), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        values = self.first(images)
        output = self.fc(self.second(values).mean((2, 3)))
        return (output, self.aux(values.mean((2, 3)))) if self.training else output


class BothHeads(Classification):
    """A loss that is right in train mode only."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        output, aux = model(batch[0])
        return F.cross_entropy(output, batch[1]) + 0.3 * F.cross_entropy(aux, batch[1])


def auxiliary(task: Classification) -> Workload:
    return replace(workload(lambda: seeded(Auxiliary), IMAGE), task=task)


ONE_EPOCH = Recipe("tiny", granularity=Channels(), amount=Sparsity(0.3), tuning=Tuning(epochs=1, batch_size=16))


def test_a_loss_that_does_not_take_what_train_mode_gives_is_said_before_any_work():
    with pytest.raises(WorkloadError, match="in train mode the model returns a tuple: write a Task whose loss"):
        carried_out(auxiliary(Classification(CLASSES)), ONE_EPOCH)


def test_a_head_of_train_mode_still_fits_after_removal():
    own = auxiliary(BothHeads(CLASSES))
    groups, _ = Channels().sorted_out(open_model(own, CPU), own.example)
    assert {group.name: group.units for group in groups} == {"first.0": 6, "second.0": 8}
    readers = {(piece.param, piece.dim) for piece in groups[0].follows if piece.dim == 1}
    assert readers == {("second.0.weight", 1), ("aux.weight", 1)}
    _, result = carried_out(own, ONE_EPOCH)
    kept = result.model.first[0].weight.shape[0]
    assert kept < 6 and result.model.aux.weight.shape == (3, kept)
    own.task.loss(result.model.train(), own.train.batch(torch.arange(4), CPU))


LOSSES = {
    "no number": (lambda model, batch: F.cross_entropy(model(batch[0]), batch[1], reduction="none"), "of shape [8]"),
    "a float": (lambda model, batch: 1.0, "of type float"),
    "not finite": (lambda model, batch: model(batch[0]).sum() * torch.inf, "is nan|inf"),
    "detached": (lambda model, batch: model(batch[0]).detach().sum(), "does not depend on any weight that may learn"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_nothing_can_learn_by_is_refused(name):
    compute, said = LOSSES[name]

    class Own(Classification):
        def loss(self, model: nn.Module, batch: Batch) -> Tensor:
            return compute(model, batch)  # type: ignore[return-value]

    own = replace(tiny("mlp"), task=Own(CLASSES))
    with pytest.raises(WorkloadError) as caught:
        require_loss(own, open_model(own, CPU), CPU)
    assert any(part in str(caught.value) for part in said.split("|"))


def test_trying_the_loss_leaves_no_trace():
    own = tiny("conv_bn")
    model = open_model(own, CPU)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.get_rng_state()
    require_loss(own, model, CPU)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn) and not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


# -- what wraps a model


def compiled_in_part() -> nn.Module:
    model = seeded(conv_bn)
    model[0] = torch.compile(model[0])
    return model


WRAPPED = {
    "parallel": lambda: nn.DataParallel(seeded(conv_bn)),
    "compiled": lambda: torch.compile(seeded(conv_bn)),
    "compiled and parallel": lambda: nn.DataParallel(torch.compile(seeded(conv_bn))),  # type: ignore[arg-type]
    "compiled in part": compiled_in_part,
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapped_model_is_opened_without_its_wrapper(name):
    built = WRAPPED[name]()
    model = open_model(workload(lambda: built, IMAGE), CPU)
    assert model.state_dict().keys() == seeded(conv_bn).state_dict().keys()
    assert any("module." in key or "_orig_mod." in key for key in built.state_dict())  # the person's own is as it was


def test_torchscript_is_refused_with_a_way_out():
    scripted = torch.jit.script(seeded(mlp))
    assert "TorchScript" in (sentence := refused(workload(lambda: scripted, VECTOR)))
    assert "scripted.state_dict()" in sentence


# -- weights that were not loaded


def test_accuracy_at_chance_is_pointed_out():
    assert "no better than guessing among 4 classes" in guessing(0.25, 600, 4)
    assert guessing(0.25 + 2.1 * (0.25 * 0.75 / 600) ** 0.5, 600, 4) == "" == guessing(0.1, 600, 0)


def guesses(own: Workload) -> tuple[list[str], Stage]:
    events, result = carried_out(own, Recipe("tiny", tuning=Tuning(epochs=0)))
    said = [event.sentence for event in events if isinstance(event, Warned) and "guessing" in event.sentence]
    return said, result.stages["dense"]


def test_a_run_of_a_network_that_guesses_says_so_and_another_does_not(monkeypatch):
    monkeypatch.setattr(engine, "guessing", guessing)  # which the other tests do without
    blank = tiny("mlp")

    def emptied() -> nn.Module:
        model = seeded(mlp)
        for parameter in model.parameters():
            parameter.data.zero_()  # every sample is of the first class
        return model

    said, dense = guesses(replace(blank, build=emptied))
    assert said == [guessing(dense.score, dense.samples, 3)] and dense.score < 0.36
    said, dense = guesses(taught("mlp", 1000))
    assert said == [] and dense.score > 0.4
