"""The training samples that data-driven criteria look at: few, fixed by the seed, never validation or test."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.workload import Batch, Workload

SAMPLES = 1024
BATCH = 128


@dataclass(frozen=True)
class Calibration:
    """`samples` training samples in batches of `batch`, the same for the same seed; memory is bounded by one batch."""

    workload: Workload
    device: torch.device
    seed: int = 0
    samples: int = SAMPLES
    batch: int = BATCH

    def batches(self) -> Iterator[Batch]:
        train = self.workload.train
        generator = torch.Generator().manual_seed(self.seed)
        for index in torch.randperm(len(train), generator=generator)[: self.samples].split(self.batch):
            yield train.batch(index, self.device)


@contextmanager
def captured_inputs(model: nn.Module, layers: list[str]) -> Generator[dict[str, Tensor]]:
    """Yield layer name -> input of the layer in the latest forward pass, while the block runs."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> object:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name] = inputs[0].detach().clone()  # a later layer may change it in place

        return hook

    handles = [model.get_submodule(name).register_forward_pre_hook(keep(name)) for name in layers]  # type: ignore[arg-type]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
