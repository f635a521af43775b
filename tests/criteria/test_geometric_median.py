import pytest
import torch
from torch import nn

from pruning.criteria import GeometricMedian, geometric_median
from tests.criteria.hand import scored, work
from tests.networks import Residual, seeded, tiny, workload


def four_neurons(*rows: list[float]) -> nn.Module:
    model = nn.Sequential(nn.Linear(2, len(rows), bias=False), nn.ReLU(), nn.Linear(len(rows), 2))
    model[0].weight.data = torch.tensor(rows)
    return model


def test_a_neuron_scores_the_sum_of_its_distances_to_the_others():
    # distances: 1-2 5, 1-3 10, 1-4 √(81 + 144) = 15, 2-3 5, 2-4 √(36 + 64) = 10, 3-4 √(9 + 16) = 5
    model = four_neurons([1.0, 0.0], [4.0, 4.0], [7.0, 8.0], [10.0, 12.0])
    assert scored(GeometricMedian(), work(model, torch.ones(1, 2)))["0"].tolist() == [30.0, 20.0, 20.0, 30.0]


def test_equal_filters_are_no_distance_apart_at_all():
    model = four_neurons([1000.1, -777.7], [1000.1, -777.7])
    assert scored(GeometricMedian(), work(model, torch.ones(1, 2)))["0"].tolist() == [0.0, 0.0]


def test_a_filter_that_has_been_pruned_scores_zero_and_is_nobodys_neighbour():
    model = four_neurons([3.0, 4.0], [0.0, 0.0], [6.0, 8.0])
    assert scored(GeometricMedian(), work(model, torch.ones(1, 2)))["0"].tolist() == [5.0, 0.0, 5.0]


@pytest.mark.parametrize("pairs", [1, 2**22])
def test_coupled_layers_add_up_the_distances_in_each(pairs, monkeypatch):
    monkeypatch.setattr(geometric_median, "PAIRS", pairs)
    data = workload(lambda: seeded(Residual), (2, 8, 8))
    model = data.build()
    model.stem.weight.data[3] = 0.0  # zero in one of the two only: it has not been pruned
    expected = torch.zeros(4)
    for layer in (model.stem, model.conv2):
        filters = layer.weight.detach()
        for one in range(4):
            expected[one] += sum(float((filters[one] - filters[other]).norm()) for other in range(4))
    scores = scored(GeometricMedian(), data, model=model)
    assert scores["stem"].tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_the_smallest_sum_is_the_filter_nearest_to_the_geometric_median():
    data = tiny("conv")
    weight = data.build()[3].weight.detach().flatten(1)
    sums = torch.stack([(weight - one).norm(dim=1).sum() for one in weight])
    assert int(scored(GeometricMedian(), data)["3"].argmin()) == int(sums.argmin())
