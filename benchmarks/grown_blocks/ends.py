"""More ways into a network and out of it: patches by reshaping, words by one-hot vectors, pooled statistics, heads."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import WIDTHS, Shape, VectorBlock, activation, conv, linear
from benchmarks.grown_blocks.transitions import WORDS, IdsToTokens, TokensToVectors, ToTokens, ToVectors
from benchmarks.grown_blocks.vectors import CLASSES, Head


class ReshapedPatches(ToTokens):
    """Patches by view and permute, their channels last."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.grid = min(3, shape[1])
        self.pool = nn.AdaptiveAvgPool2d(2 * self.grid)
        self.norm, self.proj = nn.LayerNorm(4 * shape[0]), linear(draw, 4 * shape[0], draw.choice((4, 6)))

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.pool(maps)
        b, c, _, _ = maps.shape
        patches = maps.reshape(b, c, self.grid, 2, self.grid, 2).permute(0, 2, 4, 3, 5, 1)
        return self.proj(self.norm(patches.reshape(b, self.grid**2, 4 * c)))


class TwoScales(ToTokens):
    """Places of two sizes, one behind the other."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice((4, 6))
        self.fine, self.coarse, self.level = conv(shape[0], width, 1), conv(shape[0], width, 1), nn.Embedding(2, width)

    def forward(self, maps: Tensor) -> Tensor:
        fine = self.fine(F.adaptive_avg_pool2d(maps, 2)).flatten(2).mT + self.level.weight[0]
        coarse = self.coarse(F.adaptive_max_pool2d(maps, 1)).flatten(2).mT + self.level.weight[1]
        return torch.cat([fine, coarse], dim=1)


class LastFlattened(ToVectors):
    """As TensorFlow flattens: channels vary fastest."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.conv, self.pool = conv(shape[0], draw.choice((4, 6)), 1), nn.AdaptiveMaxPool2d(2)
        self.fc, self.act = nn.Linear(4 * self.conv.out_channels, draw.choice(WIDTHS)), activation(draw)

    def forward(self, maps: Tensor) -> Tensor:
        return self.act(self.fc(self.pool(self.conv(maps)).permute(0, 2, 3, 1).flatten(1)))


class OneHotWords(IdsToTokens):
    """An embedding that is a matrix product."""

    reading: ClassVar[Mapping[str, int]] = {"table": 0}

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.table = nn.Parameter(torch.randn(WORDS, draw.choice((4, 6))))

    def forward(self, ids: Tensor) -> Tensor:
        return F.one_hot(ids, WORDS).to(self.table.dtype) @ self.table


class HashedWords(IdsToTokens):
    """Two small tables instead of a large one, and one that is not trained."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, self.beside = draw.choice((4, 6)), draw.random() < 0.5
        self.high, self.low = nn.Embedding(3, width), nn.Embedding(4, width)
        self.fixed = nn.Embedding.from_pretrained(torch.randn(WORDS, 2 if self.beside else width), freeze=True)

    def forward(self, ids: Tensor) -> Tensor:
        learnt = self.high(torch.div(ids, 4, rounding_mode="floor")) + self.low(ids % 4)
        return torch.cat([learnt, self.fixed(ids)], dim=-1) if self.beside else learnt + self.fixed(ids)


class PooledStatistics(TokensToVectors):
    """x-vectors: mean and standard deviation of every channel."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.entry, self.weighted = nn.Linear(shape[1], draw.choice((4, 6))), draw.random() < 0.5
        self.score = nn.Linear(self.entry.out_features, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = torch.tanh(self.entry(tokens))
        if not self.weighted:
            return torch.cat([tokens.mean(dim=1), tokens.std(dim=1)], dim=-1)
        weights = self.score(tokens).softmax(dim=1)
        mean = torch.sum(weights * tokens, dim=1)
        spread = torch.sum(weights * tokens**2, dim=1) - mean**2
        return torch.cat([mean, spread.clamp(min=0).sqrt()], dim=-1)


class StandardisedInput(VectorBlock):
    """What is known of the training data's features is taken off."""

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.moves_zero = True
        self.register_buffer("mean", torch.zeros(shape[0]))
        self.register_buffer("scale", torch.ones(shape[0]))
        self.fc, self.act = linear(draw, shape[0], draw.choice(WIDTHS)), activation(draw)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.act(self.fc((vectors - self.mean) / self.scale))


class SameForAll(VectorBlock):
    """BatchEnsemble: members that share a weight, with scales of their own before and behind it."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.fc = nn.Linear(shape[0], draw.choice(WIDTHS), bias=False)
        self.before = nn.Parameter(torch.ones(3, shape[0]))
        self.behind = nn.Parameter(torch.ones(3, self.fc.out_features))
        self.bias = nn.Parameter(torch.zeros(3, self.fc.out_features))

    def forward(self, vectors: Tensor) -> Tensor:
        members = self.fc(vectors.unsqueeze(1) * self.before) * self.behind + self.bias
        return torch.tanh(members).mean(dim=1)


class InnerSum(Head):
    """The logits are an inner activation and what is made of it."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.first, self.inner, self.last = nn.Linear(shape[0], 5), nn.Linear(5, CLASSES), nn.Linear(CLASSES, CLASSES)

    def forward(self, vectors: Tensor) -> Tensor:
        inner = self.inner(torch.tanh(self.first(vectors)))
        return inner + self.last(torch.tanh(inner))


class JoinedHeads(Head):
    """Two tasks, one output."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.hidden, self.left = linear(draw, shape[0], 6), nn.Linear(6, 2)
        self.right = nn.Sequential(linear(draw, 6, 4), nn.ReLU(), nn.Linear(4, 1))

    def forward(self, vectors: Tensor) -> Tensor:
        hidden = torch.tanh(self.hidden(vectors))
        return torch.cat([self.left(hidden), self.right(hidden)], dim=1)
