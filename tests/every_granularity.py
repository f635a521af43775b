"""A workload for each row of the table of granularities whose network has units of that kind."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from pruning.workload import TensorSplit, Workload
from tests.architectures import IMAGE, LSTMClassifier, ViT
from tests.networks import conv_bn, seeded, workload

WORDS = 9


class Words(nn.Module):
    """The mean of the words' vectors is classified. Numbers of words [b, 4] to logits [b, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.hidden, self.head = nn.Embedding(WORDS, 6), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(self.words(ids).mean(dim=1))))


Network = tuple[Callable[[], nn.Module], tuple[int, ...]]

IMAGES: Network = (conv_bn, IMAGE)
NETWORK_OF: dict[str, Network] = {
    **dict.fromkeys(("weights", "channels", "kernels", "blocks"), IMAGES),
    **dict.fromkeys(("heads", "layers"), (ViT, IMAGE)),
    **dict.fromkeys(("embedding_rows", "embedding_dimensions"), (Words, (4,))),
    **dict.fromkeys(("rnn_units", "rnn_gates"), (LSTMClassifier, (5, 4))),
}


def tiny_for(granularity: str, count: int = 64) -> Workload:
    """A workload of `count` samples a split on a network that has such units."""
    make, shape = NETWORK_OF[granularity]
    work = workload(lambda: seeded(make), shape, granularity, count)
    if make is not Words:
        return work
    splits = {name: _words(getattr(work, name)) for name in ("train", "validation", "test")}
    return replace(work, example=splits["train"].inputs[:1], **splits)


def _words(split: TensorSplit) -> TensorSplit:
    """Numbers of words instead of normal values."""
    return TensorSplit((split.inputs.clamp(-2, 2) + 2).mul(2).round().long(), split.targets)
