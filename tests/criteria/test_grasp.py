import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pruning.criteria import Grasp, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import WorkloadError
from pruning.granularities import Channels, Weights
from tests.criteria.by_hand import SQUARED, Attentive, Loss, Recurrent, calibration, scored
from tests.networks import CPU, seeded, tiny, workload


def test_by_hand():
    # L = Σ v[j] W[j, i] x[i] / 2 over the neurons that are on; x = (1, 2), h = (1, 4), v = (5, .5)
    # g: dL/dW = (2.5, 5), (.25, .5); dL/dv = (.5, 2). d²L / dv[j] dW[j, i] = x[i] / 2, all else is 0
    # (H g) for v: (1 · 2.5 + 2 · 5) / 2 = 6.25 and (1 · .25 + 2 · .5) / 2 = .625
    # (H g) for W: (1, 2) / 2 · .5 = (.25, .5) and (1, 2) / 2 · 2 = (1, 2)
    assert scored(Grasp(), Weights(), calibration([1.0, 2.0])) == {
        "0": [3 * 0.25, -1 * 0.5, 0, 2 * 2, 0, 0],
        "2": [5 * 6.25, 0.5 * 0.625, 0],
    }
    assert scored(Grasp(), Channels(), calibration([1.0, 2.0])) == {"0": [0.75 - 0.5, 4, 0]}


def gradient_norm(model: nn.Module, data: Calibration) -> torch.Tensor:
    weights = [model.get_parameter(f"{layer}.weight") for layer in (0, 2, 4)]
    (batch,) = data.batches()
    return sum(g.square().sum() for g in torch.autograd.grad(data.workload.task.loss(model, batch), weights))


def test_what_scores_lowest_lets_the_gradient_grow_most_when_it_shrinks():
    work = tiny("mlp", count=64)
    model = work.build().double()
    work.train.inputs.data = work.train.inputs.double()
    data = Calibration(work, CPU)
    groups = Weights().sorted_out(model, work.example.double())[0]
    scores = unit_scores(Grasp(), model, groups, data)["2"]
    weight, step, before = model[2].weight, 1e-5, gradient_norm(model, data)
    changes = []
    for place in range(weight.numel()):
        old = float(weight.data.view(-1)[place])
        weight.data.view(-1)[place] = old * (1 - step)
        changes.append(float(gradient_norm(model, data) - before))
        weight.data.view(-1)[place] = old
    # |g|² grows by 2 g·(H Δw) = -2 step w·(H g)
    assert scores.tolist() == pytest.approx([-change / (2 * step) for change in changes], rel=1e-2, abs=1e-6)
    assert int(torch.tensor(changes).argmax()) == int(scores.argmin())


def test_it_is_of_all_samples_in_whatever_batches():
    samples = [1.0, 2.0], [2.0, 1.0], [0.5, 3.0]
    whole, parts = (scored(Grasp(), Weights(), calibration(*samples, batch=batch)) for batch in (3, 2))
    assert all(parts[name] == pytest.approx(whole[name], rel=1e-5) for name in whole)


def test_scores_do_not_depend_on_which_other_layers_compete():
    work = tiny("conv", count=32)
    model = work.build()
    groups = Weights().sorted_out(model, work.example)[0]
    every, few = (unit_scores(Grasp(), model, part, Calibration(work, CPU)) for part in (groups, groups[1:2]))
    assert torch.equal(every["3"], few["3"])


@pytest.mark.parametrize("make, shape", [(Recurrent, (4, 3)), (Attentive, (5, 4))])
def test_recurrent_layers_and_attention_are_differentiated_twice(make, shape):
    work = workload(lambda: seeded(make), shape, count=32)
    model = work.build()
    groups = Weights().sorted_out(model, work.example)[0]
    scores = unit_scores(Grasp(), model, groups, Calibration(work, CPU))
    assert len(scores) > 1 and all(bool((values != 0).any()) for values in scores.values())


class Once(torch.autograd.Function):
    """Doubles; its derivative has none."""

    @staticmethod
    def forward(ctx, inputs):
        return 2 * inputs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slopes):
        return 2 * slopes


class OnlyOnce(nn.Module):
    def forward(self, inputs):
        return Once.apply(inputs)


MARGIN = Loss(lambda output: F.multi_margin_loss(output, torch.zeros(len(output), dtype=torch.long)))


@pytest.mark.parametrize(
    "layer, loss, why",
    [
        (OnlyOnce(), SQUARED, "once_differentiable"),
        (nn.Tanh(), MARGIN, "multi_margin_loss_backward is not implemented"),
    ],
)
def test_where_torch_has_no_second_derivative_it_is_a_sentence(layer, loss, why):
    model = nn.Sequential(nn.Linear(2, 3), layer, nn.Linear(3, 2))
    with pytest.raises(WorkloadError, match=rf"cannot differentiate this network twice \(.*{why}.* snip or taylor"):
        scored(Grasp(), Weights(), calibration([1.0, 2.0], loss=loss), model)
