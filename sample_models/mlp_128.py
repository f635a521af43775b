"""A network of one hidden layer on Fashion-MNIST: the smallest there is to prune."""

from collections.abc import Mapping
from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from pruning.workload import Workload
from sample_models import shipped
from sample_models.teachers import TEACHERS

NAME = "mlp_128"


class MLP(nn.Module):
    """784 - hidden - 10, ReLU between. Images [b, 1, 28, 28] to logits [b, 10]."""

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.fc1 = nn.Linear(784, hidden)
        self.fc2 = nn.Linear(hidden, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(self.flatten(images))))

    @classmethod
    def fitting(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The network of the size of these tensors, with them loaded, in eval mode."""
        network = cls(hidden=tensors["fc1.weight"].shape[0])
        network.load_state_dict(tensors)
        return network.eval()


SOURCES = (MLP,)


def build() -> MLP:
    """A fresh copy with the shipped weights, on the CPU, in eval mode."""
    return MLP.fitting(shipped.weights(NAME, MLP))


def workload() -> Workload:
    """`mlp_128` on Fashion-MNIST; reads the data and the weights."""
    return shipped.workload(NAME, MLP, build, teachers=TEACHERS)
