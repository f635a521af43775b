"""Networks that people write themselves, in plain torch."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.network import CLASSES, LENGTH, WORDS, Network, of_images, of_words


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)),
        *(nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)),
    )


class UNet(nn.Module):
    """Down, through the middle, up again by transposed convolutions; the mean over pixels of their classes."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.middle = _twice(3, 8), _twice(8, 16), _twice(16, 32)
        self.up2, self.join2 = nn.ConvTranspose2d(32, 16, 2, stride=2), _twice(32, 16)
        self.up1, self.join1 = nn.ConvTranspose2d(16, 8, 2, stride=2), _twice(16, 8)
        self.last = nn.Conv2d(8, CLASSES, 1)

    def forward(self, images: Tensor) -> Tensor:
        first = self.down1(images)
        second = self.down2(F.max_pool2d(first, 2))
        middle = self.middle(F.max_pool2d(second, 2))
        second = self.join2(torch.cat([second, self.up2(middle)], dim=1))
        first = self.join1(torch.cat([first, self.up1(second)], dim=1))
        return self.last(first).mean(dim=(2, 3))


class Recurrent(nn.Module):
    """A language model: words, a recurrent network, the logits of the next word."""

    def __init__(self, kind: str, layers: int = 1, bidirectional: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 24)
        made = {"lstm": nn.LSTM, "gru": nn.GRU}[kind]
        self.rnn = made(24, 32, num_layers=layers, bidirectional=bidirectional, batch_first=True)
        self.decoder = nn.Linear(64 if bidirectional else 32, WORDS)

    def forward(self, words: Tensor) -> Tensor:
        states, _ = self.rnn(self.embedding(words))
        return self.decoder(states[:, -1])


class Encoder(nn.Module):
    """nn.TransformerEncoder over words and their positions; the mean over words is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 32)
        self.positions = nn.Parameter(torch.randn(1, LENGTH, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(32), enable_nested_tensor=False)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.encoder(self.embedding(words) + self.positions).mean(dim=1))


class Translator(nn.Module):
    """nn.Transformer from words to the next of the words that were begun with."""

    begun: Tensor
    hidden: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(WORDS, 32), nn.Embedding(WORDS, 32)
        self.transformer = nn.Transformer(32, 4, 2, 2, 64, batch_first=True)
        self.head = nn.Linear(32, WORDS)
        self.register_buffer("begun", torch.tensor([[3, 7, 5, 4]]))
        self.register_buffer("hidden", nn.Transformer.generate_square_subsequent_mask(4))

    def forward(self, words: Tensor) -> Tensor:
        begun = self.target(self.begun.expand(len(words), -1))
        return self.head(self.transformer(self.source(words), begun, tgt_mask=self.hidden)[:, -1])


class Scan(nn.Module):
    """A block like Mamba's: a gated causal convolution and a linear recurrence whose step depends on the word."""

    def __init__(self, width: int, inner: int, states: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 2 * inner, bias=False)
        self.conv = nn.Conv1d(inner, inner, 3, padding=2, groups=inner)
        self.steps, self.project = nn.Linear(inner, inner), nn.Linear(inner, 2 * states, bias=False)
        self.decay = nn.Parameter(torch.log(torch.arange(1, states + 1).float()).repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.narrow = nn.Linear(inner, width, bias=False)

    def forward(self, stream: Tensor) -> Tensor:
        inner, gate = self.widen(self.norm(stream)).chunk(2, dim=-1)
        inner = F.silu(self.conv(inner.transpose(1, 2))[..., : stream.shape[1]]).transpose(1, 2)
        steps = F.softplus(self.steps(inner))
        into, out = self.project(inner).chunk(2, dim=-1)
        decay = torch.exp(-steps[..., None] * torch.exp(self.decay))
        state = torch.zeros_like(decay[:, 0])
        given: list[Tensor] = []
        for place in range(stream.shape[1]):
            state = decay[:, place] * state + (steps[:, place] * inner[:, place])[..., None] * into[:, place, None]
            given.append((state * out[:, place, None]).sum(dim=-1))
        return stream + self.narrow((torch.stack(given, dim=1) + inner * self.skip) * F.silu(gate))


class StateSpace(nn.Module):
    """A language model of two such blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 24)
        self.blocks = nn.Sequential(Scan(24, 32, 4), Scan(24, 32, 4))
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, WORDS)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embedding(words)))[:, -1])


def unet() -> Network:
    return of_images(UNet())


def lstm() -> Network:
    return of_words(Recurrent("lstm"))


def lstm_stacked() -> Network:
    return of_words(Recurrent("lstm", layers=2))


def gru() -> Network:
    return of_words(Recurrent("gru"))


def gru_stacked_both_ways() -> Network:
    return of_words(Recurrent("gru", layers=2, bidirectional=True))


def transformer_encoder() -> Network:
    return of_words(Encoder())


def transformer() -> Network:
    return of_words(Translator())


def state_space() -> Network:
    return of_words(StateSpace())
