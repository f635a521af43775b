"""What is learnt from a teacher: by hand, with every kind on every network, and what has nothing to compare."""

import copy
import math
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pruning.errors import RecipeError
from pruning.granularities import Channels, Weights
from pruning.model.devices import place
from pruning.model.tensors import copies_of
from pruning.recipe.recipe import Recipe
from pruning.selection.amounts import Sparsity
from pruning.training import fine_tuning
from pruning.training.distillation import DISTILLATIONS, Features, Logits, NoDistillation, Outputs
from pruning.training.distillation.comparing import layers_behind_the_first
from pruning.training.distillation.features import spread
from pruning.training.distillation.teachers import teacher_of
from pruning.training.fine_tuning import tune
from pruning.training.objective import total_loss
from pruning.training.tuning import Tuning
from pruning.workload import Classification, Workload
from tests.networks import CPU, NETWORKS, VECTOR, carried_out, mlp, seeded, taught, tiny, workload


class Regression:
    """Its outputs are no logits of classes."""

    classes = ()

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return (model(batch[0])[:, 0] - batch[1]).square().mean()

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return (-(output[:, 0] - target).abs()).exp()


QUICK = Tuning(epochs=2, batch_size=64, learning_rate=0.02)
TWO = Classification(("a", "b"))
BATCH = (torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(3.0)]]), torch.tensor([0, 1]))
"""Two samples whose logits, by a network that changes nothing, say 3/4 for the right class and 1/4 for the other."""
TASK_LOSS = math.log(4 / 3)


class Constant(nn.Module):
    """Gives the same logits for all samples."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.logits.expand(len(inputs), -1)


def loss_with(distillation, teacher: nn.Module, batch=BATCH, task=TWO, model: nn.Module | None = None) -> Tensor:
    model = model or nn.Identity()
    work = replace(tiny("mlp"), task=task)
    term = distillation.term(work, model, teacher)
    return total_loss(task, [term], model, batch, Tuning(), 0, 1)


def test_logits_cost_the_divergence_from_the_teachers_softened_probabilities():
    even = Constant(0.0, 0.0)
    # the teacher says 1/2 and 1/2, the student 3/4 and 1/4
    divergence = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert float(loss_with(Logits(1.0, 1.0), even)) == pytest.approx(divergence)
    assert float(loss_with(Logits(1.0, 0.25), even)) == pytest.approx(0.75 * TASK_LOSS + 0.25 * divergence)
    assert float(loss_with(Logits(1.0, 0.0), even)) == pytest.approx(TASK_LOSS)
    larger = math.sqrt(3.0) / (1.0 + math.sqrt(3.0))  # at a temperature of 2
    softened = 0.5 * math.log(0.5 / larger) + 0.5 * math.log(0.5 / (1 - larger))
    assert float(loss_with(Logits(2.0, 1.0), even)) == pytest.approx(4 * softened)


def test_at_a_high_temperature_logits_are_matched_as_the_paper_says():
    """Hinton 2015, section 2.1: the gradient is then (z − v) / N, of logits with zero mean."""
    logits = torch.tensor([[0.3, -0.1, -0.2]], requires_grad=True)
    wanted = torch.tensor([0.2, 0.1, -0.3])
    batch = (logits, torch.tensor([0]))
    loss_with(Logits(20.0, 1.0), Constant(*wanted.tolist()), batch, Classification(("a", "b", "c"))).backward()
    assert torch.allclose(logits.grad[0], (logits.detach()[0] - wanted) / 3, rtol=0.05, atol=1e-4)


def test_outputs_cost_the_square_of_the_difference_by_the_teachers_variance():
    # logits differ by ln 3 at two of four places; the teacher's are 0, 2, 0, 2 with a variance of 4/3
    teacher = Constant(0.0, 2.0)
    squares = [math.log(3.0) ** 2, 4.0, 0.0, (math.log(3.0) - 2.0) ** 2]
    apart = sum(squares) / 4 / (4 / 3)
    assert float(loss_with(Outputs(0.5), teacher)) == pytest.approx(0.5 * TASK_LOSS + 0.5 * apart)


def test_features_cost_what_layers_read_apart_by_the_teachers_squares():
    model, dense = seeded(mlp, 1), seeded(mlp)
    inputs, targets = torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1])
    task = Classification(("a", "b", "c"))
    found = loss_with(Features(compared=2, weight=3.0), dense, (inputs, targets), task, model)
    apart = []
    for depth in (2, 4):  # before the second and the third Linear
        read, wanted = model[:depth](inputs), dense[:depth](inputs)
        apart.append((read - wanted).square().sum() / wanted.square().sum())
    expected = task.loss(model, (inputs, targets)) + 3.0 * sum(apart) / 2
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    found.backward()
    first = model[0].weight.grad.clone()
    model.zero_grad()
    expected.backward()
    assert torch.allclose(first, model[0].weight.grad, atol=1e-6)


@pytest.mark.parametrize(
    "network, names",
    [
        ("mlp", ["2", "4"]),
        ("conv", ["3", "7"]),
        ("residual", ["conv1", "conv2", "conv3", "project", "fc"]),
        ("concatenated", ["right", "both", "fc"]),
    ],
)
def test_layers_are_those_behind_the_first_in_the_order_of_their_calls(network, names):
    work = tiny(network)
    assert layers_behind_the_first(work.build(), work.example) == names


@pytest.mark.parametrize("count, chosen", [(1, "e"), (2, "ce"), (3, "bde"), (5, "abcde"), (9, "abcde")])
def test_layers_are_spread_evenly_up_to_the_last(count, chosen):
    assert "".join(spread(list("abcde"), count)) == chosen


def test_a_layer_that_is_called_twice_is_left_out():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, vectors: Tensor) -> Tensor:
            return self.last(self.again(self.again(self.first(vectors))))

    assert layers_behind_the_first(seeded(Twice), torch.zeros(1, 6)) == ["last"]


KINDS = [made() for kind, made in DISTILLATIONS.items() if kind != "none"]


@pytest.mark.parametrize("distillation", KINDS, ids=str)
def test_a_network_that_is_its_own_teacher_costs_nothing_more(distillation):
    work = tiny("conv_bn")
    model = work.build()
    batch = (work.train.inputs[:8], work.train.targets[:8])
    term = distillation.term(work, model, copy.deepcopy(model))
    task = work.task.loss(model, batch)
    share = getattr(distillation, "share", 0.0)
    found = total_loss(work.task, [term], model, batch, Tuning(), 0, 1)
    assert float(found.detach()) == pytest.approx((1 - share) * float(task.detach()), abs=1e-6)


@pytest.mark.parametrize("granularity", [Weights(), Channels()], ids=str)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", DISTILLATIONS)
def test_every_kind_runs_on_every_network_and_what_is_pruned_stays_zero(kind, network, granularity):
    work = tiny(network, count=64)
    tuning = replace(QUICK, epochs=1, batch_size=32)
    recipe = Recipe("m", granularity=granularity, amount=Sparsity(0.4), tuning=tuning)
    _, result = carried_out(work, replace(recipe, distillation=DISTILLATIONS[kind]()))
    _, plain = carried_out(work, recipe)
    assert result.stages["tuned"].nonzero == plain.stages["tuned"].nonzero
    same = all(torch.equal(a, b) for a, b in zip(result.model.parameters(), plain.model.parameters(), strict=True))
    assert same == (kind == "none")


@pytest.mark.parametrize("kind", DISTILLATIONS)
def test_every_kind_says_what_it_computes(kind):
    made = DISTILLATIONS[kind]
    assert all((bool(made.formula), bool(made.source))) == (kind != "none") and made.cost


@pytest.mark.parametrize("distillation", [Logits(share=1.0), Outputs(share=1.0), Features(weight=100.0)], ids=str)
def test_a_pruned_network_comes_nearer_to_its_teacher(distillation):
    work = taught("mlp")
    recipe = Recipe("m", amount=Sparsity(0.6), tuning=replace(QUICK, epochs=20))
    dense, apart = work.build()(work.test.inputs).detach(), []
    for each in (NoDistillation(), distillation):
        _, result = carried_out(work, replace(recipe, distillation=each))
        logits = result.model(work.test.inputs).detach()
        apart.append(float((logits.softmax(1) - dense.softmax(1)).square().mean()))
    assert apart[1] < 0.6 * apart[0]


def test_the_teacher_reads_what_the_network_reads_and_stays_as_it_was(monkeypatch):
    work = tiny("conv_bn")
    read: list[Tensor] = []
    teacher = work.build()
    before = copies_of(teacher)
    teacher.register_forward_hook(lambda _module, inputs, _output: read.append(inputs[0].clone()))
    model, seen = work.build(), list[Tensor]()
    model.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].clone()))
    term = Logits().term(work, model, teacher)
    list(tune(model, work, replace(QUICK, mixup=0.5), {}, CPU, 0, terms=[term]))
    assert len(read) == len(seen) == 11 and all(torch.equal(a, b) for a, b in zip(read, seen, strict=True))
    assert all(torch.equal(before[name], tensor) for name, tensor in copies_of(teacher).items())
    assert not teacher.training and all(parameter.grad is None for parameter in teacher.parameters())


@pytest.mark.parametrize("distillation", KINDS, ids=str)
def test_every_kind_runs_in_mixed_precision(distillation, monkeypatch):
    monkeypatch.setattr(fine_tuning, "mixed_precision", lambda _: torch.autocast("cpu", dtype=torch.bfloat16))
    work = tiny("conv")
    model, seen = work.build(), list[torch.dtype]()
    model.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    term = distillation.term(work, model, work.build())
    losses = [step.loss for step in tune(model, work, QUICK, {}, CPU, 0, every=1, terms=[term])]
    assert set(seen) == {torch.bfloat16} and len(losses) == 10 and all(map(math.isfinite, losses))
    monkeypatch.setattr(fine_tuning, "mixed_precision", lambda _: nullcontext())
    again = work.build()
    precise = [step.loss for step in tune(again, work, QUICK, {}, CPU, 0, every=1, terms=[term])]
    assert losses[:3] == pytest.approx(precise[:3], rel=0.05)


# another network teaches


def wider(outputs: int = 3, inputs: int = 6) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 12), nn.Tanh(), nn.Linear(12, outputs))


def with_teachers() -> Workload:
    makers = {
        "wide": lambda: seeded(wider),
        "two": lambda: seeded(lambda: wider(outputs=2)),
        "other": lambda: seeded(lambda: wider(inputs=5)),
    }
    return replace(tiny("mlp"), teachers=makers)


def test_a_network_of_another_class_teaches():
    work = with_teachers()
    recipe = Recipe("m", amount=Sparsity(0.3), tuning=replace(QUICK, epochs=20), distillation=Outputs(1.0, "wide"))
    wanted = seeded(wider)(work.test.inputs).detach()
    apart = []
    for each in (recipe, replace(recipe, distillation=NoDistillation())):
        _, result = carried_out(work, each)
        apart.append(float((result.model(work.test.inputs).detach() - wanted).square().mean()))
    assert apart[0] < 0.5 * apart[1]


@pytest.mark.parametrize(
    "distillation, sentence",
    [
        (Logits(teacher="who"), r"teacher is 'who', and mlp has no such teacher: use one of dense, other, two, wide"),
        (Outputs(teacher="two"), r"the network gives \[2, 3\] where its teacher gives \[2, 2\]: choose another"),
        (Outputs(teacher="other"), r"teacher other does not run on inputs of mlp, of shape \[1, 6\] \(.*\): choose"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_before_any_work(distillation, sentence):
    run = Recipe("m", tuning=QUICK, distillation=distillation)
    with pytest.raises(RecipeError, match=sentence):
        carried_out(with_teachers(), run)
    carried_out(with_teachers(), replace(run, tuning=replace(QUICK, epochs=0)))  # nobody teaches


class TwicePassed(Classification):
    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return super().loss(model, batch) + 0.1 * model(batch[0]).square().mean()


class Auxiliary(nn.Module):
    """Gives two outputs while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.last = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, vectors: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        hidden = self.fc(vectors)
        return (self.last(hidden), hidden) if self.training else self.last(hidden)


class OfBoth(Classification):
    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        logits, hidden = model(batch[0])
        return nn.functional.cross_entropy(logits, batch[1]) + 1e-3 * hidden.square().mean()


AUXILIARY = replace(workload(lambda: seeded(Auxiliary), VECTOR), task=OfBoth(("a", "b", "c")))


@pytest.mark.parametrize(
    "work, distillation, sentence",
    [
        (replace(tiny("mlp"), task=Regression()), Logits(), "the task of mlp names none: choose distillation outputs"),
        (replace(tiny("mlp"), task=TwicePassed(("a", "b", "c"))), Outputs(), "loss calls the network 2 times"),
        (replace(tiny("mlp"), task=TwicePassed(("a", "b", "c"))), Features(), "loss calls the network 2 times"),
        (AUXILIARY, Logits(), "compares tensors, and the network gives a tuple: choose distillation features"),
        (
            workload(lambda: seeded(lambda: nn.Sequential(nn.Linear(6, 3))), VECTOR),
            Features(),
            "tiny has no Linear or convolutional layer there",
        ),
    ],
)
def test_what_cannot_be_compared_is_said_before_any_work(work, distillation, sentence):
    model = place(work.build(), work.example, CPU)
    before = copies_of(model)
    with pytest.raises(RecipeError, match=sentence):
        teacher_of(work, distillation, QUICK, model, CPU)
    assert all(torch.equal(before[name], tensor) for name, tensor in copies_of(model).items())


def test_features_of_a_network_with_several_outputs_are_learnt():
    _, result = carried_out(AUXILIARY, Recipe("m", tuning=QUICK, distillation=Features()))
    assert result.stages["tuned"].nonzero > 0


def test_a_task_without_classes_learns_outputs():
    work = replace(tiny("mlp"), task=Regression())
    carried_out(work, Recipe("m", tuning=QUICK, distillation=Outputs()))


def test_who_teaches_draws_nothing():
    torch.manual_seed(4)
    state = torch.get_rng_state()
    work = tiny("conv_bn")
    teacher_of(work, Logits(), replace(QUICK, mixup=0.3), work.build(), CPU)
    assert torch.equal(state, torch.get_rng_state())
