"""The loss of a step: the task's, or cross entropy with smoothed labels and mixed images, and what is added to it."""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.distributions import Beta
from torch.nn import functional as F

from pruning.errors import RecipeError
from pruning.training.loss_terms import LossTerm, Moment
from pruning.training.tuning import Tuning
from pruning.workload import Batch, Classification, Task, Workload


def task_loss(task: Task, model: nn.Module, batch: Batch, tuning: Tuning) -> tuple[Tensor, Batch]:
    """The loss of a batch that the network learns by.

    What mixing draws comes from torch's global generator.

    Args:
        task: Has a loss of its own. With label smoothing or mixup it is cross entropy, as `require_objective` has seen.
        model: The model in training mode.
        batch: Inputs [b, *input] and targets [b].
        tuning: Says how far labels are smoothed and images mixed.

    Returns:
        A differentiable scalar, and the batch with the inputs that the model has read.
    """
    if not (tuning.label_smoothing or tuning.mixup):
        return task.loss(model, batch), batch
    inputs, targets = batch
    others, share = targets, 1.0
    if tuning.mixup:
        inputs, others, share = mixed(inputs, targets, tuning.mixup)
    logits = model(inputs)
    own, other = (F.cross_entropy(logits, t, label_smoothing=tuning.label_smoothing) for t in (targets, others))
    return (share * own + (1.0 - share) * other if tuning.mixup else own), (inputs, targets)


def total_loss(
    task: Task, terms: Sequence[LossTerm], model: nn.Module, batch: Batch, tuning: Tuning, step: int, steps: int
) -> Tensor:
    """The task's loss on a batch with all that is added to it, at a step of so many: a differentiable scalar."""
    with ExitStack() as around:
        for term in terms:
            around.enter_context(term.around(model))
        loss, seen = task_loss(task, model, batch, tuning)
        moment = Moment(model, seen, loss, step, steps)
        return sum((term.added(moment) for term in terms), loss)


def mixed(inputs: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor, float]:
    """Each input mixed with another one of the batch: x ← λ x + (1 − λ) x′ with one λ drawn from Beta(alpha, alpha).

    (Zhang et al. 2018, "mixup", arXiv 1710.09412; one λ for a batch, as in the authors' code.)

    Args:
        inputs: Floating point, [b, *input].
        targets: [b].
        alpha: Above 0.

    Returns:
        The mixed inputs, the targets of those that were mixed in, and λ.
    """
    share = float(Beta(alpha, alpha).sample())
    order = torch.randperm(len(inputs)).to(inputs.device)
    return share * inputs + (1.0 - share) * inputs[order], targets[order], share


def require_objective(workload: Workload, tuning: Tuning) -> None:
    """RecipeError where labels are to be smoothed or images mixed, and the task or its inputs are of another kind."""
    wanted = {"label_smoothing": tuning.label_smoothing, "mixup": tuning.mixup}
    asked = next((name for name, value in wanted.items() if value), "")
    if not asked:
        return
    task = workload.task
    if not isinstance(task, Classification) or type(task).loss is not Classification.loss:
        raise RecipeError(
            f"tuning.{asked} is {wanted[asked]:g}, and the task of {workload.name} has a loss of its own: it goes with "
            "the cross entropy of pruning.Classification alone; set it to 0"
        )
    if tuning.mixup and not workload.example.is_floating_point():
        kind = str(workload.example.dtype).removeprefix("torch.")
        raise RecipeError(
            f"tuning.mixup is {tuning.mixup:g}, and the inputs of {workload.name} are {kind}: only numbers with a "
            "fraction, such as the values of pixels, can be mixed; set it to 0"
        )
