import pytest
import torch
from torch import nn

from pruning.criteria import Wanda
from pruning.granularities import Channels, Weights
from tests.criteria.hand import scored, work
from tests.networks import Tied, seeded, tiny, workload


def test_a_weight_scores_its_size_times_the_norm_of_the_feature_that_it_reads():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1))
    model[0].weight.data = torch.tensor([[1.0, -2.0], [3.0, 0.5]])
    data = work(model, torch.tensor([[3.0, 0.0], [4.0, -1.0]]))
    # ‖x‖ = (√(9 + 16), √1) = (5, 1)
    assert scored(Wanda(), data, Weights())["0"].tolist() == [5.0, 2.0, 15.0, 0.5]
    assert scored(Wanda(), data, Channels())["0"].tolist() == [7.0, 15.5]


def test_an_input_channel_has_one_norm_over_samples_and_positions():
    model = nn.Sequential(nn.Conv2d(2, 1, 2, padding=1, bias=False), nn.Flatten(), nn.Linear(9, 2))
    model[0].weight.data = torch.tensor([[[[1.0, -1.0], [2.0, 0.0]], [[1.0, 1.0], [1.0, -3.0]]]])
    image = torch.tensor([[[[1.0, 2.0], [2.0, 4.0]], [[0.0, 1.0], [2.0, 2.0]]]])
    # √(1 + 4 + 4 + 16) = 5 and √(0 + 1 + 4 + 4) = 3: the padding adds nothing
    assert scored(Wanda(), work(model, image), Weights())["0"].tolist() == [5.0, 5.0, 10.0, 0.0, 3.0, 3.0, 3.0, 9.0]


def test_rows_of_a_grouped_convolution_read_the_channels_of_their_group():
    model = nn.Sequential(nn.Conv1d(4, 4, 1, groups=2, bias=False), nn.Flatten(), nn.Linear(4, 2))
    model[0].weight.data = torch.ones(4, 2, 1)
    # four channels of norms 1, 2, 3, 4: the first two rows read 1 and 2, the last two 3 and 4
    data = work(model, torch.tensor([[[1.0], [2.0], [3.0], [4.0]]]))
    assert scored(Wanda(), data, Weights())["0"].tolist() == [1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0]


@pytest.mark.parametrize("batch", [128, 7])
def test_it_is_the_formula_done_directly(batch):
    data = tiny("depthwise", count=50)
    model = data.build()
    scores = scored(Wanda(), data, Weights(), model, batch=batch)
    with torch.no_grad():
        for layer in ("0", "3", "6", "11"):
            seen = model[: int(layer)](data.train.inputs)
            norms = seen.movedim(1, 0).flatten(1).norm(dim=1)
            norms = norms[:, None] if layer == "3" else norms  # depthwise: row i reads channel i alone
            weight = model[int(layer)].weight.flatten(2) if layer != "11" else model[11].weight[..., None]
            expected = (weight.abs() * norms[..., None]).flatten()
            assert torch.allclose(scores[layer], expected, rtol=1e-5)


def test_a_weight_that_two_layers_share_reads_what_both_of_them_read():
    data = workload(lambda: seeded(Tied), (6,), count=40)
    model = data.build()
    with torch.no_grad():
        both = torch.cat([data.train.inputs, model.first(data.train.inputs).relu()])
    expected = (model.first.weight.detach().abs() * both.norm(dim=0)).flatten()
    assert torch.allclose(scored(Wanda(), data, Weights())["first"], expected, rtol=1e-5)
