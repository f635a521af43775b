"""Small networks of the kinds that people prune, with what of them can be cut, worked out by hand."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGE = (2, 8, 8)
WORDS = 7


class Residual(nn.Module):
    """ResNet: a bottleneck with an identity shortcut and a block with a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_bn = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv1, self.bn1 = nn.Conv2d(4, 3, 1, bias=False), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.conv3, self.bn3 = nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.conv4, self.bn4 = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6)
        self.project, self.project_bn = nn.Conv2d(4, 6, 1, stride=2, bias=False), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        stream = F.relu(self.stem_bn(self.stem(images)))
        inner = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(stream))))))
        stream = F.relu(stream + self.bn3(self.conv3(inner)))
        stream = F.relu(self.bn4(self.conv4(stream)) + self.project_bn(self.project(stream)))
        return self.fc(F.adaptive_avg_pool2d(stream, 1).flatten(1))


class Dense(nn.Module):
    """DenseNet: every convolution reads all maps before it through a norm of its own; a transition pools."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.bn1, self.conv1 = nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3, padding=1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(7), nn.Conv2d(7, 3, 3, padding=1, bias=False)
        self.bn3, self.transition = nn.BatchNorm2d(10), nn.Conv2d(10, 5, 1, bias=False)
        self.fc = nn.Linear(5 * 16, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images)
        maps = torch.cat([maps, self.conv1(F.relu(self.bn1(maps)))], dim=1)
        maps = torch.cat([maps, self.conv2(F.relu(self.bn2(maps)))], dim=1)
        return self.fc(F.avg_pool2d(self.transition(F.relu(self.bn3(maps))), 2).flatten(1))


class Separable(nn.Module):
    """MobileNetV2: expand, filter each channel by itself, project without an activation, add."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_bn = nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(4)
        self.expand, self.expand_bn = nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.depthwise, self.depthwise_bn = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8)
        self.narrow, self.narrow_bn = nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        stream = F.relu6(self.stem_bn(self.stem(images)))
        wide = F.relu6(self.depthwise_bn(self.depthwise(F.relu6(self.expand_bn(self.expand(stream))))))
        return self.fc((stream + self.narrow_bn(self.narrow(wide))).mean(dim=(2, 3)))


class Grouped(nn.Module):
    """ResNeXt: the middle convolution works in two groups of three channels, inside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.reduce, self.reduce_bn = nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6)
        self.grouped, self.grouped_bn = nn.Conv2d(6, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8)
        self.widen = nn.Conv2d(8, 4, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        stream = self.stem(images)
        inner = F.relu(self.grouped_bn(self.grouped(F.relu(self.reduce_bn(self.reduce(stream))))))
        return self.fc(F.relu(stream + self.widen(inner)).mean(dim=(2, 3)))


class SqueezeExcite(nn.Module):
    """SENet: a small network looks at the mean of each channel and says how much of it passes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.squeeze, self.excite = nn.Linear(6, 3), nn.Linear(3, 6)
        self.last, self.fc = nn.Conv2d(6, 5, 3), nn.Linear(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = F.relu(self.bn(self.conv(images)))
        gates = torch.sigmoid(self.excite(F.relu(self.squeeze(maps.mean(dim=(2, 3))))))
        return self.fc(F.relu(self.last(maps * gates[:, :, None, None])).mean(dim=(2, 3)))


class Inception(nn.Module):
    """GoogLeNet: four branches side by side, read by one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(2, 2, 1)
        self.three = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 3, padding=1))
        self.five = nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 5, padding=2))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(2, 2, 1))
        self.join, self.fc = nn.Conv2d(11, 4, 1), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        branches = [self.one(images), self.three(images), self.five(images), self.pooled(images)]
        return self.fc(F.relu(self.join(F.relu(torch.cat(branches, 1)))).mean(dim=(2, 3)))


class UNet(nn.Module):
    """U-Net: down, through the middle, up again beside what was kept on the way down; a class for every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.down_bn = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.middle, self.middle_bn = nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.up, self.last = nn.Conv2d(10, 5, 3, padding=1), nn.Conv2d(5, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        down = F.relu(self.down_bn(self.down(images)))
        middle = F.relu(self.middle_bn(self.middle(F.max_pool2d(down, 2))))
        beside = torch.cat([down, F.interpolate(middle, scale_factor=2.0, mode="nearest")], dim=1)
        return self.last(F.relu(self.up(beside)))


class LSTMClassifier(nn.Module):
    """Linear layers before and after an LSTM of two layers; its last state is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.widen = nn.Linear(4, 6), nn.Linear(6, 5)
        self.lstm = nn.LSTM(5, 6, num_layers=2, batch_first=True)
        self.hidden, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, steps: Tensor) -> Tensor:
        _, (states, _) = self.lstm(self.widen(F.relu(self.entry(steps))))
        return self.head(F.relu(self.hidden(states[-1])))


class GRUTagger(nn.Module):
    """Words through a GRU of both directions; a class for every word."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 5, padding_idx=0)
        self.gru = nn.GRU(5, 4, batch_first=True, bidirectional=True)
        self.hidden, self.head = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(self.gru(self.words(ids))[0])))


class RNNClassifier(nn.Module):
    """A plain recurrent layer between two Linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(4, 5, batch_first=True)
        self.hidden, self.head = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, steps: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(self.rnn(steps)[0][:, -1])))


class Encoder(nn.Module):
    """Two of torch's own transformer layers, the first with norms after, the second with norms before."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.head = nn.Linear(4, 8), nn.Linear(8, 3)
        self.after = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, batch_first=True)
        self.before = nn.TransformerEncoderLayer(8, 2, 10, activation="gelu", batch_first=True, norm_first=True)

    def forward(self, steps: Tensor) -> Tensor:
        return self.head(self.before(self.after(self.entry(steps))).mean(dim=1))


class Attention(nn.Module):
    """Attention of one's own: queries, keys and values from one Linear layer. `causal` hides what comes later."""

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.num_heads, self.causal = heads, causal
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, width = tokens.shape
        q, k, v = self.qkv(tokens).reshape(b, t, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        weights = q @ k.transpose(-2, -1) / math.sqrt(width // self.num_heads)
        if self.causal:
            weights = weights.masked_fill(torch.ones(t, t, device=tokens.device).triu(1).bool(), -torch.inf)
        return self.proj((weights.softmax(dim=-1) @ v).transpose(1, 2).reshape(b, t, width))


class Block(nn.Module):
    """A transformer block with norms before: attention and an MLP, each added to the tokens."""

    def __init__(self, width: int, heads: int, inner: int, causal: bool = False) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, heads, causal)
        self.norm2, self.fc1, self.fc2 = nn.LayerNorm(width), nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.fc2(F.gelu(self.fc1(self.norm2(tokens))))


class ViT(nn.Module):
    """Patches with a class token and learnt positions through two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(2, 8, 4, stride=4)
        self.token, self.position = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 5, 8))
        self.blocks = nn.Sequential(Block(8, 2, 12), Block(8, 4, 10))
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), tokens], dim=1) + self.position
        return self.head(self.norm(self.blocks(tokens))[:, 0])


class LanguageModel(nn.Module):
    """GPT: words and positions through two blocks that see only what came before; the head's weight is the words'."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(WORDS, 6), nn.Embedding(5, 6)
        self.blocks = nn.ModuleList([Block(6, 2, 9, causal=True), Block(6, 3, 8, causal=True)])
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, WORDS, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: Tensor) -> Tensor:
        tokens = self.words(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(self.norm(tokens))


class GroupNormed(nn.Module):
    """Norms over groups of two channels, over single channels, and one whose groups follow a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(2, 8, 3, padding=1), nn.GroupNorm(4, 8)
        self.conv, self.norm = nn.Conv2d(8, 6, 3, padding=1), nn.GroupNorm(6, 6)
        self.back, self.back_norm = nn.Conv2d(6, 8, 1), nn.GroupNorm(2, 8)
        self.fc = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        stream = F.relu(self.stem_norm(self.stem(images)))
        stream = stream + self.back_norm(self.back(F.relu(self.norm(self.conv(stream)))))
        return self.fc(F.relu(stream).mean(dim=(2, 3)))


class Wave(nn.Module):
    """Convolutions over time, with a PReLU of one slope a channel and an InstanceNorm, flattened at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.slope = nn.Conv1d(2, 4, 3, padding=1), nn.PReLU(4)
        self.second, self.norm = nn.Conv1d(4, 5, 3, dilation=2, padding=2), nn.InstanceNorm1d(5, affine=True)
        self.fc = nn.Linear(5 * 4, 3)

    def forward(self, waves: Tensor) -> Tensor:
        waves = self.norm(self.second(self.slope(self.first(waves))))
        return self.fc(F.max_pool1d(F.relu(waves), 2).flatten(1))


Groups = dict[str, tuple[tuple[str, ...], int]]
"""Group name -> the rows that hold its units, and how many units there are."""


def alone(**units: int) -> Groups:
    """Groups of a single row each; two underscores stand for a dot."""
    return {name.replace("__", "."): ((name.replace("__", "."),), count) for name, count in units.items()}


@dataclass(frozen=True)
class Architecture:
    """A network and what of it can be cut: `channels`. `exact` where small whole numbers make every sum exact.

    `averaged` where a LayerNorm takes its statistics over units that are cut: without them it gives other values.
    """

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    channels: Groups = field(default_factory=dict)
    exact: bool = False
    averaged: bool = False

    @property
    def of_words(self) -> bool:
        return len(self.shape) == 1


ARCHITECTURES = {
    "residual": Architecture(
        Residual, IMAGE,
        {"stem": (("stem", "conv3"), 4), **alone(conv1=3, conv2=3), "conv4": (("conv4", "project"), 6)}, exact=True,
    ),
    "dense": Architecture(Dense, IMAGE, alone(stem=4, conv1=3, conv2=3, transition=5), exact=True),
    "separable": Architecture(
        Separable, IMAGE, {"stem": (("stem", "narrow"), 4), "expand": (("expand", "depthwise"), 8)}, exact=True
    ),
    # reduce: channel i of both groups of three; grouped: channel i of both groups of four
    "grouped": Architecture(
        Grouped, IMAGE, {"stem": (("stem", "widen"), 4), **alone(reduce=3, grouped=4)}, exact=True
    ),
    "squeeze_excite": Architecture(SqueezeExcite, IMAGE, {"conv": (("conv", "excite"), 6), **alone(squeeze=3, last=5)}),
    "inception": Architecture(
        Inception, IMAGE, alone(one=2, three__0=3, three__2=4, five__0=2, five__2=3, pooled__1=2, join=4), exact=True
    ),
    "unet": Architecture(UNet, IMAGE, alone(down=4, middle=6, up=5), exact=True),
    "lstm": Architecture(LSTMClassifier, (5, 4), alone(entry=6, widen=5, hidden=8)),
    "gru": Architecture(GRUTagger, (5,), alone(hidden=6)),
    "rnn": Architecture(RNNClassifier, (5, 4), alone(hidden=6)),
    # entry: what is added to the residual stream, the output projections of attention with it
    "encoder": Architecture(
        Encoder, (5, 4),
        {"entry": (("entry", "after.linear2", "before.linear2"), 8), **alone(after__linear1=12, before__linear1=10)},
        averaged=True,
    ),
    "vit": Architecture(ViT, IMAGE, alone(blocks__0__fc1=12, blocks__1__fc1=10)),
    "language_model": Architecture(LanguageModel, (5,), alone(blocks__0__fc1=9, blocks__1__fc1=8)),
    # stem and back: one group of back_norm (four channels) holds two groups of stem_norm
    "group_norm": Architecture(GroupNormed, IMAGE, {"stem": (("stem", "back"), 2), **alone(conv=6)}),
    "wave": Architecture(Wave, (2, 8), alone(first=4, second=5)),
}  # fmt: skip


def made(name: str, seed: int = 0) -> nn.Module:
    """The network in eval mode and float64, drawn by the seed; the global generator stays as it was."""
    architecture = ARCHITECTURES[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = architecture.make().double().eval()
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms that are not 1 and 0, biases that are not 0
                parameter.data.uniform_(0.5, 1.5)
        if architecture.exact:
            _round(model)
    return model


@torch.no_grad()
def _round(model: nn.Module) -> None:
    """Weights and biases −1, −½, 0, ½ or 1, norms that divide by 1 or 2: every sum is exact, in any order."""
    for parameter in model.parameters():
        parameter.copy_(torch.randint(-2, 3, parameter.shape) / 2)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eps = 1e-300  # changes no float64; torch 2.11 refuses 0
            module.running_mean.copy_(torch.randint(-2, 3, module.running_mean.shape) / 2)
            module.running_var.copy_(4.0 ** torch.randint(0, 2, module.running_var.shape))
            module.weight.copy_(torch.tensor([-1.0, 0.5, 1.0, 2.0])[torch.randint(4, module.weight.shape)])


def inputs_of(name: str, count: int = 16, seed: int = 0) -> Tensor:
    """Words, whole numbers where sums are to be exact, else normal values: float64."""
    architecture = ARCHITECTURES[name]
    draw = torch.Generator().manual_seed(seed)
    shape = (count, *architecture.shape)
    if architecture.of_words:
        return torch.randint(WORDS, shape, generator=draw)
    if architecture.exact:
        return torch.randint(-3, 4, shape, generator=draw).double()
    return torch.randn(shape, generator=draw, dtype=torch.float64)
