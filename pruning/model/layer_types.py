"""Types of torch's layers by name, so that criteria can name them without importing torch."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from torch import nn

CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d")
WITH_CHANNELS = ("Linear", *CONVOLUTIONS)
"""Their weight is [out, in / groups, ...]: rows make the layer's units, columns read those of the layers before."""
OUT_BY_IN = (*WITH_CHANNELS, "Bilinear", "RNNBase", "RNNCellBase", "MultiheadAttention")
"""A row of their weights makes an output; that of any other layer is dimension 0 of what it stores."""
TRANSPOSED = ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
WITH_MATRICES = (
    *(*WITH_CHANNELS, *TRANSPOSED),
    *("Bilinear", "Embedding", "EmbeddingBag", "RNNBase", "RNNCellBase", "MultiheadAttention"),
)
"""Torch's layers that hold weight matrices, whatever hangs in a subclass of them beside these."""
BATCHNORMS = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm")
NORMS = (
    *BATCHNORMS,
    *("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
    *("GroupNorm", "LayerNorm"),
)


def is_a(module: nn.Module, types: Collection[str]) -> bool:
    """Whether the module is of one of these types of torch.nn, or of a subclass: RNNBase stands for LSTM too.

    A class of somebody's own that only has such a name is not meant.
    """
    return any(
        made.__name__ in types and made.__module__.startswith("torch.nn.modules.") for made in type(module).__mro__
    )


def is_convolution(module: nn.Module) -> TypeGuard[nn.Conv1d | nn.Conv2d | nn.Conv3d]:
    return is_a(module, CONVOLUTIONS)


def has_channels(module: nn.Module) -> TypeGuard[nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d]:
    return is_a(module, WITH_CHANNELS)
