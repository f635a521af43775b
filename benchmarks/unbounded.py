"""Whether the intervals of scores without bounds hold what they promise, against full evaluations."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.calibration import Coverage, covered
from benchmarks.report import Report, Target
from pruning.evaluation.regression_estimator import DenseReference
from pruning.granularities import GRANULARITIES
from pruning.layer_sensitivity.analysis import analysis_of
from pruning.metric import Metric
from pruning.model.devices import default_device
from pruning.recipe.recipe import Recipe
from pruning.workload import Batch, TensorSplit, Workload
from sample_models import MODELS

ORDERS = 20
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
PART = 1 / 20  # of the dense score: how narrow an interval becomes where that is asked
SAMPLES, STEPS = 5000, 800


@dataclass(frozen=True)
class CrossEntropy:
    """A classifier scored by what it is trained by."""

    classes: tuple[str, ...]
    metric: Metric = Metric("cross entropy", better="lower", low=0.0)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1])

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target, reduction="none")


@dataclass(frozen=True)
class Error:
    """A regression scored by the `power` of how far it is off: 2 the squared error, 1 the absolute one."""

    power: int
    metric: Metric = Metric("error", better="lower", low=0.0)
    classes: tuple[str, ...] = ()

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.mse_loss(model(batch[0]), batch[1])

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).abs().pow(self.power).flatten()


def measure() -> Report:
    """A case is an order, a layer, a level and a look."""
    rows: list[dict[str, str | float]] = []
    found: list[Coverage] = []
    for name, workload in _workloads():
        for granularity in ("weights", "channels"):
            recipe = Recipe(workload.name, granularity=GRANULARITIES[granularity]())
            coverage = covered(analysis_of(workload, recipe, LEVELS, default_device()), ORDERS, _part)
            found.append(coverage)
            rows.append({"score": name, "granularity": granularity, **_figures([coverage])})
            print(f"{name}, {granularity}: done", file=sys.stderr)
    targets = {figure: Target(at_least=95.0) for figure in _figures(found)}
    return Report(_figures(found), targets, rows)


def _part(known: DenseReference) -> float:
    return PART * abs(known.score)


def _figures(found: list[Coverage]) -> dict[str, float]:
    cells = sum(each.cells for each in found)
    return {
        "holds (% of cases)": 100 * sum(each.held for each in found) / sum(each.cases for each in found),
        "at all looks together (%)": 100 * sum(each.together for each in found) / cells,
        "until narrow, at all looks (%)": 100 * sum(each.until_narrow for each in found) / cells,
        "until narrow, at the last look (%)": 100 * sum(each.at_the_end for each in found) / cells,
    }


def _workloads() -> Iterator[tuple[str, Workload]]:
    for name in ("lenet_300_100", "fashion_cnn"):
        sample = MODELS[name]()
        yield f"cross entropy of {name}", replace(sample, task=CrossEntropy(sample.task.classes))
    train, validation = _samples(1), _samples(2)
    model = _trained(train)
    for name, power in (("squared error", 2), ("absolute error", 1)):
        yield (
            f"{name} of a regression",
            Workload(name, lambda: model, train.inputs[:1], train, validation, validation, Error(power)),
        )


def _samples(seed: int) -> TensorSplit:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(SAMPLES, 8, generator=draw)
    y = x[:, 0] * x[:, 1] + 2 * torch.sin(x[:, 2]) + 0.1 * torch.randn(SAMPLES, generator=draw)
    return TensorSplit(x, y[:, None])


def _trained(train: TensorSplit) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    draw = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        index = torch.randint(SAMPLES, (64,), generator=draw)
        optimiser.zero_grad()
        F.mse_loss(model(train.inputs[index]), train.targets[index]).backward()
        optimiser.step()
    return model.eval()
