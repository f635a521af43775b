"""A convolutional network of two layers on Fashion-MNIST: small enough to prune and tune while you watch."""

from collections.abc import Mapping
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from pruning.workload import Workload
from sample_models import shipped
from sample_models.teachers import TEACHERS

NAME = "fashion_cnn"


class FashionCNN(nn.Module):
    """Two 3 x 3 convolutions, each with 2 x 2 max pooling and ReLU, then `fc`. Images [b, 1, 28, 28] to [b, 10].

    ReLU after pooling gives the values that it would give before, and takes a quarter of the time.
    """

    def __init__(self, first: int = 16, second: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, first, 3, padding=1)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(second * 7 * 7, 10)

    def forward(self, images: Tensor) -> Tensor:
        halved = F.relu(F.max_pool2d(self.conv1(images), 2))
        quartered = F.relu(F.max_pool2d(self.conv2(halved), 2))
        return self.fc(self.flatten(quartered))

    @classmethod
    def fitting(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The network of the size of these tensors, with them loaded, in eval mode."""
        network = cls(first=tensors["conv1.weight"].shape[0], second=tensors["conv2.weight"].shape[0])
        network.load_state_dict(tensors)
        return network.eval()


SOURCES = (FashionCNN,)


def build() -> FashionCNN:
    """A fresh copy with the shipped weights, on the CPU, in eval mode."""
    return FashionCNN.fitting(shipped.weights(NAME, FashionCNN))


def workload() -> Workload:
    """`fashion_cnn` on Fashion-MNIST; reads the data and the weights."""
    return shipped.workload(NAME, FashionCNN, build, teachers=TEACHERS)
