"""Data in any of the forms in which a person has it; what is missing is said with what to give."""

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import pruning
from pruning.api.inputs import Part, measured_on, split_of, workload_of
from pruning.errors import WorkloadError
from tests.api.small import Pairs, data, small

CPU = torch.device("cpu")
FORMS = {
    "tuple": lambda x, y: (x, y),
    "arrays": lambda x, y: (x.numpy(), y.numpy()),
    "TensorDataset": TensorDataset,
    "Dataset": Pairs,
    "DataLoader": lambda x, y: DataLoader(TensorDataset(x, y), batch_size=7, shuffle=True),
    "Split": pruning.TensorSplit,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_batches(form: str) -> None:
    x, y = data(2)
    inputs, targets = split_of(FORMS[form](x, y), "train").batch(torch.tensor([3, 0]), CPU)
    assert torch.equal(inputs, x[[3, 0]]) and torch.equal(targets, y[[3, 0]])


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_scores(form: str) -> None:
    x, y = data(2)
    found = pruning.scores(small(), FORMS[form](x, y), criterion="taylor")
    expected = pruning.scores(small(), (x, y), criterion="taylor")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_collate_function_of_the_loader_is_used() -> None:
    def doubled(pairs: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.stack([2 * x for x, _ in pairs]), torch.stack([y for _, y in pairs])

    x, y = data(2)
    loader = DataLoader(TensorDataset(x, y), collate_fn=doubled)
    assert torch.equal(split_of(loader, "train").batch(torch.tensor([1]), CPU)[0], 2 * x[[1]])


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield from zip(*data(2), strict=True)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (Stream(), "train is a stream of samples.*__getitem__"),
        (DataLoader(Stream()), "train is a stream of samples"),
        (data(2)[0], "train does not give a batch|data does not give a batch"),
        (3, "train is a int; give a tuple"),
        ((1, 2, 3), "train is a tuple; give a tuple \\(inputs, targets\\)"),
        ((data(2)[0], data(2)[1][:5]), "120 inputs and 5 targets"),
        ((data(2)[0][:0], data(2)[1][:0]), "has no samples; give some"),
        ((data(2)[0][:, :4], data(2)[1]), r"does not run on a batch of the data, of shape \[1, 4\]"),
    ],
)
def test_what_cannot_be_used_is_said(given: Any, sentence: str) -> None:
    with pytest.raises(WorkloadError, match=sentence):
        workload_of(small(), given, data(3), data(4), None, 0)


def test_a_missing_test_split_is_refused_and_a_missing_validation_split_is_set_aside_aloud() -> None:
    with pytest.raises(WorkloadError, match="train is missing"):
        pruning.prune(small())
    with pytest.raises(WorkloadError, match="test is missing; give samples that the model was not trained on"):
        pruning.prune(small(), train=data(2))
    with pytest.warns(UserWarning, match="12 of the 120 training samples are set aside"):
        found = workload_of(small(), data(2), None, data(4), None, seed=5)
    assert isinstance(found.train, Part) and isinstance(found.validation, Part)
    parts = (found.train.positions, found.validation.positions)
    assert torch.cat(parts).sort().values.tolist() == list(range(120)) and len(found.validation) == 12
    inputs, targets = found.validation.batch(torch.tensor([0]), CPU)
    assert torch.equal(inputs[0], data(2)[0][parts[1][0]]) and targets[0] == data(2)[1][parts[1][0]]


def test_nothing_is_set_aside_of_what_was_given() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = workload_of(small(), data(2), data(3), data(4), None, 0)
    assert (len(found.train), len(found.validation), len(found.test)) == (120, 120, 120)


def test_classes_are_counted_by_the_models_outputs() -> None:
    assert measured_on(small(), data(2), None).task.classes == ("0", "1", "2")


class Pixels(nn.Module):
    """A class for each of many places, as in segmentation."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Linear(6, 6)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.only(vectors).reshape(-1, 2, 3)


def test_a_model_that_is_no_classifier_has_to_say_its_task() -> None:
    with pytest.raises(WorkloadError, match=r"output has shape \[1, 2, 3\].*task="):
        measured_on(Pixels(), data(2), None)
    task = pruning.Classification(("a", "b", "c"))
    assert measured_on(Pixels(), data(2), task).task is task


def test_a_workload_brings_its_own_data() -> None:
    own = workload_of(small(), data(2), data(3), data(4), None, 0)
    assert workload_of(own, None, None, None, None, 0) is own and measured_on(own, None, None) is own
    with pytest.raises(WorkloadError, match=r"test is given beside a Workload.*leave test out"):
        pruning.prune(own, test=data(4))
    with pytest.raises(WorkloadError, match="data is given beside a Workload"):
        pruning.scores(own, data(4))


def test_something_else_is_no_model() -> None:
    with pytest.raises(WorkloadError, match=r"model is a str; give an nn.Module or a Workload"):
        pruning.prune("resnet", train=data(2), test=data(4), validation=data(3))  # type: ignore[arg-type]


def test_an_input_is_known_where_the_first_layer_is_linear_and_asked_for_elsewhere() -> None:
    conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    with pytest.raises(WorkloadError, match=r"example=torch.zeros\(1, 3, 32, 32\)"):
        pruning.preview(conv, sparsity=0.5)
    assert pruning.preview(conv, sparsity=0.5, example=torch.zeros(1, 3, 8, 8)).dense.macs > 0
    assert pruning.preview(small(), sparsity=0.5).dense.macs == 6 * 16 + 16 * 3


class Dictionaries:
    """A split whose inputs are a mapping, as text models take them."""

    def __len__(self) -> int:
        return 4

    def batch(self, index: Tensor, device: torch.device, generator: torch.Generator | None = None) -> Any:
        return {"tokens": index}, index


def test_inputs_that_are_no_tensor_are_refused_by_their_type() -> None:
    with pytest.raises(WorkloadError, match="the data gives inputs of type dict; give one tensor, a row a sample"):
        pruning.prune(small(), train=Dictionaries(), validation=Dictionaries(), test=Dictionaries(), progress=False)
