"""Blocks of vectors, and heads."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import (
    OWN_LINEAR,
    WIDTHS,
    Form,
    Shape,
    VectorBlock,
    activation,
    linear,
)

CLASSES = 3


class Hidden(VectorBlock):
    """A linear layer, a norm now and then, an activation."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.norm = draw.choice((nn.Identity, nn.Identity, nn.BatchNorm1d, nn.LayerNorm))(width)  # type: ignore[arg-type]
        self.fc, self.act, self.drop = linear(draw, shape[0], width), activation(draw), nn.Dropout(0.1)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.drop(self.act(self.norm(self.fc(vectors))))


class ResidualVectors(VectorBlock):
    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        inner = draw.choice(WIDTHS)
        self.fc1, self.fc2, self.act = linear(draw, shape[0], inner), linear(draw, inner, shape[0]), activation(draw)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.act(vectors + self.fc2(self.act(self.fc1(vectors))))


class DenseVectors(VectorBlock):
    """What comes in is laid beside what is made of it."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        first, second = draw.choice((3, 5)), draw.choice((3, 5))
        self.fc1, self.fc2 = linear(draw, shape[0], first), linear(draw, shape[0] + first, second)

    def forward(self, vectors: Tensor) -> Tensor:
        vectors = torch.cat([vectors, torch.relu(self.fc1(vectors))], dim=1)
        return torch.hstack((vectors, torch.relu(self.fc2(vectors))))


class GatedVectors(VectorBlock):
    """GLU, by torch's function or by halves."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.width, self.by_slices = draw.choice(WIDTHS), draw.random() < 0.5
        self.fc = nn.Linear(shape[0], 2 * self.width)

    def forward(self, vectors: Tensor) -> Tensor:
        both = self.fc(vectors)
        if self.by_slices:
            return both[:, : self.width] * torch.sigmoid(both[:, self.width :])
        return F.glu(both, dim=-1)


class MatrixProducts(VectorBlock):
    """Two linear layers of one's own."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        inner = draw.choice(WIDTHS)
        self.first = draw.choice(OWN_LINEAR)(shape[0], inner)
        self.second = draw.choice(OWN_LINEAR)(inner, draw.choice(WIDTHS))

    def forward(self, vectors: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(vectors)))


class BareMatrices(VectorBlock):
    """Weights as parameters of the block itself, one [in, out] and one [out, in]."""

    reading: ClassVar[Mapping[str, int]] = {"w1": 0, "w2": 1}

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        inner, outputs = draw.choice(WIDTHS), draw.choice(WIDTHS)
        self.w1, self.b1 = nn.Parameter(torch.randn(shape[0], inner) * 0.3), nn.Parameter(torch.zeros(inner))
        self.w2, self.b2 = nn.Parameter(torch.randn(outputs, inner) * 0.3), nn.Parameter(torch.zeros(outputs))

    def forward(self, vectors: Tensor) -> Tensor:
        return torch.tanh(vectors @ self.w1 + self.b1) @ self.w2.t() + self.b2


class TiedAutoencoder(VectorBlock):
    """There and back with one weight."""

    moves_zero = sees_all = True  # what reads one way writes the other

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.encoder = nn.Linear(shape[0], draw.choice(WIDTHS))
        self.bias = nn.Parameter(torch.zeros(shape[0]))

    def forward(self, vectors: Tensor) -> Tensor:
        return F.linear(torch.relu(self.encoder(vectors)), self.encoder.weight.t(), self.bias)


class CrossNetwork(VectorBlock):
    """DCN: every feature times a sum over all of them."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.entry, width = nn.Linear(shape[0], 6), 6
        self.weights = nn.ModuleList([nn.Linear(width, 1, bias=False) for _ in range(2)])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(width)) for _ in range(2)])

    def forward(self, vectors: Tensor) -> Tensor:
        first = vectors = self.entry(vectors)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            vectors = first * weight(vectors) + bias + vectors
        return vectors


class CoupledFlow(VectorBlock):
    """A coupling of a normalising flow: one half changes the other; then they change places."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        half = draw.choice((3, 4))
        self.entry = nn.Linear(shape[0], 2 * half)
        self.net = nn.Sequential(nn.Linear(half, 6), nn.Tanh(), nn.Linear(6, 2 * half))

    def forward(self, vectors: Tensor) -> Tensor:
        first, second = self.entry(vectors).chunk(2, dim=1)
        scale, shift = self.net(first).chunk(2, dim=1)
        return torch.cat([second * torch.exp(torch.tanh(scale)) + shift, first], dim=1)


class Ensemble(VectorBlock):
    """Members side by side, averaged."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        outputs = draw.choice(WIDTHS)
        self.members = nn.ModuleList(
            [nn.Sequential(nn.Linear(shape[0], 5), nn.ReLU(), nn.Linear(5, outputs)) for _ in range(3)]
        )

    def forward(self, vectors: Tensor) -> Tensor:
        return torch.stack([member(vectors) for member in self.members]).mean(dim=0)


class VectorConv(VectorBlock):
    """The features as a signal of one channel."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.conv1, self.conv2 = nn.Conv1d(1, 4, 3, padding=1), nn.Conv1d(4, 2, 3, padding=1)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.conv2(torch.relu(self.conv1(vectors.unsqueeze(1)))).flatten(1)


class Head(VectorBlock):
    gives: ClassVar[Form] = "classes"


class LinearHead(Head):
    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.fc = nn.Linear(shape[0], CLASSES)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.fc(vectors)


class DeepHead(Head):
    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        inner = draw.choice(WIDTHS)
        self.classifier = nn.Sequential(
            nn.Dropout(0.2), linear(draw, shape[0], inner), activation(draw), linear(draw, inner, CLASSES)
        )

    def forward(self, vectors: Tensor) -> Tensor:
        return self.classifier(vectors)


class TwoHeads(Head):
    """DeiT: in evaluation the mean of two heads."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.head, self.head_dist = nn.Linear(shape[0], CLASSES), nn.Linear(shape[0], CLASSES)

    def forward(self, vectors: Tensor) -> Tensor:
        return (self.head(vectors) + self.head_dist(vectors)) / 2


class MatrixHead(Head):
    """The classes' vectors as columns of a parameter."""

    reading: ClassVar[Mapping[str, int]] = {"prototypes": 0}

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.prototypes = nn.Parameter(torch.randn(shape[0], CLASSES) * 0.3)

    def forward(self, vectors: Tensor) -> Tensor:
        return F.log_softmax(vectors @ self.prototypes, dim=-1)
