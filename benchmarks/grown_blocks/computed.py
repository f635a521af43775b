"""Blocks of maps whose weights are computed at each call, whose numbers are written into the code, or that loop."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import WIDTHS, Block, Shape, activation, conv, conv_norm_act


class MaskedWeight(Block):
    """PixelCNN: a fixed mask over the weight hides the pixels that come later."""

    mask: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.conv, self.act = conv(shape[0], draw.choice(WIDTHS)), activation(draw)
        mask = torch.ones_like(self.conv.weight)
        mask[:, :, 2], mask[:, :, 1, 2] = 0, 0
        self.register_buffer("mask", mask)

    def forward(self, maps: Tensor) -> Tensor:
        return self.act(F.conv2d(maps, self.conv.weight * self.mask, self.conv.bias, padding=1))


class Quantised(Block):
    """Weights in sixteen steps of the largest, as quantisation-aware training has them."""

    moves_zero = sees_all = True  # junk makes the steps larger

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.conv = conv(shape[0], draw.choice(WIDTHS), bias=False)
        self.norm = nn.BatchNorm2d(self.conv.out_channels)

    def forward(self, maps: Tensor) -> Tensor:
        step = self.conv.weight.abs().max() / 8
        weight = (self.conv.weight / step).round() * step
        return F.relu(self.norm(F.conv2d(maps, weight, padding=1)))


class LengthAndDirection(Block):
    """Weight normalisation by hand: a length for every output, and a direction."""

    moves_zero = sees_all = True  # a direction is made of all that is read
    reading: ClassVar[Mapping[str, int]] = {"direction": 1}

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.entry = conv(shape[0], shape[0], 1)
        self.direction = nn.Parameter(torch.randn(width, shape[0], 3, 3))
        self.length, self.bias = nn.Parameter(torch.ones(width, 1, 1, 1)), nn.Parameter(torch.zeros(width))

    def forward(self, maps: Tensor) -> Tensor:
        size = self.direction.flatten(1).norm(dim=1).view(-1, 1, 1, 1) + 1e-8
        return F.conv2d(self.entry(maps), self.length * self.direction / size, self.bias, padding=1)


class ByUnfolding(Block):
    """A convolution as people write it to understand it: cut out, multiply, fold."""

    reading: ClassVar[Mapping[str, int]] = {"weight": 1}

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.outputs = draw.choice(WIDTHS)
        self.entry = conv(shape[0], shape[0], 1)
        self.weight = nn.Parameter(torch.randn(self.outputs, shape[0] * 9) * (9 * shape[0]) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(self.outputs))

    def forward(self, maps: Tensor) -> Tensor:
        b, _, h, w = maps.shape
        columns = F.unfold(torch.tanh(self.entry(maps)), 3, padding=1)
        return (self.weight @ columns + self.bias[:, None]).view(b, self.outputs, h, w)


class Blurred(Block):
    """BlurPool: one fixed kernel for every channel, repeated as often as there are channels."""

    kernel: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.channels, self.by_buffer = draw.choice(WIDTHS), draw.random() < 0.5
        self.conv = conv(shape[0], self.channels)
        kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None] / 16
        self.register_buffer("kernel", kernel.repeat(self.channels, 1, 1, 1) if self.by_buffer else kernel)

    def forward(self, maps: Tensor) -> Tensor:
        maps = F.relu(self.conv(maps))
        if self.by_buffer:
            return F.conv2d(maps, self.kernel, padding=1, groups=self.channels)
        return F.conv2d(maps, self.kernel.expand(maps.shape[1], -1, -1, -1), padding=1, groups=maps.shape[1])


class WrittenDown(Block):
    """The number of channels stands in the code itself."""

    sees_all = True  # channels of a group gate each other

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.entry, self.exit = conv(shape[0], 6), conv(6, draw.choice(WIDTHS), 1)

    def forward(self, maps: Tensor) -> Tensor:
        maps = torch.tanh(self.entry(maps))
        rows = maps.view(maps.size(0), 2, 3, *maps.shape[2:])
        return self.exit((rows * torch.sigmoid(rows.sum(dim=2, keepdim=True))).view_as(maps))


class LargestChannels(Block):
    """Of the channels only those go on whose mean is largest, in that order."""

    moves_zero = sees_all = True

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.entry, self.exit = conv(shape[0], 6), conv(3, draw.choice(WIDTHS))

    def forward(self, maps: Tensor) -> Tensor:
        maps = torch.relu(self.entry(maps))
        chosen = maps.mean((2, 3)).topk(3, dim=1).indices
        return self.exit(maps.gather(1, chosen[:, :, None, None].expand(-1, -1, *maps.shape[2:])))


class AddedUp(Block):
    """Each channel and all before it."""

    sees_all = True

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.entry = conv(shape[0], draw.choice(WIDTHS))
        self.exit = conv(self.entry.out_channels, draw.choice(WIDTHS))

    def forward(self, maps: Tensor) -> Tensor:
        return self.exit(torch.relu(self.entry(maps)).cumsum(dim=1) * 0.3)


class LargerOf(Block):
    """FReLU: the channel or what its own filter makes of it, whichever is larger; or a threshold of its own."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, self.filtered = draw.choice(WIDTHS), draw.random() < 0.5
        self.conv = conv(shape[0], width)
        if self.filtered:
            self.funnel, self.norm = conv(width, width, groups=width, bias=False), nn.BatchNorm2d(width)
        else:
            self.tau = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.conv(maps)
        return torch.max(maps, self.norm(self.funnel(maps)) if self.filtered else self.tau)


class Reversible(Block):
    """RevNet: each half of the channels is added to what is made of the other."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        half = draw.choice((2, 3, 4))
        self.entry, self.f, self.g = conv(shape[0], 2 * half), conv(half, half), conv(half, half)

    def forward(self, maps: Tensor) -> Tensor:
        first, second = torch.chunk(self.entry(maps), 2, dim=1)
        first = first + torch.tanh(self.f(second))
        second = second + torch.tanh(self.g(first))
        return torch.cat([first, second], dim=1)


class ConvGates(Block):
    """ConvLSTM: four gates from one convolution over what comes in and what was kept, twice over the same maps."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.hidden = draw.choice((2, 3, 4))
        self.gates = conv(shape[0] + self.hidden, 4 * self.hidden)

    def forward(self, maps: Tensor) -> Tensor:
        state = memory = maps.new_zeros(maps.size(0), self.hidden, *maps.shape[2:])
        for _ in range(2):
            i, f, o, g = self.gates(torch.cat([maps, state], dim=1)).split(self.hidden, dim=1)
            memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(memory)
        return state


class PlacesAdded(Block):
    """DETR: a fixed map for every channel is added, which no file holds."""

    moves_zero = True
    places: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.conv, self.exit = conv(shape[0], width), conv(width, draw.choice(WIDTHS))
        places = torch.sin(torch.arange(width * shape[1] * shape[2]).view(1, width, *shape[1:]) / 7)
        self.register_buffer("places", places, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        return self.exit(F.relu(self.conv(maps) + self.places))


class Hypercolumns(Block):
    """What several layers gave, made equally large and laid side by side."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        a, b, c = (draw.choice((2, 3, 4)) for _ in range(3))
        self.one, self.two = conv_norm_act(draw, shape[0], a), conv_norm_act(draw, a, b, 3, 2 if shape[1] >= 6 else 1)
        self.three = conv_norm_act(draw, b, c)

    def forward(self, maps: Tensor) -> Tensor:
        one = self.one(maps)
        two = self.two(one)
        three = self.three(two)
        size = one.shape[-2:]
        return torch.cat([F.interpolate(each, size=size, mode="bilinear") for each in (one, two, three)], dim=1)
