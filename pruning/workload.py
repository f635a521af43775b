"""A workload: a model, the data it is evaluated on, and its metric. All that a run needs to know."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.errors import WorkloadError
from pruning.metric import ACCURACY, Metric

Batch = tuple[Tensor, Tensor]


class Split(Protocol):
    """Samples in a fixed order, taken by index, ready for the model, on a device.

    Any class with `__len__` and `batch` is one; `TensorSplit` is for samples in memory.
    """

    def __len__(self) -> int: ...

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Batch:
        """The samples at some positions.

        Args:
            index: Positions in the split, int64 [b].
            device: Where the batch shall be.
            generator: Given in fine-tuning only: a training split may draw from it, to augment.

        Returns:
            Inputs [b, *input], prepared for the model, and targets [b].
        """
        ...


@dataclass(frozen=True, eq=False)
class TensorSplit:
    """A split held in memory as stored (uint8 stays uint8), moved to the device once and made ready there.

    Attributes:
        inputs: Stored inputs [n, ...].
        targets: Targets [n], class numbers from 0 where the task is classification.
        prepare: Maps stored inputs [b, ...] to what the model takes.
        augment: Maps prepared inputs to varied ones of the same shape; used in fine-tuning only.

    Raises:
        WorkloadError: There are not as many targets as inputs.

    Examples:
        >>> pictures = torch.full((4, 2, 2), 255, dtype=torch.uint8)
        >>> split = TensorSplit(pictures, torch.tensor([0, 1, 0, 1]), prepare=lambda stored: stored[:, None] / 255)
        >>> inputs, targets = split.batch(torch.tensor([1, 2]), torch.device("cpu"))
        >>> inputs.shape, targets
        (torch.Size([2, 1, 2, 2]), tensor([1, 0]))
    """

    inputs: Tensor
    targets: Tensor
    prepare: Callable[[Tensor], Tensor] = lambda stored: stored
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    _resident: dict[torch.device, Batch] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise WorkloadError(
                f"a split has {len(self.inputs)} inputs and {len(self.targets)} targets; give every input its target"
            )

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Batch:
        """The samples at some positions, prepared; augmented if there is a generator. See `Split.batch`."""
        if device not in self._resident:
            self._resident[device] = (self.inputs.to(device), self.targets.to(device))
        inputs, targets = self._resident[device]
        index = index.to(device)
        ready = self.prepare(inputs[index])
        if self.augment is not None and generator is not None:
            ready = self.augment(ready, generator)
        return ready, targets[index]


def shuffled(split: Split, size: int, device: torch.device, generator: torch.Generator) -> Iterator[Batch]:
    """One pass over the split in a new order; a last batch of fewer than two samples is left out (BatchNorm needs two).

    `generator` lives on the CPU and decides the order; what augmentation draws comes from it too.
    """
    order = torch.randperm(len(split), generator=generator)
    varied = torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=generator)))
    for index in order.split(size):
        if len(index) > 1 or len(split) == 1:
            yield split.batch(index, device, varied)


class Task(Protocol):
    """What the model is for: a loss to fine-tune with and a score to evaluate by.

    Any class with these three members is one; `Classification` is cross entropy and top-1 accuracy. A fourth, `metric`,
    says what the scores are where they are no accuracies: `metric = Metric("MSE", better="lower", low=0.0)`.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the targets 0, 1, ... where targets are classes, else ()."""
        ...

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """How wrong the model is on a batch.

        Args:
            model: The model, in training mode while it is fine-tuned.
            batch: Inputs [b, *input] and targets [b].

        Returns:
            A differentiable scalar.
        """
        ...

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        """How right, or how wrong, each sample is; the mean over a split is the split's score.

        Args:
            output: What the model gave, [b, ...].
            target: The targets, [b].

        Returns:
            A score for each sample, float32 [b]: in [0, 1], or in the range of the task's metric if it has one.
        """
        ...


@runtime_checkable
class HasMetric(Protocol):
    """A task that says what its scores are."""

    @property
    def metric(self) -> Metric: ...


def metric_of(task: Task) -> Metric:
    """What the task's scores are: accuracy if it does not say. WorkloadError if `metric` is something else."""
    if not isinstance(task, HasMetric):
        return ACCURACY
    metric: Any = task.metric  # a person's own class may mean something else by the word
    if not isinstance(metric, Metric):
        raise WorkloadError(
            f"the task's metric is a {type(metric).__name__}; let it be a pruning.Metric that says what judge() gives, "
            "such as Metric('MSE', better='lower'), or call it otherwise"
        )
    return metric


ROUNDING = 1e-6
"""How far outside its range a score may lie, as a share of the end: what adding up in float32 leaves."""


def sample_scores(task: Task, output: Tensor, target: Tensor) -> Tensor:
    """`task.judge`, checked: one score for each sample, each in the range of the task's metric.

    Args:
        task: What evaluates.
        output: What the model gave, [b, ...].
        target: The targets, [b, ...].

    Returns:
        The scores [b].

    Raises:
        WorkloadError: The scores have another shape, are not finite numbers, or lie outside the range.

    Examples:
        >>> sample_scores(Classification(("a", "b")), torch.tensor([[2.0, 1.0]]), torch.tensor([0]))
        tensor([1.])
    """
    scores: Any = task.judge(output, target)  # a person's own code may return anything
    if not isinstance(scores, Tensor):
        raise WorkloadError(f"the task's judge() gave a {type(scores).__name__}; return a tensor, one score a sample")
    if scores.shape != target.shape[:1]:
        shapes = f"outputs have shape {list(output.shape)} and targets {list(target.shape)}"
        raise WorkloadError(
            f"the task's judge() gave scores of shape {list(scores.shape)} for {len(target)} samples; return one score "
            f"a sample, shape [{len(target)}] (the {shapes}, which may have been spread over one another)"
        )
    if len(scores):
        low, high = (float(edge) for edge in scores.detach().aminmax())
        _require_in_range(low, high, metric_of(task))
    return scores


def _require_in_range(low: float, high: float, metric: Metric) -> None:
    """WorkloadError if scores from `low` to `high` are none of the metric."""
    lowest, highest = metric.ends
    fits = low >= lowest - ROUNDING * max(1.0, abs(lowest)) and high <= highest + ROUNDING * max(1.0, abs(highest))
    if fits and math.isfinite(low) and math.isfinite(high):  # NaN fits nothing
        return
    if metric == ACCURACY:
        raise WorkloadError(
            f"the task's judge() gave scores from {low:.4g} to {high:.4g}; return scores in [0, 1], the higher the "
            "better: of an error for example torch.exp(-error); or say what they are: "
            "metric = pruning.Metric('MSE', better='lower')"
        )
    bounds = {"at least": metric.low, "at most": metric.high}
    said = " and ".join(f"{word} {end:g}" for word, end in bounds.items() if end is not None) or "a finite number"
    raise WorkloadError(
        f"the task's judge() gave scores from {low:.4g} to {high:.4g}; its metric says that {metric.name} is {said}: "
        "return such scores, or give the metric the range that they have"
    )


@dataclass(frozen=True)
class Classification:
    """Cross entropy on logits [b, classes], evaluated by top-1 accuracy.

    Attributes:
        classes: Names of the targets 0, 1, ...

    Examples:
        >>> task = Classification(("cat", "dog"))
        >>> task.judge(torch.tensor([[2.0, 1.0], [0.0, 3.0]]), torch.tensor([0, 0]))
        tensor([1., 0.])
    """

    classes: tuple[str, ...]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross entropy of a batch of inputs [b, *input] and class numbers [b]: a scalar."""
        inputs, targets = batch
        return F.cross_entropy(model(inputs), targets)

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        """1 where the largest of the logits [b, classes] is the target's [b], else 0: float32 [b]."""
        return (output.argmax(dim=1) == target).float()


@dataclass(frozen=True)
class Workload:
    """A model, its data and its metric: all that a run needs to know.

    Attributes:
        name: What recipes and reports call it.
        build: Returns a fresh trained copy on the CPU in eval mode.
        example: One prepared input [1, *input], for tracing and for counting MACs.
        train: What fine-tuning and criteria look at.
        validation: What sliders, sensitivity maps and comparisons look at: whatever is chosen is chosen by it.
        test: Scored only for the stages of a run and for an export: nobody chooses by it.
        task: Loss and score.
        data: What the data is, in words.
        checkpoints: Earlier states of the model by name, each a maker of a state dict with the model's own keys:
            `initial` are the weights before training; the criterion `change` compares with one.
        teachers: Trained networks for the same inputs by name, each a maker; distillation can learn from one.

    Examples:
        >>> x, y = torch.randn(30, 6), torch.arange(30) % 2
        >>> train, validation, test = TensorSplit(x[:10], y[:10]), TensorSplit(x[10:20], y[10:20]), TensorSplit(x, y)
        >>> network = nn.Sequential(nn.Linear(6, 2))
        >>> task = Classification(("a", "b"))
        >>> Workload("mine", lambda: network, x[:1], train, validation, test, task).name
        'mine'
    """

    name: str
    build: Callable[[], nn.Module]
    example: Tensor
    train: Split
    validation: Split
    test: Split
    task: Task
    data: str = ""
    checkpoints: Mapping[str, Callable[[], Mapping[str, Tensor]]] = field(default_factory=dict, hash=False)
    teachers: Mapping[str, Callable[[], nn.Module]] = field(default_factory=dict, hash=False)


Workloads = dict[str, Callable[[], Workload]]
"""Name -> maker of the workload. Making one may read files, so it is done when needed."""
