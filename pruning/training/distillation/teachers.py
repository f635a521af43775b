"""Who teaches: the dense network or one that the workload names, tried on a few samples before any work."""

import copy

import torch
from torch import nn

from pruning.errors import RecipeError, describe
from pruning.model.devices import drawn_by, place
from pruning.model.patching import evaluating, training_tried
from pruning.training.distillation.distillation import DENSE, Distillation
from pruning.training.distillation.none import NoDistillation
from pruning.training.objective import total_loss
from pruning.training.tuning import Tuning
from pruning.workload import Workload


def teacher_of(
    workload: Workload, distillation: Distillation, tuning: Tuning, model: nn.Module, device: torch.device
) -> nn.Module | None:
    """The network that is learnt from, in evaluation mode on the device; None where nobody teaches.

    Args:
        workload: May have teachers of its own.
        distillation: Says who teaches, and what is learnt.
        tuning: Says how the task's loss is computed.
        model: The dense network on the device. It stays as it is.
        device: Where both are.

    Raises:
        RecipeError: There is no such teacher, or it cannot be compared with the network; the sentence says why.
    """
    if isinstance(distillation, NoDistillation) or not tuning.epochs:
        return None
    dense = distillation.teacher == DENSE
    teacher = copy.deepcopy(model) if dense else _named(workload, distillation.teacher, device)
    term = distillation.term(workload, model, teacher)
    few = torch.arange(min(2, len(workload.train)))
    with torch.no_grad(), training_tried(model), drawn_by(0, device):
        batch = workload.train.batch(few, device)
        total_loss(workload.task, [term] if term else [], model, batch, tuning, 0, 1)
    return teacher


def _named(workload: Workload, name: str, device: torch.device) -> nn.Module:
    make = workload.teachers.get(name)
    if make is None:
        known = ", ".join([DENSE, *sorted(workload.teachers)])
        raise RecipeError(
            f"distillation.teacher is {name!r}, and {workload.name} has no such teacher: use one of {known}, or give "
            f"it by `run --teacher FILE` or as Workload(teachers={{{name!r}: maker of a trained network}})"
        )
    teacher = place(make(), workload.example, device).eval()
    try:
        with torch.no_grad(), evaluating(teacher):
            teacher(workload.example.to(device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise RecipeError(
            f"distillation.teacher {name} does not run on inputs of {workload.name}, of shape "
            f"{list(workload.example.shape)} ({describe(error)}): choose another teacher"
        ) from error
    return teacher
