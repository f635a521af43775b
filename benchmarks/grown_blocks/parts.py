"""What the blocks of grown networks are made of: their base class, activations, norms, linear layers of one's own."""

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Form = Literal["images", "maps", "ids", "tokens", "vectors", "classes"]
"""What lies between two blocks: maps [b, channels, height, width], tokens [b, length, channels], vectors [b, channels].

Images are maps that nobody computed, ids are whole numbers [b, length], classes are the network's output.
"""

Shape = tuple[int, ...]
"""Of one sample, without the batch."""

WIDTHS = (4, 6, 8, 12)


class Block(nn.Module):
    """Takes one form and gives one. A block is made for the shape that comes to it and draws all else.

    `moves_zero`: a unit that is zero when it comes in, or whose weights are, need not be zero behind it.
    `sees_all`: something is made of all units together, by weights that belong to none of them or without weights.
    `reading`: its own parameters that are weights -> the dimension along which they read.
    """

    takes: ClassVar[Form] = "maps"
    gives: ClassVar[Form] = "maps"
    moves_zero: bool = False
    sees_all: bool = False
    reading: ClassVar[Mapping[str, int]] = MappingProxyType({})

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__()


class TokenBlock(Block):
    takes = gives = "tokens"


class VectorBlock(Block):
    takes = gives = "vectors"


class Averaging(nn.Module):
    """Computes a statistic over units, which is another number when there are fewer of them."""

    sees_all = True

    def without_statistics(self, values: Tensor) -> Tensor:
        """The same with the statistic left out."""
        raise NotImplementedError


class RMSNorm(Averaging):
    """Over the last dimension, as language models write it themselves."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, values: Tensor) -> Tensor:
        return self.weight * (values * torch.rsqrt(values.pow(2).mean(-1, keepdim=True) + 1e-6))

    def without_statistics(self, values: Tensor) -> Tensor:
        return self.weight * values


class ChannelNorm(Averaging):
    """LayerNorm over the channels of maps, as ConvNeXt writes it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, maps: Tensor) -> Tensor:
        mean = maps.mean(1, keepdim=True)
        variance = (maps - mean).pow(2).mean(1, keepdim=True)
        maps = (maps - mean) / torch.sqrt(variance + 1e-6)
        return self.weight[:, None, None] * maps + self.bias[:, None, None]

    def without_statistics(self, values: Tensor) -> Tensor:
        return self.weight[:, None, None] * values + self.bias[:, None, None]


class ChannelMean(Averaging):
    """The mean of all channels at every place: [b, c, h, w] to [b, 1, h, w]."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=1, keepdim=True)

    def without_statistics(self, values: Tensor) -> Tensor:
        return torch.zeros_like(values[:, :1])


class ChannelMax(Averaging):
    """The largest of all channels at every place: a channel that is zero takes part, one that is not there does not."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.max(dim=1, keepdim=True)[0]

    def without_statistics(self, values: Tensor) -> Tensor:
        return torch.zeros_like(values[:, :1])


class TransposedLinear(nn.Module):
    """A linear layer of one's own with its weight [in, out]."""

    reading: ClassVar[Mapping[str, int]] = {"weight": 0}

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * inputs**-0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))


class MatmulLinear(TransposedLinear):
    def forward(self, values: Tensor) -> Tensor:
        return torch.matmul(values, self.weight) + self.bias


class AddmmLinear(TransposedLinear):
    """GPT-2 calls it Conv1D."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.nf = outputs

    def forward(self, values: Tensor) -> Tensor:
        rows = torch.addmm(self.bias, values.reshape(-1, values.size(-1)), self.weight)
        return rows.view(*values.size()[:-1], self.nf)


class EinsumLinear(TransposedLinear):
    def forward(self, values: Tensor) -> Tensor:
        return torch.einsum("...i,io->...o", values, self.weight) + self.bias


class FunctionalLinear(nn.Module):
    """A weight [out, in] of one's own, given to torch's function."""

    reading: ClassVar[Mapping[str, int]] = {"kernel": 1}

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(outputs, inputs) * inputs**-0.5)
        self.shift = nn.Parameter(torch.zeros(outputs))

    def forward(self, values: Tensor) -> Tensor:
        return F.linear(values, self.kernel, self.shift)


OWN_LINEAR = (MatmulLinear, AddmmLinear, EinsumLinear, FunctionalLinear)


class DropPath(nn.Module):
    """Stochastic depth: in training a sample's branch is left out at random."""

    def __init__(self, share: float = 0.1) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        if self.share == 0.0 or not self.training:
            return values
        kept = values.new_empty((values.shape[0],) + (1,) * (values.ndim - 1)).bernoulli_(1 - self.share)
        return values * kept / (1 - self.share)


def activation(draw: Random, width: int | None = None) -> nn.Module:
    """Mostly one that leaves zero where it is. With a width it may have a slope of its own for each channel of maps."""
    if draw.random() < 0.08:
        made = draw.choice((nn.Sigmoid, nn.Softplus))()
        vars(made)["moves_zero"] = True  # as an activation; as a gate that multiplies it moves nothing
        return made
    if width is not None and draw.random() < 0.15:
        return nn.PReLU(draw.choice((1, width)))
    return draw.choice((nn.ReLU, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.Hardswish, nn.Tanh, nn.ELU, nn.ReLU6, nn.Mish))()


def linear(draw: Random, inputs: int, outputs: int) -> nn.Module:
    """Torch's layer, with or without bias; now and then one of somebody's own."""
    if draw.random() < 0.15:
        return draw.choice(OWN_LINEAR)(inputs, outputs)
    return nn.Linear(inputs, outputs, bias=draw.random() < 0.7)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, bias: bool = True) -> nn.Conv2d:
    """Keeps height and width, or halves them with a stride of 2."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)


def map_norm(draw: Random, width: int) -> nn.Module:
    """Mostly BatchNorm."""
    groups = draw.choice([n for n in (1, 2, 3, 4, width) if width % n == 0])
    other = (nn.GroupNorm(groups, width), nn.InstanceNorm2d(width, affine=True), ChannelNorm(width), nn.Identity())
    return nn.BatchNorm2d(width) if draw.random() < 0.75 else draw.choice(other)


def conv_norm_act(draw: Random, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """The three that nearly every network of images repeats."""
    return nn.Sequential(
        conv(inputs, outputs, kernel, stride, bias=draw.random() < 0.4),
        map_norm(draw, outputs),
        activation(draw, outputs),
    )


def token_norm(draw: Random, width: int) -> nn.Module:
    return draw.choice((nn.LayerNorm, nn.LayerNorm, RMSNorm, nn.RMSNorm))(width)


def stride_of(shape: Shape, draw: Random) -> int:
    """2 where there is room for it, by lot."""
    return 2 if shape[1] >= 6 and draw.random() < 0.4 else 1
