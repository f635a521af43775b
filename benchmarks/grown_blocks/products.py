"""Blocks of vectors in which features are multiplied with each other, repeated or compared; and such heads."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import WIDTHS, Block, Form, Shape, VectorBlock
from benchmarks.grown_blocks.transitions import WORDS
from benchmarks.grown_blocks.vectors import CLASSES, Head


class FourierFeatures(VectorBlock):
    """Sines and cosines of fixed mixtures of the features."""

    moves_zero = sees_all = True  # cos(0) is 1; the mixtures are nobody's weights
    directions: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.entry = nn.Linear(shape[0], 5)
        self.register_buffer("directions", torch.randn(5, 4))

    def forward(self, vectors: Tensor) -> Tensor:
        angles = self.entry(vectors) @ self.directions
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class TwoInputs(VectorBlock):
    """nn.Bilinear: every pair of features of two branches has a weight."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        a, b = draw.choice((3, 4)), draw.choice((3, 4))
        self.left, self.right, self.mix = nn.Linear(shape[0], a), nn.Linear(shape[0], b), nn.Bilinear(a, b, 5)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.mix(torch.tanh(self.left(vectors)), torch.tanh(self.right(vectors)))


class OuterProduct(VectorBlock):
    """Bilinear pooling: all products of two features, read by one linear layer."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, self.with_itself = draw.choice((3, 4)), draw.random() < 0.5
        self.left, self.right = nn.Linear(shape[0], width), nn.Linear(shape[0], width)
        self.read = nn.Linear(width * width, draw.choice(WIDTHS))

    def forward(self, vectors: Tensor) -> Tensor:
        left = torch.tanh(self.left(vectors))
        right = left if self.with_itself else torch.tanh(self.right(vectors))
        return self.read(torch.einsum("bi,bj->bij", left, right).flatten(1))


class Factorised(VectorBlock):
    """A factorisation machine: sums over pairs of features, beside the features."""

    sees_all = True  # the factors are added up by no weights
    reading: ClassVar[Mapping[str, int]] = {"factors": 0}

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.linear, self.factors = nn.Linear(shape[0], 4), nn.Parameter(torch.randn(shape[0], 3) * 0.3)

    def forward(self, vectors: Tensor) -> Tensor:
        squares = (vectors @ self.factors).pow(2) - vectors.pow(2) @ self.factors.pow(2)
        return torch.cat([self.linear(vectors), 0.5 * squares.sum(dim=1, keepdim=True)], dim=1)


class FoldedSum(VectorBlock):
    """Features in rows that are added up, or the largest of each row."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.rows, width, self.largest = draw.choice((2, 3)), draw.choice((3, 4)), draw.random() < 0.5
        self.fc = nn.Linear(shape[0], self.rows * width)

    def forward(self, vectors: Tensor) -> Tensor:
        rows = self.fc(vectors).view(len(vectors), self.rows, -1)
        return rows.amax(dim=1) if self.largest else torch.relu(rows.sum(dim=1))


class Squared(VectorBlock):
    """The features, and the same features squared, side by side or taken turn about."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.fc, self.by_turns = nn.Linear(shape[0], draw.choice(WIDTHS)), draw.random() < 0.5

    def forward(self, vectors: Tensor) -> Tensor:
        vectors = torch.tanh(self.fc(vectors))
        both = (vectors, vectors**2)
        return torch.stack(both, dim=-1).flatten(1) if self.by_turns else torch.cat(both, dim=-1)


class Scaled(VectorBlock):
    """A scale and a shift of every feature, learnt, and one number for all."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.fc = nn.Linear(shape[0], width)
        self.alpha = nn.Parameter(torch.ones(width))
        self.all = nn.Parameter(torch.ones(1))
        self.beta = nn.Parameter(torch.zeros(1, width))

    def forward(self, vectors: Tensor) -> Tensor:
        return torch.addcmul(self.beta, self.fc(vectors), self.alpha) * self.all


class NearestHead(Head):
    """The nearer to a class's prototype, the likelier the class."""

    moves_zero = sees_all = True  # a prototype is as far from zero as it is large

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.prototypes, self.by_hand = nn.Parameter(torch.randn(CLASSES, shape[0])), draw.random() < 0.5

    def forward(self, vectors: Tensor) -> Tensor:
        if self.by_hand:
            return -(vectors[:, None] - self.prototypes).pow(2).sum(dim=-1)
        return -torch.cdist(vectors, self.prototypes)


class CosineHead(Head):
    """Angles between the vector and the classes' weights."""

    moves_zero = sees_all = True  # the length of either is made of all its numbers

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.fc, self.scale = nn.Linear(shape[0], CLASSES, bias=False), nn.Parameter(torch.tensor(5.0))

    def forward(self, vectors: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(vectors), F.normalize(self.fc.weight))


class WordBag(Block):
    """The mean of the words' vectors."""

    takes: ClassVar[Form] = "ids"
    gives: ClassVar[Form] = "vectors"

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.bag = nn.EmbeddingBag(WORDS, draw.choice(WIDTHS), mode=draw.choice(("mean", "sum", "max")))

    def forward(self, ids: Tensor) -> Tensor:
        return self.bag(ids)
