"""A network whose gradients and curvatures one can do in one's head, and small ones with recurrence and attention."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.criteria import Criterion, unit_scores
from pruning.criteria.calibration import Calibration
from pruning.granularities import Granularity
from pruning.workload import Batch, TensorSplit, Workload
from tests.networks import CPU


class Loss:
    """A task of a loss alone: `of` gives it from the outputs."""

    classes = ()

    def __init__(self, of: Callable[[Tensor], Tensor]) -> None:
        self.of = of

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.of(model(batch[0]))

    def judge(self, output: Tensor, target: Tensor) -> Tensor:
        return torch.zeros(len(output))


HALVED = Loss(lambda output: output.mean() / 2)
SQUARED = Loss(lambda output: output.square().mean())


def two_layers() -> nn.Module:
    """x -> relu(W x) -> v; for x = (1, 2) the hidden values are (1, 4, -3), for (2, 1) they are (5, 2, -3).

    With loss HALVED: dL/dv = h/2 and dL/dW = v x/2 where the neuron is on. The last neuron is always off.
    """
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 1, bias=False))
    model[0].weight.data = torch.tensor([[3.0, -1.0], [0.0, 2.0], [-1.0, -1.0]])
    model[2].weight.data = torch.tensor([[5.0, 0.5, -6.0]])
    return model


def one_layer(*rows: list[float]) -> nn.Module:
    """A Linear without bias, of these weights."""
    model = nn.Sequential(nn.Linear(len(rows[0]), len(rows), bias=False))
    model[0].weight.data = torch.tensor(rows)
    return model


class Recurrent(nn.Module):
    """An LSTM, both ways. Sequences [b, 4, 3] to [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, steps: Tensor) -> Tensor:
        return self.fc(self.lstm(steps)[0].mean(dim=1))


class Attentive(nn.Module):
    """Attention of two heads. Tokens [b, 5, 4] to [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.norm(tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0])
        return self.fc(F.gelu(tokens).mean(dim=1))


def calibration(*inputs: list[float], batch: int = 128, loss: Loss = HALVED, seed: int = 0, **more) -> Calibration:
    """These samples, without targets."""
    split = TensorSplit(torch.tensor(inputs), torch.zeros(len(inputs), dtype=torch.long))
    work = Workload("hand", two_layers, split.inputs[:1], split, split, split, loss, **more)
    return Calibration(work, CPU, seed, batch=batch)


def scored(
    criterion: Criterion, granularity: Granularity, data: Calibration, model: nn.Module | None = None
) -> dict[str, list[float]]:
    """Scores of the given model, else of `two_layers`, as lists."""
    model = two_layers() if model is None else model
    groups = granularity.sorted_out(model, data.workload.example)[0]
    return {name: values.tolist() for name, values in unit_scores(criterion, model, groups, data).items()}
