"""The training samples that data-driven criteria look at: few, fixed by the seed, never validation or test."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.criteria.passes import CALIBRATION_SAMPLES
from pruning.errors import WorkloadError
from pruning.model.layer_types import has_channels
from pruning.model.patching import PreHook, hooked
from pruning.workload import Batch, Workload

BATCH = 128


@dataclass(frozen=True)
class Calibration:
    """`samples` training samples in batches of `batch`, the same for the same seed; memory is bounded by one batch."""

    workload: Workload
    device: torch.device
    seed: int = 0
    samples: int = CALIBRATION_SAMPLES
    batch: int = BATCH

    def batches(self) -> Iterator[Batch]:
        train = self.workload.train
        generator = torch.Generator().manual_seed(self.seed)
        for index in torch.randperm(len(train), generator=generator)[: self.samples].split(self.batch):
            yield train.batch(index, self.device)


@contextmanager
def captured_inputs(model: nn.Module, layers: Iterable[str], take: Callable[[str, Tensor], None]) -> Generator[None]:
    """While the block runs, give `take` each layer's name and input at every call of the layer; nothing is kept here.

    `take` sees the input before the layer, and all that may change it in place, has run. WorkloadError names a layer
    that the block never called.
    """
    waiting = set(layers)

    def keep(name: str) -> PreHook:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            waiting.discard(name)
            take(name, (inputs[0] if inputs else next(iter(named.values()))).detach())

        return hook

    with hooked(before=[(model.get_submodule(name), keep(name)) for name in sorted(waiting)]):
        yield
    if waiting:
        raise WorkloadError(
            f"{min(waiting)}: the network never calls this layer (it may read the layer's weight by itself), so its "
            "inputs cannot be seen; keep the layer whole, or choose magnitude or taylor"
        )


@torch.no_grad()
def input_sums(
    model: nn.Module, params: Iterable[str], calibration: Calibration, measure: Callable[[nn.Module, Tensor], Tensor]
) -> dict[str, Tensor]:
    """Weight name -> Σ of `measure(layer, input)` over all calibration samples, in one forward pass over them.

    A weight that several layers share, or a layer that is called several times, is summed over all its calls. Memory is
    that of one batch and of the sums.
    """
    holders = {layer: param for param in params for layer in _holders(model, param)}
    sums: dict[str, Tensor] = {}

    def add(layer: str, inputs: Tensor) -> None:
        measured = measure(model.get_submodule(layer), inputs)
        param = holders[layer]
        sums[param] = sums[param] + measured if param in sums else measured

    with captured_inputs(model, holders, add):
        for inputs, _ in calibration.batches():
            model(inputs)
    return sums


def _holders(model: nn.Module, param: str) -> list[str]:
    """Names of the Linear and convolution layers whose weight is this parameter."""
    weight = model.get_parameter(param)
    return [name for name, module in model.named_modules() if has_channels(module) and module.weight is weight]


def features_last(module: nn.Module, values: Tensor) -> Tensor:
    """Inputs or outputs of a Linear or a convolution as [samples x positions, features]."""
    moved = values if isinstance(module, nn.Linear) else values.movedim(1, -1)
    return moved.reshape(-1, moved.shape[-1])


def precise(values: Tensor) -> Tensor:
    """The values in float64; on the CPU where the device has no float64 (Apple's)."""
    return values.cpu().double() if values.device.type == "mps" else values.double()
