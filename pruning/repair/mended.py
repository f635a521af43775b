"""Carrying out a repair, and taking it back where it has not helped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pruning.model.patching import evaluating
from pruning.repair.layer_by_layer import BATCH, precise, samples_that_fit
from pruning.repair.repair import Cut, Repair
from pruning.workload import Workload

HELD_OUT = 512
"""Further training inputs, on which it is looked at whether the repair has helped."""


@dataclass(frozen=True)
class Mended:
    """What a repair did.

    Attributes:
        before: How far the cut network's outputs lay from the dense network's: mean square, as a share of their
            variance, on inputs that the repair has not seen.
        after: The same after the repair.
        helped: Whether it came nearer. If not, the network is as the cut left it.
        seconds: What it took.
        left: Layer -> why it was left as it is; "" stands for the whole network.
    """

    before: float
    after: float
    helped: bool
    seconds: float
    left: Mapping[str, str] = field(default_factory=dict[str, str])


def mended(repair: Repair, cut: Cut, workload: Workload, device: torch.device, seed: int) -> Mended:
    """Repair the cut network in place, in evaluation mode, on training inputs by lot; their labels are not looked at.

    The network is as the cut left it where that brings its outputs no nearer to the dense network's, on inputs that
    the repair has not seen.
    """
    begun = time.perf_counter()
    train = workload.train
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    unseen = order[: min(HELD_OUT, max(1, len(order) // 5))]
    held_out = train.batch(unseen, device)[0]
    fit = samples_that_fit(cut.dense, workload.example.to(device), repair.samples)
    looked_at = train.batch(order[len(unseen) : len(unseen) + fit], device)[0]
    kept = {name: tensor.detach().clone() for name, tensor in _tensors(cut.model).items()}
    before = distance(cut.model, cut.dense, held_out)
    with evaluating(cut.model), evaluating(cut.dense):
        left = repair.mend(cut, looked_at, seed)
    after = distance(cut.model, cut.dense, held_out)
    helped = after < before
    if not helped:
        with torch.no_grad():
            for name, tensor in _tensors(cut.model).items():
                tensor.copy_(kept[name])
    return Mended(before, after, helped, time.perf_counter() - begun, left)


@torch.no_grad()
def distance(model: nn.Module, dense: nn.Module, inputs: Tensor) -> float:
    """The mean square of the difference of their outputs, as a share of the variance of the dense network's."""
    found, wanted = (precise(torch.cat([each(batch) for batch in inputs.split(BATCH)])) for each in (model, dense))
    finite = wanted.isfinite()
    spread = float(wanted[finite].var().clamp(min=1e-30))
    return float((found - wanted)[finite].square().mean()) / spread


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
