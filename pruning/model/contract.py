"""What a workload has to keep to, tried on a few samples when it is opened: else numbers would be wrong without a word.

The example is one sample, the model answers the same input the same each time, and the task gives one score a sample.
"""

from typing import Any

import torch
from torch import Tensor, nn

from pruning.errors import WorkloadError, describe
from pruning.model.patching import training_tried
from pruning.model.score_order import TRIED, order_of
from pruning.workload import Batch, HasMetric, Split, Workload, sample_scores

REPEATED = 1e-3
"""How far two answers to the same input may lie apart, of the largest: kernels of some GPUs add up in any order."""


def require_one_sample(workload: Workload) -> None:
    """WorkloadError if the example is not one input [1, *input]: costs would be those of several, or of none."""
    shape = list(workload.example.shape)
    few = _first(workload.validation, torch.device("cpu"))[0]
    if few.dim() == len(shape) + 1 and list(few.shape[1:]) == shape:
        raise WorkloadError(
            f"{workload.name}: its example has shape {shape}, that of an input alone; give a batch of one: "
            "example[None]"
        )
    if not shape or shape[0] != 1:
        raise WorkloadError(
            f"{workload.name}: its example has shape {shape}, and costs are those of one sample; give a batch of one: "
            "example[:1]"
        )


@torch.no_grad()
def require_answers(workload: Workload, model: nn.Module, device: torch.device) -> None:
    """WorkloadError if the model, in eval mode, does not give the task one score a sample, the same ones each time."""
    inputs, targets = _first(workload.validation, device)
    try:
        output, again = _answer(model, inputs), _answer(model, inputs)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise WorkloadError(
            f"{workload.name}: the model does not run on a batch of validation samples of shape {list(inputs.shape)} "
            f"({describe(error)}); give it samples like its example"
        ) from error
    if (apart := _apart(output, again)) > REPEATED:
        raise WorkloadError(
            f"{workload.name}: the network answers the same input differently each time, by up to {apart:.0%} of its "
            "largest output; is there dropout in eval mode? F.dropout needs training=self.training"
        )
    try:
        scores = sample_scores(workload.task, output, targets)
    except WorkloadError as error:
        raise WorkloadError(f"{workload.name}: {error}") from error
    except Exception as error:
        raise WorkloadError(
            f"{workload.name}: the task's judge() fails on outputs of shape {list(output.shape)} and targets of shape "
            f"{list(targets.shape)} ({describe(error)}); let it take what the model gives"
        ) from error
    unsaid = not isinstance(workload.task, HasMetric)
    if unsaid and order_of(workload.task, model, (inputs, targets), scores) == "lower":
        raise WorkloadError(
            f"{workload.name}: the task's judge() gives the higher scores the higher its loss() is, as if lower were "
            "better, and nobody says what they are; say it: metric = pruning.Metric('MSE', better='lower')"
        )


@torch.enable_grad()
def require_loss(workload: Workload, model: nn.Module, device: torch.device) -> None:
    """WorkloadError if the task's loss, in train mode as in fine-tuning, is no number that the weights can learn by.

    The model's buffers and the generators of random numbers are afterwards what they were.
    """
    batch = _first(workload.train, device)
    own = [] if device.type == "cpu" else [device]
    try:
        with training_tried(model), torch.random.fork_rng(own, device_type=own[0].type if own else "cuda"):
            loss: Any = workload.task.loss(model, batch)  # a person's own code may return anything
    except WorkloadError:
        raise
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise WorkloadError(
            f"{workload.name}: the task's loss() fails in train mode ({describe(error)}){_in_train_mode(model, batch)}"
        ) from error
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        found = f"shape {list(loss.shape)}" if isinstance(loss, Tensor) else f"type {type(loss).__name__}"
        raise WorkloadError(f"{workload.name}: the task's loss() gave a value of {found}; return one number, the mean")
    if not bool(loss.isfinite()):
        raise WorkloadError(
            f"{workload.name}: the task's loss() is {float(loss.detach())} on training samples; mend it"
        )
    if not loss.requires_grad:
        raise WorkloadError(
            f"{workload.name}: the task's loss() does not depend on any weight that may learn; compute it without "
            "no_grad() and detach(), and set requires_grad of what shall be tuned"
        )


def _in_train_mode(model: nn.Module, batch: Batch) -> str:
    """The way out, with what the model gives in train mode where that is the likely cause."""
    try:
        with training_tried(model), torch.no_grad():
            output: object = model(batch[0])
    except Exception:
        return "; the model itself does not run in train mode"
    if isinstance(output, Tensor):
        return "; let it take what the model gives"
    return f"; in train mode the model returns a {type(output).__name__}: write a Task whose loss() takes it"


def _first(split: Split, device: torch.device) -> Batch:
    return split.batch(torch.arange(min(TRIED, len(split))), device)


def _answer(model: nn.Module, inputs: Tensor) -> Tensor:
    """The output for these inputs; for a single one as of two, since a network may squeeze it away."""
    return model(inputs) if len(inputs) > 1 else model(torch.cat([inputs, inputs]))[:1]


def _apart(first: Tensor, second: Tensor) -> float:
    """The largest difference, as a share of the largest finite value; values that are the same infinity are equal."""
    if first.shape != second.shape:
        return 1.0
    first, second = first.double(), second.double()
    same = (first == second) | (first.isnan() & second.isnan())
    if bool(same.all()):
        return 0.0
    largest = first[first.isfinite()].abs().max() if bool(first.isfinite().any()) else torch.tensor(1.0)
    difference = (first - second)[~same].abs().nan_to_num(torch.inf, torch.inf).max()
    return float(difference / largest.clamp(min=torch.finfo(torch.float32).tiny))
