"""All values of a network by name: parameters and buffers. A state dict would leave some buffers out."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of the model by name, not copies."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def copies_of(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the parameters and buffers of the model by name."""
    return {name: tensor.detach().clone() for name, tensor in tensors_of(model).items()}


@torch.no_grad()
def put_into(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy these values into the model's own tensors, so that its optimiser and its memory layout stay valid."""
    for name, tensor in tensors_of(model).items():
        tensor.copy_(tensors[name])
