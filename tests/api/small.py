"""A model of ten lines and its data, as a person has them who calls the library for the first time."""

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset


class Small(nn.Module):
    """Vectors [b, 6] to logits [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(6, 16)
        self.out = nn.Linear(16, 3)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.out(torch.relu(self.hidden(vectors)))


def small(seed: int = 0) -> Small:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Small()


def data(seed: int, count: int = 120) -> tuple[Tensor, Tensor]:
    """Three clouds around three fixed means."""
    means = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(3, (count,), generator=generator)
    return means[targets] + 0.5 * torch.randn(count, 6, generator=generator), targets


class Pairs(Dataset[tuple[Tensor, int]]):
    """The same as a Dataset, whose targets are plain numbers."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.inputs[index], int(self.targets[index])
