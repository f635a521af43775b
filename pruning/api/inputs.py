"""Models and data as a person has them become a workload."""

import warnings
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from pruning.errors import WorkloadError, describe
from pruning.model.preparation import copied
from pruning.model.score_order import with_metric
from pruning.workload import Batch, Classification, Split, Task, TensorSplit, Workload

Data = Split | tuple[Tensor, Tensor] | Dataset[Any] | DataLoader[Any]
"""Samples with their targets, in any of the forms in which a person has them."""

NAME = "model"
SPLIT_OFF = 10
"""One training sample in so many is set aside where there is no validation split."""


@dataclass(frozen=True, eq=False)
class DatasetSplit:
    """A torch Dataset of (input, target) pairs, read sample by sample: only what a batch needs is in memory."""

    dataset: Dataset[Any]
    collate: Callable[[list[Any]], Any] = default_collate

    def __len__(self) -> int:
        return len(cast(Sized, self.dataset))

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Batch:
        """Inputs [len(index), *input] and targets [len(index)] on the device."""
        inputs, targets = self.collate([self.dataset[position] for position in index.tolist()])
        return inputs.to(device), torch.as_tensor(targets).to(device)


@dataclass(frozen=True, eq=False)
class Part:
    """Those samples of another split that stand at `positions`, int64 [n]."""

    split: Split
    positions: Tensor = field(repr=False)

    def __len__(self) -> int:
        return len(self.positions)

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Batch:
        return self.split.batch(self.positions[index.cpu()], device, generator)


@dataclass(frozen=True)
class _NoTask:
    """Of a model that came without data: there is nothing to score."""

    classes: tuple[str, ...] = ()

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        raise WorkloadError("the criterion looks at a loss and there is no data; give data=(inputs, targets)")

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return torch.zeros(len(target))


def workload_of(
    model: nn.Module | Workload,
    train: Data | None,
    validation: Data | None,
    test: Data | None,
    task: Task | None,
    seed: int,
) -> Workload:
    """The model with its data, to prune and fine-tune it. WorkloadError says what is missing and what to give."""
    if isinstance(model, Workload):
        given = {"train": train, "validation": validation, "test": test, "task": task}
        _refuse_beside_a_workload([name for name, value in given.items() if value is not None])
        return with_metric(model)
    if train is None:
        raise WorkloadError("train is missing; give the samples to fine-tune on, such as train=(inputs, targets)")
    if test is None:
        raise WorkloadError(
            "test is missing; give samples that the model was not trained on, such as test=(inputs, targets): "
            "accuracy on training samples would say nothing"
        )
    tuning = split_of(train, "train")
    if validation is not None:
        looked_at = split_of(validation, "validation")
    else:
        tuning, looked_at = _set_aside(tuning, seed)
    return _workload(model, tuning, looked_at, split_of(test, "test"), task)


def measured_on(model: nn.Module | Workload, data: Data | None, task: Task | None) -> Workload:
    """The model with the one set of samples that scores or accuracies are measured on."""
    if isinstance(model, Workload):
        given = {"data": data, "task": task}
        _refuse_beside_a_workload([name for name, value in given.items() if value is not None])
        return with_metric(model)
    if data is None:
        raise WorkloadError("data is missing; give samples with their targets, such as data=(inputs, targets)")
    split = split_of(data, "data")
    return _workload(model, split, split, split, task)


def without_data(model: nn.Module | Workload, example: Tensor | None) -> Workload:
    """The model with one made-up sample, enough to trace it. WorkloadError if nobody says what an input looks like."""
    if isinstance(model, Workload):
        return model
    example = _first_input(model) if example is None else example
    sample = TensorSplit(example[:1], torch.zeros(1, dtype=torch.long))
    return Workload(NAME, _maker(model), example[:1], sample, sample, sample, _NoTask())


def split_of(data: Data, name: str) -> Split:
    """The samples as a split. WorkloadError says which forms are taken."""
    if isinstance(data, DataLoader):
        return DatasetSplit(_indexed(data.dataset, name), data.collate_fn)
    if isinstance(data, tuple):
        parts = cast(Sequence[Any], data)
        if len(parts) == 2:
            inputs, targets = (torch.as_tensor(part) for part in parts)
            return TensorSplit(inputs, targets)
    elif callable(getattr(data, "batch", None)) and hasattr(data, "__len__"):
        return cast(Split, data)
    elif hasattr(data, "__getitem__"):
        return DatasetSplit(_indexed(cast(Dataset[Any], data), name))
    raise WorkloadError(
        f"{name} is a {type(data).__name__}; give a tuple (inputs, targets) of tensors, a Dataset, a DataLoader or a "
        "Split"
    )


def _indexed(dataset: Dataset[Any], name: str) -> Dataset[Any]:
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise WorkloadError(
            f"{name} is a stream of samples, and runs read samples by their position, the same ones again; "
            "give a Dataset with __len__ and __getitem__, or a tuple of tensors"
        )
    return dataset


def _set_aside(train: Split, seed: int) -> tuple[Split, Split]:
    """The training split without a tenth of its samples, drawn by the seed, and that tenth. Says so."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    aside = max(1, len(train) // SPLIT_OFF)
    if len(train) < 2:
        raise WorkloadError("validation is missing, and train has too few samples to set some aside; give both")
    warnings.warn(
        f"no validation split was given: {aside} of the {len(train)} training samples are set aside for it and not "
        "tuned on; if the model was trained on them, its validation accuracy is too good",
        stacklevel=4,
    )
    return Part(train, order[aside:]), Part(train, order[:aside])


def _workload(model: nn.Module, train: Split, validation: Split, test: Split, task: Task | None) -> Workload:
    """Named after nothing but its place: who has several models gives a Workload of their own."""
    if not len(train):
        raise WorkloadError("the data has no samples; give some")
    try:
        inputs, _ = train.batch(torch.arange(1), torch.device("cpu"))
    except Exception as error:  # a Dataset is a person's own code
        raise WorkloadError(f"the data does not give a batch ({describe(error)}); mend it") from error
    if not isinstance(inputs, Tensor):  # type: ignore[redundant-expr]
        raise WorkloadError(f"the data gives inputs of type {type(inputs).__name__}; give one tensor, a row a sample")
    build = _maker(model)
    work = Workload(NAME, build, inputs, train, validation, test, task or _classification(build(), inputs))
    return with_metric(work) if task else work


def _maker(model: nn.Module) -> Callable[[], nn.Module]:
    """A maker of the model as it is now, on the CPU and in eval mode: what is trained later does not change it."""
    if not isinstance(model, nn.Module):  # type: ignore[redundant-expr]
        raise WorkloadError(f"model is a {type(model).__name__}; give an nn.Module or a Workload")
    snapshot = copied(model).cpu().eval()
    return lambda: snapshot  # who opens a workload copies what this gives


def _classification(model: nn.Module, inputs: Tensor) -> Task:
    """The task that the model's output shows: one number for each class."""
    try:
        with torch.no_grad():
            output: object = model(inputs)
    except Exception as error:
        raise WorkloadError(
            f"the model does not run on a batch of the data, of shape {list(inputs.shape)} ({describe(error)}); "
            "mend the data"
        ) from error
    if not isinstance(output, Tensor) or output.dim() != 2:
        found = f"shape {list(output.shape)}" if isinstance(output, Tensor) else f"type {type(output).__name__}"
        raise WorkloadError(
            f"the model's output has {found}, which is not one number for each class, [batch, classes]; "
            "say how it is trained and evaluated with task=..., see pruning.Task"
        )
    return Classification(tuple(map(str, range(output.shape[1]))))


def _first_input(model: nn.Module) -> Tensor:
    """One input of zeros [1, features] where the model's first layer is Linear and takes it."""
    leaves = [module for module in model.modules() if not list(module.children())]
    first = next((module for module in leaves if list(module.parameters(recurse=False))), None)
    if isinstance(first, nn.Linear):
        example = torch.zeros(1, first.in_features)
        try:
            with torch.no_grad():
                copied(model).cpu().eval()(example)
        except Exception:  # the model takes inputs of another shape: who knows it says so
            pass
        else:
            return example
    raise WorkloadError(
        "the model does not say what its inputs look like; give one: example=torch.zeros(1, 3, 32, 32) for images of "
        "3 x 32 x 32"
    )


def _refuse_beside_a_workload(given: list[str]) -> None:
    if given:
        raise WorkloadError(f"{given[0]} is given beside a Workload, which has its own; leave {given[0]} out")
