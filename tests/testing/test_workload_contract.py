"""The shipped contract of workloads finds what is wrong: each broken workload fails the test made for it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from pruning.errors import WorkloadError
from pruning.testing import WorkloadContract
from pruning.workload import Batch, Classification, TensorSplit, Workload
from tests.networks import VECTOR, mlp, samples, taught, workload

WORK = taught("mlp", count=40)


@dataclass(frozen=True)
class Changed:
    """A split of 40 samples whose batches are changed."""

    change: Callable[[Tensor, Tensor], Tensor]
    whole: TensorSplit = samples(VECTOR, 40, 3)

    def __len__(self) -> int:
        return 40

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Batch:
        inputs, targets = self.whole.batch(index, device)
        return self.change(inputs, index), targets


class InPlace(Changed):
    """Gives out its own memory."""

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Batch:
        return self.whole.inputs[int(index[0]) : int(index[-1]) + 1], self.whole.targets[index]


class NegativeScores(Classification):
    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return 2 * super().judge(output, target) - 1


class NothingLearns(Classification):
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        with torch.no_grad():
            return super().loss(model, batch).requires_grad_()


def broken(fault: str) -> Workload:
    match fault:
        case "weights are drawn":
            return workload(mlp, VECTOR, count=40)
        case "samples are drawn":
            return replace(WORK, validation=Changed(lambda inputs, _: inputs + torch.rand(inputs.shape)))
        case "samples depend on their batch":
            return replace(WORK, test=Changed(lambda inputs, _: inputs - inputs.mean(dim=0)))
        case "a smaller example":
            return replace(WORK, example=WORK.example[:, :5])
        case "two examples":
            return replace(WORK, example=WORK.example.repeat(2, 1))
        case "its own memory":
            return replace(WORK, train=InPlace(lambda inputs, _: inputs, samples(VECTOR, 40, 3)))
        case "augmentation by the global generator":
            return replace(WORK, train=replace(samples(VECTOR, 40, 2), augment=lambda x, _: x + torch.rand(x.shape)))
        case "scores below 0":
            return replace(WORK, task=NegativeScores(("a", "b", "c")))
        case "nothing learns":
            return replace(WORK, task=NothingLearns(("a", "b", "c")))
        case "a checkpoint of another model":
            return replace(WORK, checkpoints={"early": lambda: nn.Linear(2, 2).state_dict()})
        case _:
            return WORK


def contract_of(fault: str) -> WorkloadContract:
    contract = WorkloadContract()
    contract.workload = broken(fault)
    return contract


@pytest.mark.parametrize(
    "fault, test, sentence",
    [
        ("weights are drawn", "test_every_build_gives_the_same_weights", "0.weight has other values each time"),
        ("samples are drawn", "test_a_sample_is_the_same_each_time_and_in_every_batch", "validation: other inputs"),
        ("samples depend on their batch", "test_a_sample_is_the_same_each_time_and_in_every_batch", "test: other inp"),
        ("a smaller example", "test_inputs_are_as_large_as_the_example", "the example is torch.float32 [1, 5]"),
        ("two examples", "test_inputs_are_as_large_as_the_example", "the example is torch.float32 [2, 6]"),
        ("its own memory", "test_what_a_network_overwrites_is_whole_in_the_next_batch", "train: give out copies"),
        (
            "augmentation by the global generator",
            "test_augmentation_draws_from_the_generator_that_it_is_given",
            "train: other inputs for the same generator",
        ),
        (
            "scores below 0",
            "test_the_task_gives_each_sample_a_score_in_the_range_of_its_metric",
            "judge() gave scores from -1 to 1",
        ),
        (
            "nothing learns",
            "test_the_loss_is_one_finite_number_from_which_the_model_learns",
            "no gradient reaches the model",
        ),
        (
            "a checkpoint of another model",
            "test_checkpoints_have_the_tensors_of_the_model",
            "checkpoint early: 0.bias, 0.weight, 2.bias, 2.weight, 4.bias, 4.weight, bias, weight are not as",
        ),
    ],
)
def test_a_broken_workload_fails_the_test_made_for_it(fault: str, test: str, sentence: str) -> None:
    with pytest.raises((AssertionError, WorkloadError)) as failed:
        getattr(contract_of(fault), test)()
    assert sentence in str(failed.value)


def test_what_a_run_refuses_is_refused_in_its_words() -> None:
    contract = contract_of("")
    contract.workload = replace(WORK, task=Classification(("a", "b")))
    with pytest.raises(WorkloadError, match="there are 2 classes"):
        contract.test_a_run_can_begin_with_it()


@pytest.mark.parametrize("test", [name for name in vars(WorkloadContract) if name.startswith("test_")])
def test_the_same_workload_without_a_fault_keeps_the_contract(test: str) -> None:
    getattr(contract_of(""), test)()
