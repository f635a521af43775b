import pytest
import torch
from torch import Tensor, nn

from pruning.criteria import Activation, Apoz
from pruning.errors import WorkloadError
from pruning.granularities import Channels
from pruning.model.units import Slice, UnitGroup
from tests.criteria.hand import scored, work
from tests.networks import Residual, seeded, tiny, workload


def three_neurons() -> nn.Module:
    """x -> relu(W x): for (1, 2) and (2, 1) the next layer receives (1, 4, 0) and (5, 2, 0)."""
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2))
    model[0].weight.data = torch.tensor([[3.0, -1.0], [0.0, 2.0], [-1.0, -1.0]])
    return model


@pytest.mark.parametrize(
    "statistic, by_hand",
    [("mean", [3.0, 3.0, 0.0]), ("norm", [13**0.5, 10**0.5, 0.0]), ("variance", [4.0, 1.0, 0.0])],
)
def test_a_neuron_scores_what_the_next_layer_receives(statistic, by_hand):
    # means (6/2, 6/2, 0), means of squares (26/2, 20/2, 0), variances (13 - 9, 10 - 9, 0)
    data = work(three_neurons(), torch.tensor([[1.0, 2.0], [2.0, 1.0]]))
    assert scored(Activation(statistic), data)["0"].tolist() == pytest.approx(by_hand)


def test_negative_activations_count_by_size():
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 2))
    model[0].weight.data = torch.tensor([[1.0], [-3.0]])
    data = work(model, torch.tensor([[1.0], [-1.0]]))
    assert scored(Activation(), data)["0"].tolist() == [1.0, 3.0]
    assert scored(Activation("variance"), data)["0"].tolist() == [1.0, 9.0]


def test_a_unit_that_always_says_the_same_has_no_variance_however_loud_it_is():
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 2))
    model[0].weight.data, model[0].bias.data = torch.tensor([[0.0], [0.001]]), torch.tensor([1000.1, 1000.0])
    quiet, loud = scored(Activation("variance"), work(model, torch.tensor([[1.0], [3.0]])))["0"].tolist()
    # 1000.001 and 1000.003 as float32 hold them
    assert quiet == 0.0 and loud == pytest.approx(1e-6, rel=0.1)


def test_a_channel_is_averaged_over_the_pixels_of_the_flattened_image():
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    model[0].weight.data = torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1)
    data = work(model, torch.tensor([[[[1.0, 2.0], [3.0, -9.0]]]]))
    # the pixels are (1, 2, 3, 0): mean 6/4, mean of squares 14/4, variance 3.5 - 2.25
    assert scored(Activation(), data)["0"].tolist() == [1.5, 3.0]
    assert scored(Activation("variance"), data)["0"].tolist() == [1.25, 5.0]


def test_the_mean_over_batches_of_unequal_size_is_the_mean_over_samples():
    data = tiny("conv", count=200)
    model = data.build()
    with torch.no_grad():
        hidden = model[:3](data.train.inputs).movedim(1, -1).flatten(0, -2)
    assert torch.allclose(scored(Activation(), data)["0"], hidden.abs().mean(dim=0), rtol=1e-5)
    assert torch.allclose(scored(Activation("variance"), data)["0"], hidden.var(dim=0, correction=0), rtol=1e-5)
    assert torch.allclose(scored(Activation("norm"), data)["0"], hidden.square().mean(dim=0).sqrt(), rtol=1e-5)


def test_a_unit_that_several_layers_read_scores_the_mean_over_its_readers():
    data = workload(lambda: seeded(Residual), (2, 8, 8), count=50)
    model = data.build()
    with torch.no_grad():
        stream = model.stem_bn(model.stem(data.train.inputs)).relu()
        later = (stream + model.bn2(model.conv2(model.bn1(model.conv1(stream)).relu()))).relu()
    # conv1 reads the stream before the first block; conv3 and the projection read it after
    first, second = (x.abs().mean(dim=(0, 2, 3)) for x in (stream, later))
    assert torch.allclose(scored(Activation(), data)["stem"], (first + 2 * second) / 3, rtol=1e-5)


class Grouped(nn.Module):
    """Unit i of the first layer is channels i and i + 4: both groups of the second read it with the same columns."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 8, 1, bias=False)
        self.second = nn.Conv2d(8, 8, 1, groups=2)
        self.head = nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.second(self.first(images).relu()).relu().mean(dim=(2, 3)))


def test_a_unit_that_a_grouped_convolution_reads_is_all_of_its_channels():
    model = seeded(Grouped)
    # channels 0 to 3 are silent (-1), 4 to 7 give 1, 2, 3 and 4
    model.first.weight.data = torch.tensor([[-1.0, 0.0]] * 4 + [[k, 0.0] for k in (1.0, 2.0, 3.0, 4.0)])[
        ..., None, None
    ]
    data = work(model, torch.ones(3, 2, 2, 2))
    (group, *_), _ = Channels().sorted_out(model, data.example)
    assert group.ranked[0].index.tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert scored(Activation(), data)["first"].tolist() == [1 / 2, 2 / 2, 3 / 2, 4 / 2]
    # the mean of 0 and k² is k² / 2, that of 0 and k is k / 2: the variance k² / 4
    assert scored(Activation("norm"), data)["first"].tolist() == pytest.approx([k / 2**0.5 for k in (1, 2, 3, 4)])
    assert scored(Activation("variance"), data)["first"].tolist() == [1 / 4, 4 / 4, 9 / 4, 16 / 4]
    assert scored(Apoz(), data)["first"].tolist() == [0.5] * 4


def test_a_reader_that_is_never_called_is_named():
    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.head = nn.Linear(2, 3), nn.Linear(3, 2)

        def forward(self, x):
            return nn.functional.linear(self.hidden(x).relu(), self.head.weight)

    rows, columns = (Slice(f"{of}.weight", dim, torch.arange(3)[:, None]) for dim, of in enumerate(("hidden", "head")))
    group = UnitGroup("hidden", ("hidden",), (3,), (rows,), (columns,))
    with pytest.raises(WorkloadError, match=r"^head: the network never calls this layer"):
        scored(Activation(), work(Direct(), torch.ones(2, 2)), groups=[group])
