import pytest
import torch
from torch import Tensor, nn

from pruning.criteria import Magnitude, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.granularities import Channels, Weights
from pruning.model.preparation import open_model
from pruning.model.units import Slice, Tiles, UnitGroup
from tests.networks import CPU, Residual, seeded, tiny


def two_layers() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    model[0].weight.data = torch.tensor([[3.0, -4.0], [0.0, 2.0], [-1.0, -1.0]])
    model[2].weight.data = torch.tensor([[5.0, 0.0, -6.0]])
    return model


def scored(criterion: Magnitude, model: nn.Module, groups: list[UnitGroup]) -> dict[str, list[float]]:
    scores = unit_scores(criterion, model, groups, Calibration(tiny("mlp"), CPU))
    return {name: values.tolist() for name, values in scores.items()}


@pytest.mark.parametrize("p", [1, 2])
def test_a_weight_scores_its_absolute_value(p):
    model = two_layers()
    groups = Weights().sorted_out(model, torch.zeros(1, 2))[0]
    assert scored(Magnitude(p), model, groups) == {"0": [3, 4, 0, 2, 1, 1], "2": [5, 0, 6]}


def test_a_neuron_scores_the_sum_or_the_root_of_the_squares_of_its_incoming_weights():
    model = two_layers()
    groups = Channels().sorted_out(model, torch.zeros(1, 2))[0]
    assert scored(Magnitude(1), model, groups) == {"0": [7, 2, 2]}
    assert scored(Magnitude(2), model, groups)["0"] == pytest.approx([5, 2, 2**0.5])


def test_a_filter_is_scored_over_its_channels_and_kernel():
    work = tiny("conv")
    model = open_model(work, CPU)
    first, second = Channels().sorted_out(model, work.example)[0]
    expected = {g.name: model.get_parameter(g.params[0]).detach().abs().sum(dim=(1, 2, 3)) for g in (first, second)}
    for name, values in scored(Magnitude(1), model, [first, second]).items():
        assert values == pytest.approx(expected[name].tolist(), rel=1e-6)


def test_coupled_channels_score_the_norm_over_all_their_producers():
    model = seeded(Residual)
    groups = Channels().sorted_out(model, torch.zeros(1, 2, 8, 8))[0]
    squares = model.stem.weight.detach().square().sum(dim=(1, 2, 3)) + model.conv2.weight.detach().square().sum(
        dim=(1, 2, 3)
    )
    assert scored(Magnitude(2), model, groups)["stem"] == pytest.approx(squares.sqrt().tolist(), rel=1e-6)


def widened(values: Tensor) -> list[float]:
    model = nn.Sequential(nn.Linear(1, 1))
    model[0].weight = nn.Parameter(values, requires_grad=False)
    group = UnitGroup("0", ("0",), tuple(values.shape), (Tiles("0.weight"),))
    return scored(Magnitude(), model, [group])["0"]


def test_the_smallest_int8_keeps_its_size():
    assert widened(torch.tensor([[-128, 127]], dtype=torch.int8)) == [128.0, 127.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_half_and_quarter_precision_are_widened_exactly(dtype):
    assert widened(torch.tensor([[-1.5, 0.0, 448.0]]).to(dtype)) == [1.5, 0.0, 448.0]


def test_a_filter_of_half_precision_does_not_overflow():
    model = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 1)).half()
    model[0].weight.data.fill_(60000.0)
    index = torch.arange(2)[:, None]
    group = UnitGroup("0", ("0",), (2,), (Slice("0.weight", 0, index),))
    assert scored(Magnitude(1), model, [group])["0"] == pytest.approx([4 * 60000.0] * 2, rel=1e-3)
