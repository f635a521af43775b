import pytest
import torch
from torch import nn

from pruning.criteria import BatchnormScale, Magnitude
from pruning.errors import WorkloadError
from pruning.granularities import Channels
from pruning.pipeline.eligibility import unscored
from tests.criteria.hand import scored
from tests.networks import NETWORKS, Residual, seeded, tiny, workload


def test_a_channel_scores_the_size_of_its_norms_scale():
    data = tiny("conv_bn")
    model = data.build()
    model[1].weight.data = torch.tensor([0.5, -2.0, 0.0, 1.0])
    assert scored(BatchnormScale(), data, model=model)["0"].tolist() == [0.5, 2.0, 0.0, 1.0]


def test_coupled_layers_add_up_the_scales_of_all_their_norms():
    data = workload(lambda: seeded(Residual), (2, 8, 8))
    model = data.build()
    model.stem_bn.weight.data = torch.tensor([1.0, -2.0, 3.0, 4.0])
    model.bn2.weight.data = torch.tensor([10.0, 20.0, -30.0, 40.0])
    assert scored(BatchnormScale(), data, model=model)["stem"].tolist() == [11.0, 22.0, 33.0, 44.0]


def test_each_layer_takes_its_own_part_of_a_norm_over_both():
    data = tiny("concatenated")
    model = data.build()
    model.norm.weight.data = torch.arange(1.0, 8.0)
    groups = Channels().sorted_out(model, data.example)[0]
    left, right = groups[:2]
    assert BatchnormScale().why_not(model, left) == BatchnormScale().why_not(model, right) == ""
    scores = scored(BatchnormScale(), data, model=model, groups=[left, right])
    assert [values.tolist() for values in scores.values()] == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]


def test_a_norm_behind_the_flattening_gives_a_channel_the_scales_of_all_its_pixels():
    def make() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    data = workload(lambda: seeded(make), (1, 2, 2))
    model = data.build()
    model[2].weight.data = torch.arange(8.0)
    assert scored(BatchnormScale(), data, model=model)["0"].tolist() == [0 + 1 + 2 + 3, 4 + 5 + 6 + 7]


def without_scale() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4, affine=False), nn.Flatten(), nn.Linear(256, 3))


@pytest.mark.parametrize("make, shape", [NETWORKS["mlp"], NETWORKS["conv"], (without_scale, (2, 8, 8))])
def test_layers_without_a_scale_stay_whole_and_say_why(make, shape):
    model = seeded(make)
    groups = Channels().sorted_out(model, torch.zeros(1, *shape))[0]
    reasons = unscored(BatchnormScale(), model, groups)
    assert reasons.keys() == {group.name for group in groups}
    assert "no norm with a learnt scale follows its units" in reasons["0"] and "choose magnitude" in reasons["0"]
    assert unscored(Magnitude(), model, groups) == {}
    with pytest.raises(WorkloadError, match=r"^0: no norm with a learnt scale .* or keep this layer whole"):
        scored(BatchnormScale(), workload(lambda: model, shape))
