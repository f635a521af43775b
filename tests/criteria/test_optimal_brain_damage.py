import pytest
import torch

from pruning.criteria import OptimalBrainDamage, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.errors import RecipeError
from pruning.granularities import Channels, Weights
from pruning.model.preparation import open_model
from tests.criteria.by_hand import Loss, calibration, one_layer, scored
from tests.networks import CPU, tiny

HALF_SQUARED = Loss(lambda output: output.square().mean() / 2)


def test_fisher_by_hand():
    # samples (1, 2) and (2, 1): h = (1, 4, off) and (5, 2, off)
    # dL/dW[0] = 5 x/2: (2.5, 5) and (5, 2.5), mean squares (6.25 + 25) / 2; dL/dW[1] = .5 x/2: (.0625 + .25) / 2
    # dL/dv = h/2: (.5, 2) and (2.5, 1), mean squares (.25 + 6.25) / 2 and (4 + 1) / 2
    of_0, of_1 = (6.25 + 25) / 2, (0.0625 + 0.25) / 2
    data = calibration([1.0, 2.0], [2.0, 1.0])
    assert scored(OptimalBrainDamage(), Weights(), data) == {
        "0": pytest.approx([0.5 * 9 * of_0, 0.5 * 1 * of_0, 0, 0.5 * 4 * of_1, 0, 0]),
        "2": pytest.approx([0.5 * 25 * 3.25, 0.5 * 0.25 * 2.5, 0]),
    }
    assert scored(OptimalBrainDamage(), Channels(), data)["0"] == pytest.approx([5 * of_0, 2 * of_1, 0])


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_batches_make_no_difference(batch):
    data = [calibration([1.0, 2.0], [2.0, 1.0], [0.5, 3.0], batch=b) for b in (batch, 128)]
    parts, whole = (scored(OptimalBrainDamage(), Weights(), d) for d in data)
    assert all(parts[name] == pytest.approx(whole[name]) for name in whole)


def hutchinson(inputs: list[list[float]], weights: list[float], loss: Loss = HALF_SQUARED, **how) -> list[float]:
    data = calibration(*inputs, loss=loss, seed=how.pop("seed", 0))
    return scored(OptimalBrainDamage("hutchinson", **how), Weights(), data, one_layer(weights))["0"]


def test_one_probe_is_exact_where_the_hessian_is_diagonal():
    # L = mean of (w·x)² / 2: H = mean of x xᵀ = diag(1, 4) / 2
    assert hutchinson([[1.0, 0.0], [0.0, 2.0]], [3.0, -1.0], probes=1) == pytest.approx([0.5 * 9 * 0.5, 0.5 * 1 * 2])


def test_probes_are_averaged_and_the_seed_decides():
    # H = (1, 1; 1, 1): a probe sees 1 + v₁v₂, which is 0 or 2
    one = [hutchinson([[1.0, 1.0]], [1.0, 1.0], probes=1, seed=seed) for seed in range(20)]
    assert {tuple(scores) for scores in one} == {(0.0, 0.0), (1.0, 1.0)}
    many = hutchinson([[1.0, 1.0]], [1.0, 1.0], probes=1000)
    assert many == pytest.approx([0.5, 0.5], abs=4 * 0.5 / 1000**0.5)  # four standard errors
    assert many == hutchinson([[1.0, 1.0]], [1.0, 1.0], probes=1000)


def test_where_the_loss_bends_downwards_the_score_is_negative():
    bent = Loss(lambda output: -output.square().mean() / 2)
    assert hutchinson([[1.0, 0.0], [0.0, 2.0]], [3.0, -1.0], bent, probes=1) == pytest.approx([-2.25, -1.0])
    assert min(scored(OptimalBrainDamage(), Weights(), calibration([1.0, 2.0], loss=bent))["0"]) >= 0


def test_hutchinson_is_as_near_to_autograds_own_hessian_as_so_many_probes_can_be():
    work = tiny("mlp", count=64)
    model = open_model(work, CPU)
    groups = Weights().sorted_out(model, work.example)[0]
    names = [group.params[0] for group in groups]
    shapes = [model.get_parameter(name).shape for name in names]
    inputs, targets = work.train.batch(torch.arange(64), CPU)

    def loss(flat):
        parts = flat.split([shape.numel() for shape in shapes])
        named = {name: part.reshape(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return torch.nn.functional.cross_entropy(torch.func.functional_call(model, named, inputs), targets)

    weights = torch.cat([model.get_parameter(name).detach().flatten() for name in names])
    hessian = torch.autograd.functional.hessian(loss, weights)
    expected = 0.5 * weights.square() * hessian.diagonal()
    probes = 200
    # the variance of one probe's H[i, i] is the sum of the squares of the rest of the row
    noise = (hessian - hessian.diagonal().diag()).square().sum(dim=1).sqrt() / probes**0.5 * 0.5 * weights.square()
    data = Calibration(work, CPU, batch=24)
    scores = unit_scores(OptimalBrainDamage("hutchinson", probes=probes), model, groups, data)
    off = (torch.cat(list(scores.values())) - expected).abs()
    assert bool((off <= 4 * noise + 1e-6).all())
    assert float((off / noise)[noise > 0].median()) > 0.3  # and not nearer: the probes are random


def test_only_so_many_samples_are_looked_at():
    data = calibration([1.0, 2.0], [2.0, 1.0], [0.5, 3.0])
    seen = torch.randperm(3, generator=torch.Generator().manual_seed(0))[:1]
    alone = calibration(data.workload.train.inputs[seen].flatten().tolist())
    few, one = (scored(OptimalBrainDamage(samples=1), Weights(), d) for d in (data, alone))
    assert few == one != scored(OptimalBrainDamage(), Weights(), data)


@pytest.mark.parametrize("how", [{"samples": 0}, {"probes": 0}])
def test_fields_have_their_range(how):
    with pytest.raises(RecipeError, match=f"criterion.{next(iter(how))} is 0"):
        OptimalBrainDamage(**how)
