import pytest
import torch
from torch import nn

from pruning.criteria import Apoz
from tests.criteria.hand import scored, work
from tests.networks import Residual, seeded, workload


def test_a_neuron_scores_the_share_of_samples_for_which_it_speaks():
    model = nn.Sequential(nn.Linear(2, 4, bias=False), nn.ReLU(), nn.Linear(4, 2))
    model[0].weight.data = torch.tensor([[1.0, 0.0], [0.0, -100.0], [-1.0, -1.0], [-1.0, 2.0]])
    inputs = torch.tensor([[1.0, 2.0], [2.0, 1.0], [3.0, 1.0], [1.0, -1.0]])
    # neuron by neuron over the four samples: all, only the last, none, only the first: silent 0, 3, 4 and 3 times
    # (for (2, 1) the last neuron gets -2 + 2 = 0, which is silence)
    assert scored(Apoz(), work(model, inputs))["0"].tolist() == [1.0, 0.25, 0.0, 0.25]


def test_a_channel_counts_over_samples_and_positions():
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    model[0].weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    images = torch.tensor([[[[1.0, 2.0], [3.0, -9.0]]], [[[0.0, 0.0], [0.0, 5.0]]]])
    assert scored(Apoz(), work(model, images))["0"].tolist() == [4 / 8, 1 / 8]


def test_a_unit_that_several_layers_read_scores_the_mean_over_its_readers():
    data = workload(lambda: seeded(Residual), (2, 8, 8), count=200)
    model = data.build()
    with torch.no_grad():
        stream = model.stem_bn(model.stem(data.train.inputs)).relu()
        later = (stream + model.bn2(model.conv2(model.bn1(model.conv1(stream)).relu()))).relu()
    first, second = ((x != 0).float().mean(dim=(0, 2, 3)) for x in (stream, later))
    assert float(first.min()) > 0 and float(first.max()) < 1
    assert scored(Apoz(), data)["stem"].tolist() == pytest.approx(((first + 2 * second) / 3).tolist(), rel=1e-5)
