"""Putting the mean of every unit's output back to what it was, and its spread, in one pass of each network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pruning.model.layer_types import BATCHNORMS, has_channels, is_a
from pruning.model.patching import Hook, evaluating, hooked
from pruning.repair.layer_by_layer import BATCH, FROZEN, NEVER, TWICE, precise
from pruning.repair.repair import Cut
from pruning.sliced_work import rest

NO_BIAS = "it has no bias that could put its mean back: it stays as it is"
LEAST, MOST = 0.2, 5.0
"""What a unit's spread is multiplied by at least and at most: one that hardly moves says nothing of its spread."""


@torch.no_grad()
def put_back(cut: Cut, inputs: Tensor, spread: bool) -> Mapping[str, str]:
    """Each unit's mean over samples and positions, and its standard deviation if `spread`, as in the dense network.

    Returns:
        Layer name -> why it was left as it is.
    """
    layers = {
        name: module for name, module in cut.model.named_modules() if has_channels(module) or is_a(module, BATCHNORMS)
    }
    norms = any(is_a(module, BATCHNORMS) for module in layers.values())  # whose biases do it for the layers before
    plain = [name for name, layer in layers.items() if getattr(layer, "bias", None) is None]
    left = {} if norms else dict.fromkeys(plain, NO_BIAS)
    left |= {name: FROZEN for name, layer in layers.items() if not all(p.requires_grad for p in layer.parameters())}
    looked_at = [name for name in layers if name not in left and name not in plain]
    wanted, calls = _means(cut.dense, looked_at, inputs)
    left |= {name: TWICE if calls[name] else NEVER for name in looked_at if name not in wanted}

    def after(name: str) -> Any:
        def hook(layer: Any, _args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            mean, deviation = _of(_features(layer, output))
            target, target_deviation = wanted[name]
            scale = torch.ones_like(mean)
            if spread:
                there = deviation > 1e-6 * deviation.max()
                scale = torch.where(there, (target_deviation / deviation.clamp(min=1e-30)).clamp(LEAST, MOST), scale)
            before = precise(layer.bias)
            stays = _alive(cut, name, layer).to(before.device)
            # y = s (y₀ − b₀) + b, with the mean that is wanted
            after_ = torch.where(stays, target - scale * (mean - before), before)
            scale = torch.where(stays, scale, 1.0)
            shape = [1, -1, *[1] * (output.dim() - 2)] if not isinstance(layer, nn.Linear) else [-1]
            # what the next layers read, as if the layer had computed it with its new weights
            old, times, new = (each.to(output).reshape(shape) for each in (before, scale, after_))
            moved = (output - old) * times + new
            layer.weight.data.mul_(scale.to(layer.weight).reshape(-1, *[1] * (layer.weight.dim() - 1)))
            layer.bias.data.copy_(after_)
            return moved

        return hook

    with evaluating(cut.model), hooked(after=[(layers[name], after(name)) for name in wanted]):
        cut.model(inputs)
    return left


def _means(
    dense: nn.Module, names: list[str], inputs: Tensor
) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, int]]:
    """Layer -> mean and standard deviation of each unit [units], of layers that are called once in a pass; calls."""
    sums: dict[str, list[Tensor]] = {name: [] for name in names}
    calls = dict.fromkeys(names, 0)

    def after(name: str) -> Hook:
        def hook(layer: nn.Module, _args: tuple[Any, ...], output: Tensor) -> None:
            values = _features(layer, output)
            calls[name] += 1
            sums[name].append(
                torch.stack([values.sum(0), values.square().sum(0), torch.full_like(values[0], len(values))])
            )

        return hook

    passes = 0
    with evaluating(dense), hooked(after=[(dense.get_submodule(name), after(name)) for name in names]):
        for batch in inputs.split(BATCH):
            dense(batch)
            passes += 1
            rest()
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name in names:
        if calls[name] == passes:
            total, squares, count = torch.stack(sums[name]).sum(0)
            mean = total / count
            found[name] = mean, (squares / count - mean.square()).clamp(min=0).sqrt()
    return found, calls


def _of(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.mean(0), values.std(0, correction=0)


def _features(layer: nn.Module, output: Tensor) -> Tensor:
    """float64 [samples x positions, units]."""
    last = output if isinstance(layer, nn.Linear) else output.movedim(1, -1)
    return precise(last.reshape(-1, last.shape[-1]))


def _alive(cut: Cut, name: str, layer: Any) -> Tensor:
    """The units that are not pruned, bool [units]."""
    masks = [cut.masks.get(f"{name}.{part}") for part in ("weight", "bias")]
    there = [mask.flatten(1).any(1) if mask.dim() > 1 else mask for mask in masks if mask is not None]
    alive = torch.ones(len(layer.bias), dtype=torch.bool, device=layer.bias.device)
    for each in there:
        alive &= each.to(alive.device)
    return alive
