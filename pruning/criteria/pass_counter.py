"""How much a computation asked of a network: samples that went through it forward and backward."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.model.patching import hooked


@dataclass
class PassCount:
    """Samples that the network was run on, and samples whose gradient came back through it."""

    forward: int = 0
    backward: int = 0


@contextmanager
def counted(model: nn.Module, at_each: Callable[[PassCount], None] | None = None) -> Generator[PassCount]:
    """Count while the block runs, in the model and in its copies. `at_each` is called at every pass forward."""
    passes = PassCount()

    def ran(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        samples, differentiated = _samples(output)
        passes.forward += samples
        if differentiated:  # torch.func differentiates whatever runs inside its grad()
            passes.backward += samples
        elif output.requires_grad:
            output.register_hook(came_back(samples))
        if at_each is not None:
            at_each(passes)

    def came_back(samples: int) -> Any:
        def hook(_gradient: Tensor) -> None:
            passes.backward += samples

        return hook

    with hooked(after=[(model, ran)]):
        yield passes


def _samples(output: Tensor) -> tuple[int, bool]:
    """Samples in an output [samples, ...], each counted that vmap runs at once; and whether inside grad()."""
    functorch: Any = torch._C._functorch  # type: ignore[attr-defined]
    samples, differentiated = (len(output) if output.dim() else 1), False
    while functorch.is_functorch_wrapped_tensor(output):
        inner = functorch.get_unwrapped(output)
        if functorch.is_batchedtensor(output):
            samples *= inner.shape[functorch.maybe_get_bdim(output)]
        differentiated |= functorch.is_gradtrackingtensor(output)
        output = inner
    return samples, differentiated
