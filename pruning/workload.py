"""A workload: a model, the data it is evaluated on, and its metric. All that a run needs to know."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.errors import WorkloadError

Batch = tuple[Tensor, Tensor]


class Split(Protocol):
    """Samples in a fixed order, which can be had by index, ready for the model, on a device."""

    def __len__(self) -> int: ...

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Batch:
        """Inputs [len(index), *input] and targets [len(index)].

        Only a training split may use the generator, to augment.
        """
        ...


@dataclass(frozen=True, eq=False)
class TensorSplit:
    """A split held in memory as stored (uint8 stays uint8), moved to the device once and made ready there.

    `inputs` [n, ...], `targets` [n]. `prepare` maps stored inputs [b, ...] to what the model takes; `augment` (training
    only) maps prepared inputs to varied ones of the same shape.
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
    """What the model is for: a loss to tune with and a score to evaluate by."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the targets 0, 1, ... where targets are classes, else ()."""
        ...

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scalar, differentiable."""
        ...

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        """Per-sample score in [0, 1], float32 [batch]; the mean over a split is the split's score."""
        ...


@dataclass(frozen=True)
class Classification:
    """Cross entropy on logits [batch, classes], evaluated by top-1 accuracy."""

    classes: tuple[str, ...]

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        inputs, targets = batch
        return F.cross_entropy(model(inputs), targets)

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return (output.argmax(dim=1) == target).float()


@dataclass(frozen=True)
class Workload:
    """A model, its data and its metric.

    `build` returns a fresh trained copy on the CPU in eval mode. `example` is one prepared input [1, *input], for
    tracing and MACs. Tuning sees `train`; sliders, sensitivity and search see `validation`; `test` is scored only for
    the stages of a run and for an export: nobody chooses on it. `data` says in words what the data is.

    `checkpoints` are earlier states of the model by name, each a maker of a state dict with the model's own keys:
    `initial` are the weights before training; the criterion `change` compares with one.
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


Workloads = dict[str, Callable[[], Workload]]
"""Name -> maker of the workload. Making one may read files, so it is done when needed."""
