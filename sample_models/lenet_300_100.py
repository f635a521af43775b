"""LeNet-300-100 (LeCun et al. 1998) on Fashion-MNIST: the fully connected network of the pruning literature."""

from collections.abc import Mapping
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from pruning.workload import Workload
from sample_models import shipped
from sample_models.teachers import TEACHERS

NAME = "lenet_300_100"


class LeNet300100(nn.Module):
    """784 - first - second - 10, ReLU between. Images [b, 1, 28, 28] to logits [b, 10]."""

    def __init__(self, first: int = 300, second: int = 100) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(784, first)
        self.fc2 = nn.Linear(first, second)
        self.fc3 = nn.Linear(second, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(self.flatten(images))))))

    @classmethod
    def fitting(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The network of the size of these tensors, with them loaded, in eval mode."""
        network = cls(first=tensors["fc1.weight"].shape[0], second=tensors["fc2.weight"].shape[0])
        network.load_state_dict(tensors)
        return network.eval()


SOURCES = (LeNet300100,)


def build() -> LeNet300100:
    """A fresh copy with the shipped weights, on the CPU, in eval mode."""
    return LeNet300100.fitting(shipped.weights(NAME, LeNet300100))


def workload() -> Workload:
    """`lenet_300_100` on Fashion-MNIST; reads the data and the weights."""
    return shipped.workload(NAME, LeNet300100, build, teachers=TEACHERS)
