"""A bidirectional LSTM of two layers on Fashion-MNIST, which reads an image row by row: recurrent weights to prune."""

from collections.abc import Mapping
from typing import Self

from torch import Tensor, nn

from pruning.workload import Workload
from sample_models import fashion_mnist, shipped
from sample_models.teachers import TEACHERS

NAME = "fashion_lstm"


class FashionLSTM(nn.Module):
    """28 steps of 28 pixels through `lstm`, both ways; `fc` on the mean over the steps. [b, 1, 28, 28] to [b, 10].

    `hidden` is the width of each of the two layers in each of the two directions.
    """

    def __init__(self, hidden: int = 40) -> None:
        super().__init__()
        self.lstm = nn.LSTM(28, hidden, num_layers=2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, 10)

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.lstm(images.flatten(1, 2))
        return self.fc(states.mean(dim=1))

    @classmethod
    def fitting(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The network of the size of these tensors, with them loaded, in eval mode. Only `hidden` can vary."""
        network = cls(hidden=tensors["lstm.weight_hh_l0"].shape[1])
        network.load_state_dict(tensors)
        return network.eval()


SOURCES = (FashionLSTM,)


def build() -> FashionLSTM:
    """A fresh copy with the shipped weights, on the CPU, in eval mode."""
    return FashionLSTM.fitting(shipped.weights(NAME, FashionLSTM))


def workload() -> Workload:
    """`fashion_lstm` on Fashion-MNIST; reads the data and the weights."""
    return shipped.workload(NAME, FashionLSTM, build, augment=fashion_mnist.flipped, teachers=TEACHERS)
