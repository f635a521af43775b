"""Blocks of maps that lay channels out anew: reordered, padded, repeated, chosen, written in place, folded away."""

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import WIDTHS, Block, Shape, activation, conv, conv_norm_act, stride_of


class PaddedShortcut(Block):
    """ResNet's shortcut without parameters: every second pixel, and channels of zeros on both sides."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.stride, self.beside = stride_of(shape, draw), draw.choice((1, 2))
        self.conv = conv_norm_act(draw, shape[0], shape[0] + 2 * self.beside, 3, self.stride)

    def forward(self, maps: Tensor) -> Tensor:
        shortcut = F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.beside, self.beside))
        return F.relu(self.conv(maps) + shortcut)


class Coordinates(Block):
    """CoordConv: two maps say where every pixel lies."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.entry, width = conv(shape[0], draw.choice(WIDTHS)), draw.choice(WIDTHS)
        self.conv = conv_norm_act(draw, self.entry.out_channels + 2, width)

    def forward(self, maps: Tensor) -> Tensor:
        maps = torch.relu(self.entry(maps))
        b, _, h, w = maps.shape
        rows = torch.linspace(-1, 1, h, dtype=maps.dtype, device=maps.device).view(1, 1, h, 1).expand(b, 1, h, w)
        columns = torch.linspace(-1, 1, w, dtype=maps.dtype, device=maps.device).view(1, 1, 1, w).expand(b, 1, h, w)
        return self.conv(torch.cat([maps, rows, columns], dim=1))


class Reordered(Block):
    """Channels change their places: by a list, backwards, or one further; then they are added to others."""

    order: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.entry, self.inner = conv(shape[0], width), conv(width, width)
        self.way, self.add = draw.choice(("index", "flip", "roll")), draw.random() < 0.5
        self.register_buffer("order", torch.tensor(draw.sample(range(width), width)))

    def forward(self, maps: Tensor) -> Tensor:
        maps = F.relu(self.entry(maps))
        inner = self.inner(maps)
        if self.way == "index":
            inner = inner[:, self.order]
        else:
            inner = inner.flip(1) if self.way == "flip" else torch.roll(inner, 1, dims=1)
        return maps + inner if self.add else F.relu(inner)


class WrittenInPlace(Block):
    """A tensor of zeros is filled part by part; the first channels are shifted by a pixel (TSM)."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, self.by_empty = draw.choice((6, 8)), draw.random() < 0.5
        self.entry, self.exit, self.fold = conv(shape[0], width), conv(width, shape[0]), width // 3

    def forward(self, maps: Tensor) -> Tensor:
        inner, fold = self.entry(maps), self.fold
        out = torch.empty_like(inner).zero_() if self.by_empty else torch.zeros_like(inner)
        out[:, :fold, :, 1:] = inner[:, :fold, :, :-1]
        out[:, fold : 2 * fold, :, :-1] = inner[:, fold : 2 * fold, :, 1:]
        out[:, 2 * fold :] = inner[:, 2 * fold :]
        return maps + self.exit(F.relu(out))


class FoldedChannels(Block):
    """Channels become samples, are filtered by the same kernels each, and come back as several."""

    moves_zero = True  # the kernels' biases belong to no channel of the maps

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, self.filters = draw.choice(WIDTHS), draw.choice((1, 2))
        self.entry, self.conv = conv(shape[0], width, 1), conv(1, self.filters, bias=draw.random() < 0.5)
        self.exit = conv(width * self.filters, draw.choice(WIDTHS), 1)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.entry(maps)
        b, c, h, w = maps.shape
        filtered = self.conv(maps.reshape(b * c, 1, h, w))
        return self.exit(torch.tanh(filtered.reshape(b, c * self.filters, h, w)))


class SpatialGroups(Block):
    """SGE: in each group of channels every pixel is gated by the group's mean there."""

    sees_all = True

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.groups = draw.choice((2, 3))
        width = self.groups * draw.choice((2, 3))
        self.entry, self.weight = conv(shape[0], width), nn.Parameter(torch.ones(1, self.groups, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.entry(maps)
        b, c, h, w = maps.shape
        grouped = maps.view(b * self.groups, -1, h, w)
        gates = (grouped * F.adaptive_avg_pool2d(grouped, 1)).sum(dim=1, keepdim=True)
        gates = gates.view(b, self.groups, h, w) * self.weight
        return (grouped * torch.sigmoid(gates).view(b * self.groups, 1, h, w)).view(b, c, h, w)


class SplitAttention(Block):
    """ResNeSt: channels in two rows, weighed against each other one by one."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.conv, self.fc1, self.fc2 = conv(shape[0], 2 * width), conv(width, 4, 1), conv(4, 2 * width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        maps = F.relu(self.conv(maps))
        b, c, h, w = maps.shape
        rows = maps.reshape(b, 2, c // 2, h, w)
        scores = self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(rows.sum(dim=1), 1))))
        weights = torch.softmax(scores.view(b, 2, c // 2), dim=1).view(b, 2, c // 2, 1, 1)
        return (rows * weights).sum(dim=1)


class Volume(Block):
    """Rows in two layers: convolutions over a volume, with a norm and pooling of their own."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.conv, self.norm = nn.Conv3d(shape[0], width, 3, padding=1), nn.BatchNorm3d(width)
        self.mix, self.pool = nn.Conv3d(width, draw.choice(WIDTHS), 1), nn.MaxPool3d((2, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        volume = torch.stack([maps, maps.flip(-1)], dim=2)
        return self.mix(self.pool(F.relu(self.norm(self.conv(volume))))).squeeze(2)


class AlongPixels(Block):
    """All pixels in a row: convolutions over one dimension, then maps again."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.conv1, self.act = nn.Conv1d(shape[0], width, 3, padding=1), activation(draw)
        self.norm, self.conv2 = nn.BatchNorm1d(width), nn.Conv1d(width, shape[0], 1)

    def forward(self, maps: Tensor) -> Tensor:
        pixels = self.conv2(self.act(self.norm(self.conv1(maps.flatten(2)))))
        return maps + pixels.view_as(maps)


class HalvesConvolved(Block):
    """ECA on each half of the channels by itself: no channel of a half can be pruned without the others."""

    moves_zero = True

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.entry, self.exit = conv(shape[0], 6), conv(6, draw.choice(WIDTHS), 1)
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        halves = [half * self.gate(half) for half in self.entry(maps).chunk(2, dim=1)]
        return self.exit(torch.cat(halves, dim=1))

    def gate(self, half: Tensor) -> Tensor:
        means = half.mean((2, 3)).unsqueeze(1)
        return torch.sigmoid(self.conv(means)).squeeze(1)[:, :, None, None]


class Repeated(Block):
    """The same channels twice, one set behind the other or each beside itself."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, self.way = draw.choice(WIDTHS), draw.choice(("cat", "repeat", "interleave"))
        self.entry, self.exit = conv(shape[0], width), conv(2 * width, draw.choice(WIDTHS))

    def forward(self, maps: Tensor) -> Tensor:
        maps = F.relu(self.entry(maps))
        if self.way == "cat":
            return self.exit(torch.cat([maps, torch.tanh(maps)], dim=1))
        return self.exit(maps.repeat(1, 2, 1, 1) if self.way == "repeat" else maps.repeat_interleave(2, dim=1))


class ChosenChannels(Block):
    """Some channels are read by nobody, others by two."""

    chosen: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.entry, self.left, self.right = conv(shape[0], 8), conv(5, 4), conv(4, 4)
        self.register_buffer("chosen", torch.tensor(sorted(draw.sample(range(8), 5))))
        self.act = activation(draw)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.act(self.entry(maps))
        return self.left(torch.index_select(maps, 1, self.chosen)) * self.right(maps[:, 1:5])
