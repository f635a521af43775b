"""Blocks of maps that add, gate and filter: the habits of ResNet, MobileNet, ResNeXt, ConvNeXt, RepVGG, SENet."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import (
    WIDTHS,
    Block,
    DropPath,
    Shape,
    activation,
    conv,
    conv_norm_act,
    map_norm,
    stride_of,
)


class PlainConv(Block):
    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.layers = conv_norm_act(draw, shape[0], draw.choice(WIDTHS), draw.choice((1, 3)), stride_of(shape, draw))

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(maps)


class BasicResidual(Block):
    """ResNet: two convolutions beside the maps as they are."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, inner = shape[0], draw.choice(WIDTHS)
        self.conv1, self.bn1 = conv(width, inner, bias=False), map_norm(draw, inner)
        self.conv2, self.bn2 = conv(inner, width, bias=False), map_norm(draw, width)
        self.act = activation(draw)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.act(self.bn1(self.conv1(maps)))))
        inner += maps
        return self.act(inner)


class ProjectedResidual(Block):
    """ResNet: the maps are projected where their number or size changes."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        outputs, stride = draw.choice(WIDTHS), stride_of(shape, draw)
        self.body = nn.Sequential(
            conv_norm_act(draw, shape[0], outputs, 3, stride), conv(outputs, outputs), map_norm(draw, outputs)
        )
        self.downsample = nn.Sequential(conv(shape[0], outputs, 1, stride, bias=False), map_norm(draw, outputs))
        self.act = activation(draw)

    def forward(self, maps: Tensor) -> Tensor:
        return self.act(self.body(maps) + self.downsample(maps))


class PreActivation(Block):
    """Norm and activation come before each convolution; the sum is left as it is."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, inner = shape[0], draw.choice(WIDTHS)
        self.bn1, self.conv1 = map_norm(draw, width), conv(width, inner)
        self.bn2, self.conv2 = map_norm(draw, inner), conv(inner, width)
        self.drop = DropPath()

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.conv1(F.relu(self.bn1(maps)))
        return maps + self.drop(self.conv2(F.relu(self.bn2(inner))))


class GroupedBottleneck(Block):
    """ResNeXt: narrow, in groups, wide again."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        groups = draw.choice((2, 3, 4))
        reads, gives = groups * draw.choice((2, 3)), groups * draw.choice((2, 3))
        self.reduce = conv_norm_act(draw, shape[0], reads, 1)
        self.grouped = conv(reads, gives, groups=groups, bias=draw.random() < 0.5)
        self.bn, self.act = nn.BatchNorm2d(gives), activation(draw)
        self.widen = conv(gives, shape[0], 1)

    def forward(self, maps: Tensor) -> Tensor:
        return self.act(maps + self.widen(self.act(self.bn(self.grouped(self.reduce(maps))))))


class InvertedResidual(Block):
    """MobileNetV3: expand, filter each channel by itself, gate, project, add."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        wide = draw.choice((6, 8, 12))
        self.expand = conv_norm_act(draw, shape[0], wide, 1)
        self.depthwise, self.bn = conv(wide, wide, draw.choice((3, 5)), groups=wide, bias=False), nn.BatchNorm2d(wide)
        self.gate = SqueezeExcite((wide, 1, 1), draw) if draw.random() < 0.5 else nn.Identity()
        self.project, self.project_bn = conv(wide, shape[0], 1, bias=False), nn.BatchNorm2d(shape[0])

    def forward(self, maps: Tensor) -> Tensor:
        wide = self.gate(F.hardswish(self.bn(self.depthwise(self.expand(maps)))))
        return maps + self.project_bn(self.project(wide))


class SqueezeExcite(Block):
    """SENet: a small network looks at the mean of each channel and says how much of it passes."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, inner = shape[0], draw.choice((2, 4))
        self.of_linear = draw.random() < 0.5
        if self.of_linear:
            self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        else:
            self.fc1, self.fc2 = conv(width, inner, 1), conv(inner, width, 1)
        self.gate = draw.choice((nn.Sigmoid, nn.Hardsigmoid))()

    def forward(self, maps: Tensor) -> Tensor:
        if self.of_linear:
            b, c, _, _ = maps.size()
            scale = self.gate(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(maps, 1).view(b, c)))))
            return maps * scale.view(b, c, 1, 1).expand_as(maps)
        return maps * self.gate(self.fc2(F.silu(self.fc1(maps.mean((2, 3), keepdim=True)))))


class DepthwiseMultiplied(Block):
    """Each channel is filtered into two, which are mixed."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = shape[0]
        self.depthwise, self.bn = nn.Conv2d(width, 2 * width, 3, padding=1, groups=width), nn.BatchNorm2d(2 * width)
        self.pointwise, self.act = conv(2 * width, draw.choice(WIDTHS), 1), activation(draw)

    def forward(self, maps: Tensor) -> Tensor:
        return self.act(self.pointwise(self.act(self.bn(self.depthwise(maps)))))


class ConvNeXt(Block):
    """Depthwise, then channels last through a norm and two linear layers, each channel scaled, added."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = shape[0]
        self.dwconv, self.norm = conv(width, width, 5, groups=width), nn.LayerNorm(width, eps=1e-6)
        self.pwconv1, self.act, self.pwconv2 = nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        self.gamma, self.drop_path = nn.Parameter(torch.ones(width)), DropPath()

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.norm(self.dwconv(maps).permute(0, 2, 3, 1))
        inner = self.gamma * self.pwconv2(self.act(self.pwconv1(inner)))
        return maps + self.drop_path(inner.permute(0, 3, 1, 2))


class Reparameterised(Block):
    """RepVGG: three branches of the same maps, added before the activation."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = shape[0]
        self.dense = nn.Sequential(conv(width, width, 3, bias=False), nn.BatchNorm2d(width))
        self.point = nn.Sequential(conv(width, width, 1, bias=False), nn.BatchNorm2d(width))
        self.identity = nn.BatchNorm2d(width)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.dense(maps) + self.point(maps) + self.identity(maps))


class SharedTwice(Block):
    """One convolution, called again on what it gave."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.conv, self.norm = conv(shape[0], shape[0]), nn.BatchNorm2d(shape[0])

    def forward(self, maps: Tensor) -> Tensor:
        for _ in range(2):
            maps = maps + torch.tanh(self.norm(self.conv(maps)))
        return maps


class TiedWeights(Block):
    """Two convolutions with one weight and a bias each."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.first, self.second = conv(shape[0], shape[0]), conv(shape[0], shape[0])
        self.second.weight = self.first.weight

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.second(F.relu(self.first(maps)))


class ScaledByBuffers(Block):
    """Channels that are scaled, and now and then shifted, by numbers that nobody trains."""

    scale: Tensor
    shift: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.conv, self.moves_zero = conv(shape[0], width), draw.random() < 0.5
        self.register_buffer("scale", torch.ones(1, width, 1, 1))
        self.register_buffer("shift", torch.zeros(width))

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.conv(maps) * self.scale
        return F.relu(maps + self.shift.view(1, -1, 1, 1) if self.moves_zero else maps)


class BareParameters(Block):
    """A convolution written with torch's function and parameters of one's own."""

    reading: ClassVar[Mapping[str, int]] = {"weight": 1}

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.weight = nn.Parameter(torch.randn(width, shape[0], 3, 3) * (9 * shape[0]) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        self.scale = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(F.conv2d(maps, self.weight, self.bias, padding=1)) * self.scale


class Pooled(Block):
    """Smaller maps, by one of the usual ways."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        smaller = (nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(2, ceil_mode=True), nn.AdaptiveMaxPool2d(3))
        self.pool = draw.choice((*(smaller if shape[1] >= 6 else ()), nn.MaxPool2d(3, 1, 1), nn.Dropout2d(0.2)))

    def forward(self, maps: Tensor) -> Tensor:
        return self.pool(maps)
