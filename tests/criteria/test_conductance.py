import pytest
import torch
from captum.attr import LayerConductance
from torch import nn

from pruning.calibration import Calibration
from pruning.criteria import Conductance, unit_scores
from pruning.errors import RecipeError
from pruning.granularities import Channels
from pruning.opening import open_model
from pruning.workload import Classification, TensorSplit, Workload
from tests.criteria.test_taylor import Halved
from tests.networks import CPU, Residual, seeded, tiny, workload


def scored(model: nn.Module, data: Workload, **how) -> dict[str, torch.Tensor]:
    return unit_scores(Conductance(**how), model, Channels().groups(model, data.example), Calibration(data, CPU))


def test_in_a_linear_net_it_is_weight_times_hidden_value():
    # F = v·h and h = W x with a black image at 0: what flows through neuron j to class c is v[c, j] h[j]
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False))
    model[0].weight.data = torch.tensor([[1.0, 1.0], [0.0, -2.0], [3.0, 0.0]])
    model[1].weight.data = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]])
    split = TensorSplit(torch.tensor([[1.0, 2.0], [2.0, 0.0]]), torch.tensor([0, 1]))
    data = Workload("hand", lambda: model, split.inputs[:1], split, split, split, Classification(("a", "b")))
    # sample 0: h = (3, -4, 3), class 0: (3, -8, 9); sample 1: h = (2, 0, 6), class 1: (-2, 0, 0)
    by_hand = [(3 + 2) / 2, (8 + 0) / 2, (9 + 0) / 2]
    assert scored(model, data, steps=200)["0"].tolist() == pytest.approx(by_hand, rel=1e-3)
    # with few steps Captum's points leave out the two ends of the path: all units lose the same share
    few = scored(model, data, steps=8)["0"].tolist()
    assert few == pytest.approx([0.96816 * value for value in by_hand], rel=1e-4)


def test_it_is_captums_own_layer_conductance():
    data = tiny("conv", count=40)
    model = open_model(data, CPU)
    ours = scored(model, data, steps=5, samples=40)
    for name, layer in (("0", model[0]), ("3", model[3])):
        flow = LayerConductance(model, layer).attribute(data.train.inputs, target=data.train.targets, n_steps=5)
        assert ours[name].tolist() == pytest.approx(flow.sum(dim=(2, 3)).abs().mean(dim=0).tolist(), rel=1e-4)


def test_coupled_producers_are_added_up_before_the_absolute_value():
    data = workload(lambda: seeded(Residual), (2, 8, 8), count=20)
    model = open_model(data, CPU)
    flows = [
        LayerConductance(model, layer)
        .attribute(data.train.inputs, target=data.train.targets, n_steps=3)
        .sum(dim=(2, 3))
        for layer in (model.stem, model.conv2)
    ]
    expected = (flows[0] + flows[1]).abs().mean(dim=0)
    assert scored(model, data, steps=3)["stem"].tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_the_neurons_of_a_linear_layer_over_a_sequence_are_its_last_dimension():
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, words):
            return self.head(self.hidden(words).relu()).mean(dim=1)

    data = workload(lambda: seeded(Words), (7, 4), count=20)
    model = open_model(data, CPU)
    flow = LayerConductance(model, model.hidden).attribute(data.train.inputs, target=data.train.targets, n_steps=8)
    assert flow.shape == (20, 7, 5)
    assert scored(model, data)["hidden"].tolist() == pytest.approx(flow.sum(dim=1).abs().mean(dim=0).tolist(), rel=1e-4)


def test_an_activation_that_works_in_place_is_no_obstacle():
    plain = tiny("conv", count=20)
    model, in_place = open_model(plain, CPU), open_model(plain, CPU)
    in_place[1], in_place[4] = nn.ReLU(inplace=True), nn.ReLU(inplace=True)
    assert scored(in_place, plain)["0"].tolist() == pytest.approx(scored(model, plain)["0"].tolist(), rel=1e-5)


def test_a_task_without_classes_is_told_to_use_another_criterion():
    data = tiny("conv")
    regression = Workload("r", data.build, data.example, data.train, data.validation, data.test, Halved())
    with pytest.raises(RecipeError, match="has no classes; use taylor"):
        scored(open_model(data, CPU), regression)


@pytest.mark.parametrize("how", [{"steps": 0}, {"samples": 0}])
def test_steps_and_samples_are_at_least_one(how):
    with pytest.raises(RecipeError, match="must be at least 1"):
        Conductance(**how)
