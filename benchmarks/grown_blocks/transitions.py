"""Blocks that turn one form into another: patches and words into tokens, maps and tokens into vectors."""

from random import Random
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import WIDTHS, Block, Form, Shape, activation, conv, conv_norm_act, linear

WORDS = 11


class Stem(Block):
    """The first convolution of a network of images."""

    takes: ClassVar[Form] = "images"

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.conv = conv_norm_act(draw, shape[0], draw.choice(WIDTHS), 3, draw.choice((1, 2)))

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images)


class PooledStem(Block):
    """ResNet's: a wide kernel, then pooling."""

    takes: ClassVar[Form] = "images"

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.conv1 = conv(shape[0], draw.choice(WIDTHS), 5, bias=False)
        self.bn1, self.maxpool = nn.BatchNorm2d(self.conv1.out_channels), nn.MaxPool2d(3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.maxpool(F.relu(self.bn1(self.conv1(images))))


class NoStem(Block):
    """The image goes on as it is."""

    takes: ClassVar[Form] = "images"

    def forward(self, images: Tensor) -> Tensor:
        return images * 2 - 1


class ToTokens(Block):
    gives: ClassVar[Form] = "tokens"


class Patches(ToTokens):
    """ViT: a convolution whose kernel is as large as its stride."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        size = 3 if shape[1] >= 9 else min(2, shape[1])
        self.proj = nn.Conv2d(shape[0], draw.choice((4, 6, 8)), size, size)

    def forward(self, maps: Tensor) -> Tensor:
        return self.proj(maps).flatten(2).transpose(1, 2)


class UnfoldedPatches(ToTokens):
    """Patches cut out by reshaping, through one linear layer."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.size = 3 if shape[1] >= 9 else min(2, shape[1])
        self.proj = linear(draw, shape[0] * self.size**2, draw.choice((4, 6, 8)))

    def forward(self, maps: Tensor) -> Tensor:
        return self.proj(F.unfold(maps, self.size, stride=self.size).transpose(1, 2))


class RowsAsTokens(ToTokens):
    """Every row of the maps is a token: CRNN."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.pool = nn.AdaptiveMaxPool2d((4, 3))

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.pool(maps)
        b, c, h, w = maps.shape
        return maps.permute(0, 2, 1, 3).reshape(b, h, c * w)


class ToVectors(Block):
    gives: ClassVar[Form] = "vectors"


class GlobalPool(ToVectors):
    """The mean, the largest, or a mean of powers of every channel."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.way = draw.choice(("module", "mean", "max", "power", "both"))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.moves_zero = self.way == "power"  # values are kept from being zero
        if self.moves_zero:
            self.p = nn.Parameter(torch.ones(1))

    def forward(self, maps: Tensor) -> Tensor:
        if self.way == "module":
            return self.pool(maps)
        if self.way == "both":
            return torch.cat([self.pool(maps), F.adaptive_max_pool2d(maps, 1).flatten(1)], dim=1)
        if self.way == "power":
            return maps.clamp(min=1e-6).pow(self.p + 1).mean(dim=(-2, -1)).pow(1.0 / (self.p + 1))
        return maps.mean([2, 3]) if self.way == "mean" else maps.amax(dim=(2, 3))


class Flattened(ToVectors):
    """All places of all channels, read by one linear layer."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        size, self.by_view = draw.choice((2, 3)), draw.random() < 0.5
        self.pool = nn.AdaptiveAvgPool2d(size)
        self.fc, self.act = nn.Linear(shape[0] * size * size, draw.choice(WIDTHS)), activation(draw)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.pool(maps)
        return self.act(self.fc(maps.reshape(maps.size(0), -1) if self.by_view else torch.flatten(maps, 1)))


class IdsToTokens(Block):
    takes: ClassVar[Form] = "ids"
    gives: ClassVar[Form] = "tokens"


class Words(IdsToTokens):
    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.words = nn.Embedding(WORDS, draw.choice((4, 6, 8)), padding_idx=draw.choice((None, 0)))

    def forward(self, ids: Tensor) -> Tensor:
        return self.words(ids)


class WordsWithPositions(IdsToTokens):
    """BERT and GPT: words and positions, scaled, shifted by a learnt token type, or normed."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice((4, 6, 8))
        self.wte, self.wpe, self.scale = nn.Embedding(WORDS, width), nn.Embedding(shape[0], width), width**0.5
        self.norm = draw.choice((nn.Identity, nn.LayerNorm))(width)  # type: ignore[arg-type]

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.norm(self.wte(ids) * self.scale + self.wpe(places))


class FactorisedWords(IdsToTokens):
    """ALBERT: narrow word vectors, made wide."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.words, self.widen = nn.Embedding(WORDS, 4), linear(draw, 4, draw.choice((6, 8)))

    def forward(self, ids: Tensor) -> Tensor:
        return self.widen(self.words(ids))


class TokensToVectors(Block):
    takes: ClassVar[Form] = "tokens"
    gives: ClassVar[Form] = "vectors"


class OneToken(TokensToVectors):
    """The mean of all tokens, the largest, the first or the last."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.way = draw.choice(("mean", "max", "first", "last", "select"))
        self.norm = draw.choice((nn.Identity, nn.LayerNorm))(shape[1])  # type: ignore[arg-type]

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.norm(tokens)
        if self.way == "mean":
            return tokens.mean(dim=1)
        if self.way == "max":
            return tokens.max(dim=1).values
        if self.way == "select":
            return tokens.select(1, tokens.shape[1] - 1)
        return tokens[:, 0] if self.way == "first" else tokens[:, -1, :]


class LastState(TokensToVectors):
    """The last hidden states of a recurrent layer, of both directions laid beside each other."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.both, made = draw.random() < 0.5, draw.choice((nn.LSTM, nn.GRU))
        self.rnn = made(shape[1], 4, draw.choice((1, 1, 2)), batch_first=True, bidirectional=self.both)

    def forward(self, tokens: Tensor) -> Tensor:
        _, state = self.rnn(tokens)
        last = state[0] if isinstance(state, tuple) else state
        return torch.cat((last[-2], last[-1]), dim=1) if self.both else last[-1]


class AttentionPool(TokensToVectors):
    """A learnt score of every token weighs it."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.score = nn.Sequential(nn.Linear(shape[1], 4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, tokens: Tensor) -> Tensor:
        return (self.score(tokens).softmax(dim=1) * tokens).sum(dim=1)


class AllTokens(TokensToVectors):
    """All tokens, one behind the other, read by one linear layer."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.fc = nn.Linear(shape[0] * shape[1], draw.choice(WIDTHS))

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.relu(self.fc(tokens.flatten(1)))


class TiedLanguageHead(Block):
    """The logits of the last token's next word, with a weight that stands for both the words and the head."""

    takes: ClassVar[Form] = "ids"
    gives: ClassVar[Form] = "classes"

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, inner = draw.choice((4, 6)), draw.choice(WIDTHS)
        self.words, self.head = nn.Embedding(WORDS, width), nn.Linear(width, WORDS, bias=False)
        self.head.weight = self.words.weight
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, ids: Tensor) -> Tensor:
        tokens = self.words(ids)
        tokens = tokens + self.fc2(torch.relu(self.fc1(tokens)))
        return self.head(tokens.mean(dim=1))


class FeaturesAsTokens(Block):
    """FT-Transformer: every number times a vector of its own."""

    takes: ClassVar[Form] = "vectors"
    gives: ClassVar[Form] = "tokens"

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice((4, 6))
        self.weight, self.bias = nn.Parameter(torch.randn(shape[0], width)), nn.Parameter(torch.zeros(shape[0], width))

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors.unsqueeze(-1) * self.weight + self.bias
