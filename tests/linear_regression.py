"""A regression whose errors are worked out by hand. Also a workload file: `tests/linear_regression.py:mse`.

The targets are 4a + 3b + 2c + d + e/2, where the five are ±1 in all 32 combinations, ten times each. The network knows
all weights and not e: its mean squared error is 1/4. Without a weight w the error is larger by w², without several by
the sum, because the five are orthogonal. All of these are sums of a few powers of two: float32 has them exactly.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.metric import Metric
from pruning.workload import Batch, TensorSplit, Workload

MSE = Metric("MSE", better="lower", low=0.0)
NEGATIVE = Metric("negative MSE", high=0.0)
DENSE, TOTAL = 0.25, 320
COST = {0.25: 1.0, 0.5: 1.0 + 4.0, 0.75: 1.0 + 4.0 + 9.0}
"""Share of the weights that is pruned, the smallest first -> by how much the error grows."""


@dataclass(frozen=True)
class SquaredError:
    """The squared error, or minus it where higher is better."""

    metric: Metric = MSE
    classes: tuple[str, ...] = field(default=())

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.mse_loss(model(batch[0]), batch[1])

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        squared = (output - target).square().flatten()
        return squared if self.metric.better == "lower" else -squared


def split() -> TensorSplit:
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 5).repeat(TOTAL // 32, 1)
    return TensorSplit(signs[:, :4], signs @ torch.tensor([[4.0], [3.0], [2.0], [1.0], [0.5]]))


def build() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 1, bias=False))
    model[0].weight.data.copy_(torch.tensor([[4.0, 3.0, 2.0, 1.0]]))  # type: ignore[union-attr, operator]
    return model.eval()


def workload(task: SquaredError) -> Workload:
    samples = split()
    return Workload("linear", build, samples.inputs[:1], samples, samples, samples, task)


def mse() -> Workload:
    return workload(SquaredError())


def negative() -> Workload:
    return workload(SquaredError(NEGATIVE))
