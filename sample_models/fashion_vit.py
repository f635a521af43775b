"""A small vision transformer (Dosovitskiy et al. 2020, arXiv 2010.11929) on Fashion-MNIST: attention to prune."""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.workload import Workload
from sample_models import fashion_mnist, shipped
from sample_models.teachers import TEACHERS

NAME = "fashion_vit"


class Block(nn.Module):
    """Attention of four heads, then two Linear layers with GELU and `inner` neurons between; each adds to the tokens.

    Each is given the normalised tokens (pre-norm) and its output is added to the tokens as they were.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads=4, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm1(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return tokens + self.fc2(F.gelu(self.fc1(self.norm2(tokens))))


class FashionViT(nn.Module):
    """49 patches of 4 x 4 pixels as tokens through three blocks; `fc` on their mean. Images [b, 1, 28, 28] to [b, 10].

    `inner` holds the neurons inside each of the three blocks; the width of the tokens is one for all.
    """

    def __init__(self, width: int = 48, inner: Sequence[int] = (96, 96, 96)) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, stride=4)
        self.position = nn.Embedding(49, width)
        self.block1 = Block(width, inner[0])
        self.block2 = Block(width, inner[1])
        self.block3 = Block(width, inner[2])
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = tokens + self.position(torch.arange(tokens.shape[1], device=tokens.device))
        tokens = self.block3(self.block2(self.block1(tokens)))
        return self.fc(self.norm(tokens).mean(dim=1))

    @classmethod
    def fitting(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The network of the size of these tensors, with them loaded, in eval mode. `width` and `inner` can vary.

        The width has to be a multiple of the four heads.
        """
        inner = [tensors[f"block{number}.fc1.weight"].shape[0] for number in (1, 2, 3)]
        network = cls(width=tensors["norm.weight"].shape[0], inner=inner)
        network.load_state_dict(tensors)
        return network.eval()


SOURCES = (Block, FashionViT)


def build() -> FashionViT:
    """A fresh copy with the shipped weights, on the CPU, in eval mode."""
    return FashionViT.fitting(shipped.weights(NAME, FashionViT))


def workload() -> Workload:
    """`fashion_vit` on Fashion-MNIST; reads the data and the weights."""
    return shipped.workload(NAME, FashionViT, build, augment=fashion_mnist.flipped, teachers=TEACHERS)
