"""Narrow convolutions of one place with a stride: oneDNN gets the gradient of their weights wrong channels last.

It writes beside its workspace (issue 6035 of uxlfoundation/oneDNN, 2026, open: fewer than 8 channels with AVX2, fewer
than 16 with AVX-512). With AVX2 and torch 2.13 the process died of it, or the gradients were wrong by more than the
largest of them. Shortcuts of small residual networks are such layers, or become so by a cut.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pruning.model.patching import hooked

NARROW = 16


@contextmanager
def right_gradients(model: nn.Module) -> Generator[None]:
    """While the block runs, such layers read their images in the layout in which their gradients are right.

    They alone: in that layout the first BatchNorm of fashion_resnet takes three times as long.
    """
    with hooked([(layer, _read_plainly) for layer in _narrow(model)]):
        yield


def lay_out_plainly(model: nn.Module) -> None:
    """Give the weights of such layers strides that say nothing of channels last, in place: with those of [o, i, 1, 1]
    torch would take the images so, whatever layout these have.
    """
    for layer in _narrow(model):
        if "weight" in dict(layer.named_parameters(recurse=False)):  # else it is computed, from others
            layer.weight.data = layer.weight.data.clone(memory_format=torch.contiguous_format)


def _narrow(model: nn.Module) -> list[nn.Conv2d]:
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    return [layer for layer in layers if _one_place(layer) and layer.in_channels // layer.groups < NARROW]


def _one_place(layer: nn.Conv2d) -> bool:
    return set(layer.kernel_size) == {1} and max(layer.stride) > 1


def _read_plainly(_layer: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any] | None:
    if not torch.is_grad_enabled():
        return None
    return tuple(map(_plainly, args)), {name: _plainly(value) for name, value in named.items()}


def _plainly(value: object) -> object:
    if isinstance(value, Tensor) and value.device.type == "cpu":
        return value.clone(memory_format=torch.contiguous_format)
    return value
