"""Blocks of maps with layers that are out of use, frozen or of two parents, and with unusual norms and weights."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import WIDTHS, Averaging, Block, Shape, conv, conv_norm_act


class AuxiliaryHead(Block):
    """GoogLeNet: layers that only training calls."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.conv, self.aux = conv_norm_act(draw, shape[0], width), nn.Conv2d(width, 3, 1)
        self.kept: Tensor | None = None

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.conv(maps)
        if self.training:
            self.kept = self.aux(maps).mean((2, 3))
        return maps


class OutOfUse(Block):
    """A layer that is never called, and one whose output is thrown away."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.conv, self.old, self.lost = conv(shape[0], shape[0]), conv(shape[0], 4), conv(shape[0], 4)

    def forward(self, maps: Tensor) -> Tensor:
        self.lost(maps)
        return F.relu(self.conv(maps))


class Frozen(Block):
    """A convolution that is not trained between two that are."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        a, b = draw.choice(WIDTHS), draw.choice(WIDTHS)
        self.first, self.second, self.third = conv(shape[0], a), conv(a, b).requires_grad_(False), conv(b, shape[0])

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.third(F.relu(self.second(F.relu(self.first(maps)))))


class TwoParents(Block):
    """One norm and one convolution, each under two names."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.entry, norm, middle = conv(shape[0], width), nn.BatchNorm2d(width), conv(width, width)
        self.first, self.second = nn.Sequential(norm, middle), nn.Sequential(norm, nn.ReLU(), middle)

    def forward(self, maps: Tensor) -> Tensor:
        return self.second(self.first(self.entry(maps)))


class WithoutAffine(Block):
    """Norms that have no scale and shift of their own: a channel of zeros is not zero behind them."""

    moves_zero = True

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.conv, self.norm = conv(shape[0], width), nn.BatchNorm2d(width, affine=False)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(maps)))


class StandardisedConv(Averaging):
    """A convolution whose weight is standardised over what each output reads, at every call."""

    reading: ClassVar[Mapping[str, int]] = {"weight": 1}

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3) * (9 * inputs) ** -0.5)

    def forward(self, maps: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return F.conv2d(maps, weight / (weight.std(dim=(1, 2, 3), keepdim=True) + 1e-5), padding=1)

    def without_statistics(self, values: Tensor) -> Tensor:
        return F.conv2d(values, self.weight, padding=1)


class WeightStandardised(Block):
    """BiT: standardised weights, then a norm over groups."""

    moves_zero = True  # a column of zeros has the mean taken off

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice((4, 8))
        self.entry, self.conv = conv(shape[0], width), StandardisedConv(width, width)
        self.norm = nn.GroupNorm(draw.choice((2, 4)), width)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(F.relu(self.entry(maps)))))


class GlobalResponse(Averaging):
    """ConvNeXt V2: each channel's size beside the mean of all channels' sizes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))

    def forward(self, maps: Tensor) -> Tensor:
        size = maps.pow(2).sum(dim=(2, 3), keepdim=True).sqrt()
        share = size / (size.mean(dim=1, keepdim=True) + 1e-6)
        return self.gamma.view(1, -1, 1, 1) * (maps * share) + self.beta.view(1, -1, 1, 1) + maps

    def without_statistics(self, values: Tensor) -> Tensor:
        return self.gamma.view(1, -1, 1, 1) * values + self.beta.view(1, -1, 1, 1) + values


class ChannelSoftmax(Averaging):
    """All channels of a pixel add up to one."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.softmax(dim=1)

    def without_statistics(self, values: Tensor) -> Tensor:
        return values.exp()


class AcrossChannels(Block):
    """A norm that sees all channels of a pixel, or neighbours among them."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, way = draw.choice(WIDTHS), draw.choice(("response", "softmax", "unit", "local"))
        self.entry, self.exit = conv(shape[0], width), conv(width, draw.choice(WIDTHS))
        made = {"response": GlobalResponse(width), "softmax": ChannelSoftmax(), "local": nn.LocalResponseNorm(3, 0.5)}
        self.norm = made.get(way)
        self.moves_zero, self.sees_all = way == "softmax", True

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.entry(maps)
        return self.exit(F.normalize(maps, dim=1) if self.norm is None else self.norm(maps))


class ChannelAttention(Block):
    """Restormer: channels look at channels, in heads."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.num_heads = draw.choice((1, 2))
        width = self.num_heads * draw.choice((2, 3))
        self.qkv, self.project_out = conv(shape[0], 3 * width, 1), conv(width, shape[0], 1)
        self.temperature = nn.Parameter(torch.ones(self.num_heads, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        b, _, h, w = maps.shape
        parts = self.qkv(maps).chunk(3, dim=1)
        q, k, v = (part.reshape(b, self.num_heads, -1, h * w) for part in parts)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        weights = ((q @ k.transpose(-2, -1)) * self.temperature).softmax(dim=-1)
        return maps + self.project_out((weights @ v).reshape(b, -1, h, w))


class ConditionalConv(Block):
    """CondConv: every sample mixes the kernels of several experts, and a convolution in groups does all samples."""

    moves_zero = True  # an expert without a router is in with a half
    reading: ClassVar[Mapping[str, int]] = {"weight": 2}

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.outputs = draw.choice(WIDTHS)
        self.router = nn.Linear(shape[0], 2)
        self.weight = nn.Parameter(torch.randn(2, self.outputs, shape[0], 3, 3) * (9 * shape[0]) ** -0.5)

    def forward(self, maps: Tensor) -> Tensor:
        b, c, h, w = maps.shape
        routing = torch.sigmoid(self.router(maps.mean((2, 3))))
        kernels = (routing @ self.weight.view(2, -1)).view(b * self.outputs, c, 3, 3)
        mixed = F.conv2d(maps.reshape(1, b * c, h, w), kernels, padding=1, groups=b)
        return F.relu(mixed.view(b, self.outputs, h, w))


class WeightedFusion(Block):
    """BiFPN and HRNet: two sizes, each added to the other, by weights that add up to one."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.large, self.small = conv_norm_act(draw, shape[0], width), conv_norm_act(draw, shape[0], width, 3)
        self.share, self.out = nn.Parameter(torch.ones(2)), conv(width, draw.choice(WIDTHS))

    def forward(self, maps: Tensor) -> Tensor:
        share = F.relu(self.share)
        share = share / (share.sum() + 1e-4)
        large = self.large(maps)
        small = F.interpolate(self.small(F.avg_pool2d(maps, 2)), size=large.shape[2:], mode="nearest")
        return self.out(F.silu(share[0] * large + share[1] * small))
