"""Blocks of maps in which channels or places look at others and say how much of them passes."""

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import WIDTHS, Block, ChannelMax, ChannelMean, Shape, conv, conv_norm_act


class SelectiveKernel(Block):
    """SKNet: two branches, weighted against each other channel by channel."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.three, self.five = conv_norm_act(draw, shape[0], width), conv_norm_act(draw, shape[0], width, 5)
        self.squeeze, self.select = nn.Linear(width, 4), nn.ModuleList([nn.Linear(4, width) for _ in range(2)])

    def forward(self, maps: Tensor) -> Tensor:
        branches = torch.stack([self.three(maps), self.five(maps)], dim=1)
        summary = F.relu(self.squeeze(branches.sum(dim=1).mean(dim=(2, 3))))
        weights = torch.softmax(torch.stack([select(summary) for select in self.select], dim=1), dim=1)
        return (branches * weights[..., None, None]).sum(dim=1)


class ChannelConvolved(Block):
    """ECA: a convolution over the channels' means, from each to its neighbours, gates them."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.entry, self.conv = conv(shape[0], 6), nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.entry(maps)
        means = F.adaptive_avg_pool2d(maps, 1).squeeze(-1).transpose(-1, -2)
        return maps * self.conv(means).transpose(-1, -2).unsqueeze(-1).sigmoid()


class NonLocal(Block):
    """Every place looks at all others: self-attention by hand over the places of maps."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        inner = draw.choice((2, 4))
        self.theta, self.phi, self.g = (nn.Conv2d(shape[0], inner, 1) for _ in range(3))
        self.out = nn.Conv2d(inner, shape[0], 1)

    def forward(self, maps: Tensor) -> Tensor:
        b, _, h, w = maps.shape
        queries, keys = self.theta(maps).flatten(2).transpose(1, 2), self.phi(maps).flatten(2)
        weights = torch.softmax(torch.bmm(queries, keys) * 0.5, dim=-1)
        values = torch.bmm(weights, self.g(maps).flatten(2).transpose(1, 2))
        return maps + self.out(values.transpose(1, 2).reshape(b, -1, h, w))


class Modulated(Block):
    """FiLM: the means of the maps say how each channel is scaled and shifted."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.conv, self.film = conv_norm_act(draw, shape[0], width), nn.Linear(shape[0], 2 * width)

    def forward(self, maps: Tensor) -> Tensor:
        scale, shift = self.film(maps.mean(dim=[2, 3])).chunk(2, dim=-1)
        return self.conv(maps) * (1 + scale[:, :, None, None]) + shift[:, :, None, None]


class SpatialGate(Block):
    """CBAM: every place is gated by the mean and the largest of its channels."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.mean, self.largest, self.conv = ChannelMean(), ChannelMax(), conv(2, 1, 3, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        return maps * torch.sigmoid(self.conv(torch.cat([self.mean(maps), self.largest(maps)], dim=1)))


class Centred(Block):
    """The mean of the channels is taken off each."""

    moves_zero = True

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.mean, self.conv = ChannelMean(), conv(shape[0], shape[0], 1)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.conv(maps - self.mean(maps)))
