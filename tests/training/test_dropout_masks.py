"""What dropout draws while a network is tuned: something new at every step, the same for the same seed."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.training.fine_tuning import tune
from pruning.training.tuning import Tuning
from tests.networks import CPU, VECTOR, seeded, workload

STEPS = 6
TUNING = Tuning(epochs=2, batch_size=100)  # of 300 samples


class Recording(nn.Module):
    """A Linear layer that also draws a dropout mask of 64 values in training, and keeps what it drew."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.masks: list[tuple[bool, ...]] = []

    def forward(self, vectors: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():  # and not where it is only tried what the network runs in
            self.masks.append(tuple((F.dropout(torch.ones(64), 0.5) > 0).tolist()))
        return self.fc(vectors)


def masks_of(seed: int) -> list[tuple[bool, ...]]:
    work = workload(lambda: seeded(Recording), VECTOR)
    model = work.build()
    list(tune(model, work, TUNING, {}, CPU, seed))
    assert len(model.masks) == STEPS
    return model.masks


def test_every_step_draws_another_dropout_mask():
    assert len(set(masks_of(0))) == STEPS


def test_the_seed_decides_all_dropout_masks_and_two_seeds_share_none():
    assert masks_of(3) == masks_of(3)
    assert not set(masks_of(3)) & set(masks_of(4))
