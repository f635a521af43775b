"""Scores order channels as torch-pruning's importance classes do, and the same channels are pruned.

torch-pruning scores a channel over everything that is pruned with it: the rows that make it, norms, and the columns
that read it, averaged over as many layers. Here a channel is ranked by what makes it. So that the same tensors are
compared, its group is cut down to the item that makes the channels (for the norm's scale: to that norm), and its scores
are not normalised. The networks are chains: one layer is one group. No unit is dead: their argsort leaves open which of
equal scores comes first.
"""

from collections.abc import Callable

import pytest
import torch
import torch_pruning
from torch import Tensor, nn
from torch_pruning.pruner.importance import FPGMImportance, Importance

from pruning.criteria import (
    BatchnormScale,
    Criterion,
    GeometricMedian,
    Lamp,
    Magnitude,
    OptimalBrainDamage,
    Snip,
    Taylor,
    unit_scores,
)
from pruning.criteria.calibration import Calibration
from pruning.granularities import Channels
from pruning.selection.amounts import Sparsity
from pruning.selection.ranking import rank, select
from pruning.selection.scopes import WithinLayer
from pruning.workload import Workload
from tests.networks import CPU, seeded, workload

IMAGE = (2, 8, 8)


def chain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 13, 3, padding=1), nn.BatchNorm2d(13), nn.Tanh(),
        nn.Conv2d(13, 17, 3, padding=1), nn.BatchNorm2d(17), nn.Tanh(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(17, 11), nn.Tanh(), nn.Linear(11, 3),
    )  # fmt: skip


def work(seed: int) -> Workload:
    return workload(lambda: seeded(chain, seed), IMAGE, count=60)


def theirs(
    importance: Importance, model: nn.Module, of: Callable[[nn.Module], bool] | None = None
) -> dict[str, Tensor]:
    """Layer name -> their score of each channel, of the item that makes the channels or of the items of `of`."""
    graph = torch_pruning.DependencyGraph().build_dependency(
        model, example_inputs=torch.zeros(1, *IMAGE), unwrapped_parameters=[], customized_pruners={}
    )
    scores: dict[str, Tensor] = {}
    for name in ("0", "3", "8"):
        module = model.get_submodule(name)
        prune = graph.get_pruner_of_module(module).prune_out_channels
        group = graph.get_pruning_group(module, prune, list(range(len(module.weight))))
        group._group = [item for item in group if of(item.dep.target.module)] if of else list(group)[:1]
        if len(group):
            assert len(group) == 1
            scores[name] = importance(group)
    return scores


def ours(criterion: Criterion, model: nn.Module, data: Workload, only: tuple[str, ...] = ()) -> dict[str, Tensor]:
    groups = [g for g in Channels().sorted_out(model, data.example)[0] if not only or g.name in only]
    return unit_scores(criterion, model, groups, Calibration(data, CPU))


def same_cut(mine: dict[str, Tensor], other: dict[str, Tensor], model: nn.Module, data: Workload) -> bool:
    """Whether the same channels are pruned, layer by layer, at every sparsity; theirs are the first of their
    argsort.
    """
    groups = [g for g in Channels().sorted_out(model, data.example)[0] if g.name in mine]
    assert mine.keys() == other.keys() and len(mine) > 1
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        keep = select(rank(groups, mine, WithinLayer(), Sparsity(share)), Sparsity(share))
        for name, importance in other.items():
            pruned = importance.argsort()[: round(share * len(importance))]
            if set(torch.nonzero(~keep[name]).flatten().tolist()) != set(pruned.tolist()):
                return False
    return True


def plain(kind: Callable[..., Importance], **how) -> Importance:
    return kind(group_reduction="mean", normalizer=None, **how)


def with_gradients(model: nn.Module, data: Workload, samples: int = 1024) -> None:
    (batch,) = Calibration(data, CPU, samples=samples).batches()
    data.task.loss(model, batch).backward()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("p", [1, 2])
def test_magnitude(p, seed):
    data = work(seed)
    model = data.build()
    mine, other = (
        ours(Magnitude(p), model, data),
        theirs(plain(torch_pruning.importance.MagnitudeImportance, p=p), model),
    )
    # theirs is the sum of the powers, without the root
    assert all(torch.allclose(mine[name] ** p, other[name], rtol=1e-5) for name in other)
    assert same_cut(mine, other, model, data)


@pytest.mark.parametrize("seed", range(3))
def test_lamp(seed):
    data = work(seed)
    model = data.build()
    mine, other = ours(Lamp(), model, data), theirs(torch_pruning.importance.LAMPImportance(), model)
    # theirs takes the rest as the whole less what came before: it loses a digit or two in float32
    assert all(torch.allclose(mine[name], other[name], rtol=1e-4) for name in other)
    assert same_cut(mine, other, model, data)


@pytest.mark.parametrize("seed", range(3))
def test_taylor_is_theirs_with_signs_that_cancel_squared(seed):
    data = work(seed)
    model = data.build()
    mine = ours(Taylor(), model, data)
    with_gradients(model, data)
    other = theirs(plain(torch_pruning.importance.TaylorImportance, multivariable=True), model)
    assert all(torch.allclose(mine[name].sqrt(), other[name], rtol=1e-3, atol=1e-7) for name in other)
    assert same_cut(mine, other, model, data)


@pytest.mark.parametrize("seed", range(3))
def test_their_default_taylor_is_snip(seed):
    data = work(seed)
    model = data.build()
    mine = ours(Snip(), model, data)
    with_gradients(model, data)
    other = theirs(plain(torch_pruning.importance.TaylorImportance), model)
    assert all(torch.allclose(mine[name], other[name], rtol=1e-3, atol=1e-7) for name in other)
    assert same_cut(mine, other, model, data)
    assert not same_cut(ours(Taylor(), model, data), other, model, data)


@pytest.mark.parametrize("seed", range(3))
def test_optimal_brain_damage_is_half_their_hessian_importance(seed):
    # accumulate_grad of 1.6.1 looks names up among tensors and so keeps the last sample alone: given one sample
    data = work(seed)
    model = data.build()
    mine = ours(OptimalBrainDamage(samples=1), model, data)
    with_gradients(model, data, samples=1)
    importance = plain(torch_pruning.importance.HessianImportance)
    importance.accumulate_grad(model)
    other = theirs(importance, model)
    assert all(torch.allclose(2 * mine[name], other[name], rtol=1e-3, atol=1e-9) for name in other)
    assert same_cut(mine, other, model, data)


@pytest.mark.parametrize("seed", range(3))
def test_geometric_median(seed):
    # theirs compares the filters' sizes |w| (p = 1) or their squares (p = 2, its default): with weights that are not
    # negative p = 1 is the paper's distance between the filters themselves
    data = work(seed)
    model = data.build()
    for parameter in model.parameters():
        parameter.data.abs_()
    mine, other = ours(GeometricMedian(), model, data), theirs(plain(FPGMImportance, p=1), model)
    assert all(torch.allclose(mine[name], other[name], rtol=1e-4) for name in other)
    assert same_cut(mine, other, model, data)


@pytest.mark.parametrize("seed", range(3))
def test_batchnorm_scale(seed):
    data = work(seed)
    model = data.build()
    other = theirs(
        plain(torch_pruning.importance.BNScaleImportance), model, lambda module: isinstance(module, nn.BatchNorm2d)
    )
    mine = ours(BatchnormScale(), model, data, ("0", "3"))  # no norm follows the Linear
    assert all(torch.equal(mine[name], other[name]) for name in other)
    assert same_cut(mine, other, model, data)
