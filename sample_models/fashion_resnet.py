"""A residual network with BatchNorm (He et al. 2015, arXiv 1512.03385) on Fashion-MNIST: coupled layers to prune."""

from collections.abc import Mapping, Sequence
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from pruning.workload import Workload
from sample_models import fashion_mnist, shipped

NAME = "fashion_resnet"


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut: `source` channels in, `inner` between, `target` out; ReLU at the end.

    A block which halves the image projects its shortcut by a 1 x 1 convolution, for there the stream changes its width.
    """

    def __init__(self, source: int, inner: int, target: int, halve: bool = False) -> None:
        super().__init__()
        stride = 2 if halve else 1
        self.conv1 = nn.Conv2d(source, inner, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, target, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(target)
        self.shortcut = nn.Identity()
        if halve:
            self.shortcut = nn.Sequential(nn.Conv2d(source, target, 1, stride, bias=False), nn.BatchNorm2d(target))

    def forward(self, stream: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(stream)))
        return F.relu(self.bn2(self.conv2(inner)) + self.shortcut(stream))


class FashionResNet(nn.Module):
    """Five blocks on a stream of 14 x 14, then 7 x 7, then 4 x 4 pixels. Images [b, 1, 28, 28] to logits [b, 10].

    `stream` holds the channels of the residual stream in each of the three stages, shared by all that add to it;
    `inner` holds the channels inside each of the five blocks, which are each block's own.
    """

    def __init__(self, stream: Sequence[int] = (24, 48, 96), inner: Sequence[int] = (24, 24, 48, 48, 96)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, stream[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stream[0])
        self.block1 = Block(stream[0], inner[0], stream[0])
        self.block2 = Block(stream[0], inner[1], stream[0])
        self.block3 = Block(stream[0], inner[2], stream[1], halve=True)
        self.block4 = Block(stream[1], inner[3], stream[1])
        self.block5 = Block(stream[1], inner[4], stream[2], halve=True)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(stream[2], 10)

    def forward(self, images: Tensor) -> Tensor:
        stream = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 2)
        stream = self.block2(self.block1(stream))
        stream = self.block4(self.block3(stream))
        stream = self.block5(stream)
        return self.fc(self.flatten(F.adaptive_avg_pool2d(stream, 1)))

    @classmethod
    def fitting(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The network of the size of these tensors, with them loaded, in eval mode."""
        stream = [tensors[f"{name}.weight"].shape[0] for name in ("bn1", "block3.bn2", "block5.bn2")]
        inner = [tensors[f"block{number}.bn1.weight"].shape[0] for number in (1, 2, 3, 4, 5)]
        network = cls(stream, inner)
        network.load_state_dict(tensors)
        return network.eval()


SOURCES = (Block, FashionResNet)


def build() -> FashionResNet:
    """A fresh copy with the shipped weights, on the CPU, in eval mode."""
    return FashionResNet.fitting(shipped.weights(NAME, FashionResNet))


def workload() -> Workload:
    """`fashion_resnet` on Fashion-MNIST; reads the data and the weights."""
    return shipped.workload(NAME, FashionResNet, build, augment=fashion_mnist.flipped_and_shifted)
