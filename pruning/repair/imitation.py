"""Some steps of Adam after which a cut network, or a part of it, gives what the dense one gives. No labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pruning.model.layer_types import has_channels
from pruning.model.narrow_convolutions import right_gradients
from pruning.model.passes import Passes
from pruning.model.patching import hooked
from pruning.model.units import Masks
from pruning.repair.repair import Cut
from pruning.sliced_work import rest

BATCH = 128
LOOKED_AT = 512
"""Inputs on which it is looked at whether the steps have led nearer."""


def imitate(
    model: nn.Module,
    inputs: Tensor,
    wanted: Tensor,
    parameters: Sequence[tuple[str, nn.Parameter]],
    masks: Masks,
    steps: int,
    learning_rate: float,
    seed: int,
) -> None:
    """Change the parameters in place until `model(inputs)` is near what is `wanted`, in mean square.

    The learning rate falls to 0 along half a cosine. What is masked stays 0. Steps that lead away are taken back.
    Frozen parameters stay as they are.
    """
    parameters = [(name, parameter) for name, parameter in parameters if parameter.requires_grad]
    if not parameters:
        return
    lots = torch.Generator().manual_seed(seed)
    few = slice(0, LOOKED_AT)
    before = _error(model, inputs[few], wanted[few])
    kept = [parameter.detach().clone() for _, parameter in parameters]
    learning = [parameter for _, parameter in parameters]
    live = [(p, masks[name].to(p.device)) for name, p in parameters if name in masks]
    optimiser = torch.optim.Adam(learning, lr=learning_rate)
    cycle = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    scale = wanted.float().var().clamp(min=1e-12)
    try:
        with torch.enable_grad(), right_gradients(model):
            order = torch.randperm(len(inputs), generator=lots)
            place = 0
            for _ in range(steps):
                if place + BATCH > len(order):
                    order, place = torch.randperm(len(inputs), generator=lots), 0
                chosen = order[place : place + BATCH].to(inputs.device)
                place += BATCH
                loss = (model(inputs[chosen]) - wanted[chosen]).square().mean() / scale
                # not backward(), which would give all other parameters gradients too
                slopes = torch.autograd.grad(loss, learning, allow_unused=True)
                for parameter, slope in zip(learning, slopes, strict=True):
                    parameter.grad = slope
                for parameter, stays in live:
                    if parameter.grad is not None:
                        parameter.grad.mul_(stays)
                optimiser.step()
                cycle.step()
                rest()
    finally:
        for parameter in learning:
            parameter.grad = None
    if not _error(model, inputs[few], wanted[few]) < before:
        with torch.no_grad():
            for parameter, values in zip(learning, kept, strict=True):
                parameter.copy_(values)


@torch.no_grad()
def _error(model: nn.Module, inputs: Tensor, wanted: Tensor) -> float:
    error = 0.0
    for some, right in zip(inputs.split(BATCH), wanted.split(BATCH), strict=True):
        error += float((model(some) - right).square().sum())
        rest()
    return error


@torch.no_grad()
def outputs_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """What the model gives for all inputs."""
    given: list[Tensor] = []
    for batch in inputs.split(BATCH):
        given.append(model(batch))
        rest()
    return torch.cat(given)


def passes_of(steps: int, samples: int) -> Passes:
    """What so many steps ask of a network, and what the dense one gives for the samples that they learn from."""
    return Passes(samples + steps * BATCH, steps * BATCH)


def imitate_blocks(cut: Cut, inputs: Tensor, steps: int, learning_rate: float, seed: int) -> dict[str, str]:
    """Let each block of the cut network learn what the dense network's block gave, one after the other.

    Returns:
        Block -> why it was left out.
    """
    left: dict[str, str] = {}
    for name in blocks_of(cut.model):
        block, before = cut.model.get_submodule(name), cut.dense.get_submodule(name)
        read, given = _around(cut.model, block, inputs), _around(cut.dense, before, inputs)
        if read is None or given is None:
            left[name] = "it takes or gives more than one tensor, or is called several times: its layers stay apart"
            continue
        own = [(f"{name}.{each}", parameter) for each, parameter in block.named_parameters()]
        imitate(block, read[0], given[1], own, cut.masks, steps, learning_rate, seed)
    return left


def blocks_of(model: nn.Module) -> list[str]:
    """The outermost modules, the model aside, that compute with several layers: not lists, which nobody calls."""
    found: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if name and not inside and not isinstance(module, nn.ModuleList | nn.ModuleDict):
            layers = [each for each in module.modules() if has_channels(each)]
            if len(layers) > 1:
                found.append(name)
    return found


@torch.no_grad()
def _around(model: nn.Module, block: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor] | None:
    """What the block reads and gives for all inputs; None where that is not one tensor each, once in a pass."""
    reads: list[Tensor] = []
    gives: list[Tensor] = []
    others = 0

    def note(_module: nn.Module, args: tuple[object, ...], output: object) -> None:
        nonlocal others
        if len(args) == 1 and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            reads.append(args[0].clone())
            gives.append(output.clone())
        else:
            others += 1

    batches = inputs.split(BATCH)
    with hooked(after=[(block, note)]):
        for batch in batches:
            model(batch)
            rest()
    if others or len(reads) != len(batches) or any(len(r) != len(b) for r, b in zip(reads, batches, strict=True)):
        return None
    return torch.cat(reads), torch.cat(gives)
