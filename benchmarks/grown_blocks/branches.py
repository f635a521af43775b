"""Blocks of maps that lay channels beside each other, take them apart, exchange them and change their size."""

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import (
    WIDTHS,
    Block,
    Shape,
    activation,
    conv,
    conv_norm_act,
    stride_of,
)


class Dense(Block):
    """DenseNet: every layer reads all maps before it."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        growth, count = draw.choice((2, 3, 4)), draw.choice((2, 3))
        widths = [shape[0] + i * growth for i in range(count + 1)]
        self.norms = nn.ModuleList([nn.BatchNorm2d(width) for width in widths[:-1]])
        self.convs = nn.ModuleList([conv(width, growth, bias=False) for width in widths[:-1]])
        self.transition = conv(widths[-1], draw.choice(WIDTHS), 1)

    def forward(self, maps: Tensor) -> Tensor:
        features = [maps]
        for norm, layer in zip(self.norms, self.convs, strict=True):
            features.append(layer(F.relu(norm(torch.cat(features, dim=1)))))
        return self.transition(torch.cat(features, 1))


class SplitAndCollect(Block):
    """C2f of YOLO: halves, one of which goes through more and more convolutions; all are collected."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.c, count = draw.choice((2, 3, 4)), draw.choice((1, 2))
        self.cv1, self.by_split = conv_norm_act(draw, shape[0], 2 * self.c, 1), draw.random() < 0.5
        self.m = nn.ModuleList([conv_norm_act(draw, self.c, self.c) for _ in range(count)])
        self.cv2 = conv_norm_act(draw, (2 + count) * self.c, draw.choice(WIDTHS), 1)
        self.add = draw.random() < 0.5

    def forward(self, maps: Tensor) -> Tensor:
        parts = list(self.cv1(maps).split((self.c, self.c), 1) if self.by_split else self.cv1(maps).chunk(2, 1))
        for layer in self.m:
            inner = layer(parts[-1])
            parts.append(parts[-1] + inner if self.add else inner)
        return self.cv2(torch.cat(parts, 1))


class CrossStage(Block):
    """CSP: two branches of the same maps, one of them deep."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        left, right = draw.choice(WIDTHS), draw.choice(WIDTHS)
        self.cv1, self.cv2 = conv_norm_act(draw, shape[0], left, 1), conv_norm_act(draw, shape[0], right, 1)
        self.deep, self.cv3 = conv_norm_act(draw, left, left), conv_norm_act(draw, left + right, draw.choice(WIDTHS), 1)

    def forward(self, maps: Tensor) -> Tensor:
        left = self.cv1(maps)
        return self.cv3(torch.cat((left + self.deep(left), self.cv2(maps)), dim=1))


class Gated(Block):
    """One half of the channels says how much of the other passes."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.conv, self.way = conv(shape[0], 2 * width), draw.choice(("glu", "chunk", "simple"))
        self.out = conv(width, draw.choice(WIDTHS), 1)

    def forward(self, maps: Tensor) -> Tensor:
        if self.way == "glu":
            return self.out(F.glu(self.conv(maps), dim=1))
        first, second = self.conv(maps).chunk(2, dim=1)
        return self.out(first * second if self.way == "simple" else torch.tanh(first) * torch.sigmoid(second))


class ShuffleSplit(Block):
    """ShuffleNetV2: one half passes, the other is convolved; then the channels of both are mixed."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        half = draw.choice((2, 3, 4))
        self.entry = conv(shape[0], 2 * half, 1)
        self.branch = nn.Sequential(
            conv_norm_act(draw, half, half, 1), conv(half, half, groups=half), nn.BatchNorm2d(half),
            conv_norm_act(draw, half, half, 1),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        passed, convolved = self.entry(maps).chunk(2, dim=1)
        maps = torch.cat((passed, self.branch(convolved)), dim=1)
        b, c, h, w = maps.shape
        return maps.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, c, h, w)


class ShuffleGroups(Block):
    """ShuffleNet: convolutions in groups, between which channels are exchanged."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        groups = draw.choice((2, 3))
        inner, width = groups * draw.choice((2, 3, 4)), groups * draw.choice((2, 3, 4))
        self.entry, self.first = conv(shape[0], inner, 1), conv(inner, inner, 1, groups=groups)
        self.norm, self.shuffle = nn.BatchNorm2d(inner), nn.ChannelShuffle(groups)
        self.second, self.act = conv(inner, width, 3, groups=groups), activation(draw)

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.shuffle(self.act(self.norm(self.first(self.entry(maps)))))
        return self.second(inner)


class PixelShuffled(Block):
    """Four channels become one of twice the height and width, or the other way round."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.upwards = shape[1] < 6 or shape[1] % 2 == 1 or draw.random() < 0.5
        width = draw.choice((2, 3))
        self.conv, self.shuffle = conv(shape[0], 4 * width if self.upwards else width), nn.PixelShuffle(2)
        self.out = conv(width if self.upwards else 4 * width, draw.choice(WIDTHS), 3, 2 if self.upwards else 1)

    def forward(self, maps: Tensor) -> Tensor:
        maps = F.relu(self.conv(maps))
        return self.out(self.shuffle(maps) if self.upwards else F.pixel_unshuffle(maps, 2))


class Focus(Block):
    """YOLOv5: every second pixel goes into channels of its own, by slices."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.sliced = shape[1] >= 4
        self.conv = conv_norm_act(draw, (4 if self.sliced else 1) * shape[0], draw.choice(WIDTHS), 1)

    def forward(self, maps: Tensor) -> Tensor:
        if not self.sliced:
            return self.conv(maps)
        maps = F.pad(maps, (0, maps.shape[3] % 2, 0, maps.shape[2] % 2))
        corners = [maps[..., ::2, ::2], maps[..., 1::2, ::2], maps[..., ::2, 1::2], maps[..., 1::2, 1::2]]
        return self.conv(torch.cat(corners, 1))


class DownAndUp(Block):
    """U-Net: smaller, through a convolution, larger again beside what was kept on the way down."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, inner, up = (draw.choice(WIDTHS) for _ in range(3))
        self.keep = conv_norm_act(draw, shape[0], width)
        self.down = conv_norm_act(draw, width, inner, 3, 2 if shape[1] >= 4 else 1)
        self.way = draw.choice(("transposed", "nearest", "bilinear"))
        self.up = nn.ConvTranspose2d(inner, up, 2, 2) if self.way == "transposed" else conv(inner, up, 1)
        self.join = conv_norm_act(draw, width + up, draw.choice(WIDTHS))

    def forward(self, maps: Tensor) -> Tensor:
        kept = self.keep(maps)
        small = self.down(kept)
        if self.way == "transposed":
            large = self.up(small)[:, :, : kept.shape[2], : kept.shape[3]]
        else:
            large = F.interpolate(self.up(small), size=kept.shape[-2:], mode=self.way)
        return self.join(torch.cat([kept, large], dim=1))


class TransposedGroups(Block):
    """Transposed convolutions with a norm, plain or one for each channel."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        groups = draw.choice((1, 2, width))
        self.entry = conv(shape[0], width, 3, stride_of(shape, draw))
        self.up, self.norm = nn.ConvTranspose2d(width, width, 3, padding=1, groups=groups), nn.BatchNorm2d(width)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.norm(self.up(self.entry(maps))))


class Inception(Block):
    """GoogLeNet: branches of different sizes side by side."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        a, b, c, d = (draw.choice((2, 3, 4)) for _ in range(4))
        self.one, self.pooled = conv_norm_act(draw, shape[0], a, 1), conv_norm_act(draw, shape[0], d, 1)
        self.three = nn.Sequential(conv_norm_act(draw, shape[0], b, 1), conv_norm_act(draw, b, c))

    def forward(self, maps: Tensor) -> Tensor:
        pooled = F.max_pool2d(maps, 3, stride=1, padding=1)
        return torch.cat([self.one(maps), self.three(maps), self.pooled(pooled), pooled], dim=1)


class Fire(Block):
    """SqueezeNet."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        squeezed = draw.choice((3, 4))
        self.squeeze, self.act = conv(shape[0], squeezed, 1), activation(draw)
        self.expand1, self.expand3 = conv(squeezed, draw.choice((2, 4)), 1), conv(squeezed, draw.choice((2, 4)))

    def forward(self, maps: Tensor) -> Tensor:
        squeezed = self.act(self.squeeze(maps))
        return torch.cat([self.act(self.expand1(squeezed)), self.act(self.expand3(squeezed))], 1)


class Ghost(Block):
    """GhostNet: half of the maps are cheap copies of the other half; a slice takes what is asked for."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.outputs = draw.choice((5, 6, 7, 8))
        inner = -(-self.outputs // 2)
        self.primary, self.cheap = conv_norm_act(draw, shape[0], inner, 1), conv(inner, inner, groups=inner)

    def forward(self, maps: Tensor) -> Tensor:
        primary = self.primary(maps)
        return torch.cat([primary, F.relu(self.cheap(primary))], dim=1)[:, : self.outputs]


class Scales(Block):
    """Res2Net: parts of the channels, each convolved together with what became of the part before."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.part = draw.choice((2, 3))
        self.entry, self.exit = conv_norm_act(draw, shape[0], 3 * self.part, 1), conv(3 * self.part, shape[0], 1)
        self.convs = nn.ModuleList([conv(self.part, self.part) for _ in range(2)])

    def forward(self, maps: Tensor) -> Tensor:
        parts = torch.split(self.entry(maps), self.part, 1)
        first = F.relu(self.convs[0](parts[1]))
        second = F.relu(self.convs[1](parts[2] + first))
        return maps + self.exit(torch.cat([parts[0], first, second], 1))


class PartialConv(Block):
    """FasterNet: only the first channels are convolved; narrow and slices take them apart."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.first = max(1, shape[0] // 2)
        self.partial, self.mix = conv(self.first, self.first), conv(shape[0], shape[0], 1)

    def forward(self, maps: Tensor) -> Tensor:
        convolved = self.partial(maps.narrow(1, 0, self.first))
        return maps + F.relu(self.mix(torch.cat((convolved, maps[:, self.first :]), 1)))


class Maxout(Block):
    """The larger of two neighbouring channels; or both signs of each (CReLU)."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.conv, self.both_signs = conv(shape[0], width), draw.random() < 0.5

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.conv(maps)
        if self.both_signs:
            return torch.cat((F.relu(maps), F.relu(-maps)), dim=1)
        b, c, h, w = maps.shape
        return maps.reshape(b, c // 2, 2, h, w).amax(dim=2)
