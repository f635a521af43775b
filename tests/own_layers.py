"""A network most of whose weights lie in layers of somebody's own, with what is known of them, worked out by hand."""

import torch
from torch import Tensor, nn


class InOut(nn.Module):
    """A linear layer that keeps its weight as [in, out], as GPT-2's Conv1D does."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, values: Tensor) -> Tensor:
        return values @ self.weight + self.bias


class Experts(nn.Module):
    """Two experts whose weights are stacked, with a child that has no parameters. Vectors [..., 2] to [..., 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.up_bias = nn.Parameter(torch.randn(2, 2, 3)), nn.Parameter(torch.randn(2, 3))
        self.down, self.down_bias = nn.Parameter(torch.randn(2, 3, 2)), nn.Parameter(torch.randn(2, 2))
        self.act = nn.ReLU()

    def forward(self, values: Tensor) -> Tensor:
        first, second = (self.act(values @ self.up[e] + self.up_bias[e]) @ self.down[e] for e in range(2))
        return first + second + self.down_bias.sum(dim=0)


class OwnLayers(nn.Module):
    """Own layers, a cell, and parameters beside them. Vectors [b, 6], three tokens of two, to logits [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.positions = nn.Parameter(torch.randn(1, 1, 2)), nn.Parameter(torch.randn(1, 4, 2))
        self.scale = nn.Parameter(torch.rand(2))
        self.up, self.down = InOut(2, 5), InOut(5, 2)
        self.experts = Experts()
        self.cell = nn.LSTMCell(2, 3)
        self.head = nn.Linear(3, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        tokens = torch.cat([self.token.expand(vectors.shape[0], 1, 2), vectors.view(-1, 3, 2)], dim=1)
        tokens = self.down(torch.relu(self.up(tokens + self.positions))) * self.scale
        return self.head(self.cell(self.experts(tokens)[:, 0])[0])


LAYERS = {
    "up": ("up.weight", (2, 5), 10 + 5, 4 * 10),
    "down": ("down.weight", (5, 2), 10 + 2, 4 * 10),
    "experts.up": ("experts.up", (2, 2, 3), 12 + 6, 2 * 4 * 6),
    "experts.down": ("experts.down", (2, 3, 2), 12 + 4, 2 * 4 * 6),
    "cell.weight_ih": ("cell.weight_ih", (12, 2), 24 + 12, 24),
    "cell.weight_hh": ("cell.weight_hh", (12, 3), 36 + 12, 36),
    "head": ("head.weight", (3, 3), 9 + 3, 9),
}
"""Row of a layer -> its weight, shape, parameters with the bias, and MACs of four tokens; cell and head see one."""
BARE = {"token": ("token", (1, 1, 2), 2, 0), "positions": ("positions", (1, 4, 2), 8, 0)}
"""The same of the parameters that hang beside layers: they are added, which takes no MACs."""
VALUES = sum(parameters for _, _, parameters, _ in (LAYERS | BARE).values()) + 2
"""All values of the parameters, the scale's two included."""
