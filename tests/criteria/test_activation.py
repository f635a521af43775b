import pytest
import torch
from torch import nn

from pruning.calibration import Calibration
from pruning.criteria import Activation, unit_scores
from pruning.granularities import Channels
from pruning.opening import open_model
from pruning.workload import Classification, TensorSplit, Workload
from tests.networks import CPU, Residual, seeded, tiny, workload


def work(model: nn.Module, inputs: torch.Tensor) -> Workload:
    split = TensorSplit(inputs, torch.zeros(len(inputs), dtype=torch.long))
    return Workload("hand", lambda: model, inputs[:1], split, split, split, Classification(("a", "b")))


def scored(model: nn.Module, data: Workload) -> dict[str, list[float]]:
    groups = Channels().groups(model, data.example)
    scores = unit_scores(Activation(), model, groups, Calibration(data, CPU))
    return {name: values.tolist() for name, values in scores.items()}


def test_a_neuron_scores_the_mean_of_what_the_next_layer_receives():
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2))
    model[0].weight.data = torch.tensor([[3.0, -1.0], [0.0, 2.0], [-1.0, -1.0]])
    # hidden after the ReLU: (1, 4, 0) and (5, 2, 0)
    assert scored(model, work(model, torch.tensor([[1.0, 2.0], [2.0, 1.0]]))) == {"0": [3.0, 3.0, 0.0]}


def test_negative_activations_count_by_size():
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 2))
    model[0].weight.data = torch.tensor([[1.0], [-3.0]])
    assert scored(model, work(model, torch.tensor([[1.0], [-1.0]]))) == {"0": [1.0, 3.0]}


def test_a_channel_is_averaged_over_the_pixels_of_the_flattened_image():
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    model[0].weight.data = torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1)
    assert scored(model, work(model, torch.tensor([[[[1.0, 2.0], [3.0, -9.0]]]]))) == {"0": [1.5, 3.0]}


def test_the_mean_over_batches_of_unequal_size_is_the_mean_over_samples():
    data = tiny("conv", count=200)
    model = open_model(data, CPU)
    with torch.no_grad():
        hidden = model[:3](data.train.inputs)
    assert scored(model, data)["0"] == pytest.approx(hidden.abs().mean(dim=(0, 2, 3)).tolist(), rel=1e-5)


def test_a_unit_that_several_layers_read_scores_the_mean_over_its_readers():
    data = workload(lambda: seeded(Residual), (2, 8, 8), count=50)
    model = open_model(data, CPU)
    with torch.no_grad():
        stream = model.stem_bn(model.stem(data.train.inputs)).relu()
        later = (stream + model.bn2(model.conv2(model.bn1(model.conv1(stream)).relu()))).relu()
    # conv1 reads the stream before the first block; conv3 and the projection read it after
    first, second = (x.abs().mean(dim=(0, 2, 3)) for x in (stream, later))
    assert scored(model, data)["stem"] == pytest.approx(((first + 2 * second) / 3).tolist(), rel=1e-5)
