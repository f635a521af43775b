"""Blocks of tokens that call a layer several times, choose experts, look at frequencies, or keep a learnt state."""

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import WIDTHS, RMSNorm, Shape, TokenBlock, linear


class SameLayers(TokenBlock):
    """ALBERT: the same layers again and again."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        inner = draw.choice(WIDTHS)
        self.norm = nn.LayerNorm(shape[1])
        self.fc1 = linear(draw, shape[1], inner)
        self.fc2 = linear(draw, inner, shape[1])
        self.times = draw.choice((2, 3))

    def forward(self, tokens: Tensor) -> Tensor:
        for _ in range(self.times):
            tokens = tokens + self.fc2(F.gelu(self.fc1(self.norm(tokens))))
        return tokens


class ChosenExperts(TokenBlock):
    """Mixtral: every token goes to the expert that its router likes best."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, inner = shape[1], draw.choice(WIDTHS)
        self.gate = nn.Linear(width, 3, bias=False)
        self.experts = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, inner), nn.SiLU(), nn.Linear(inner, width)) for _ in range(3)]
        )

    def forward(self, tokens: Tensor) -> Tensor:
        rows = tokens.reshape(-1, tokens.shape[-1])
        weight, chosen = self.gate(rows).softmax(dim=-1).max(dim=-1)
        given = torch.zeros_like(rows)
        for number, expert in enumerate(self.experts):
            places = torch.where(chosen == number)[0]
            given.index_add_(0, places, expert(rows[places]) * weight[places, None])
        return tokens + given.view_as(tokens)


class Frequencies(TokenBlock):
    """FNet, along the places alone."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.norm, self.fc = nn.LayerNorm(shape[1]), nn.Linear(shape[1], shape[1])

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.fc(torch.fft.fft(self.norm(tokens), dim=1).real * 0.3)


class ShiftedScale(RMSNorm):
    """Gemma: the weight says how far the scale is from 1."""

    def forward(self, values: Tensor) -> Tensor:
        return (1 + self.weight) * (values * torch.rsqrt(values.pow(2).mean(-1, keepdim=True) + 1e-6))

    def without_statistics(self, values: Tensor) -> Tensor:
        return (1 + self.weight) * values


class NormsAround(TokenBlock):
    """A norm before and one after the layers, both inside of the shortcut."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        inner = draw.choice(WIDTHS)
        self.before, self.after = ShiftedScale(shape[1]), ShiftedScale(shape[1])
        self.up, self.gate = nn.Linear(shape[1], inner), nn.Linear(shape[1], inner)
        self.down = nn.Linear(inner, shape[1], bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        inner = self.before(tokens)
        return tokens + self.after(self.down(F.gelu(self.gate(inner), approximate="tanh") * self.up(inner)))


class LearntState(TokenBlock):
    """A recurrent layer that begins with a state of its own, or projects its state, or takes time first."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.way, hidden = draw.choice(("state", "projected", "time")), draw.choice((4, 6))
        if self.way == "projected":
            self.rnn = nn.LSTM(shape[1], hidden, proj_size=3, batch_first=True)
        else:
            self.rnn = nn.GRU(shape[1], hidden, batch_first=self.way == "state")
        if self.way == "state":
            self.begin = nn.Parameter(torch.zeros(1, 1, hidden))
        self.out = nn.Linear(3 if self.way == "projected" else hidden, shape[1])

    def forward(self, tokens: Tensor) -> Tensor:
        if self.way == "time":
            return tokens + self.out(self.rnn(tokens.transpose(0, 1))[0]).transpose(0, 1)
        if self.way == "state":
            return tokens + self.out(self.rnn(tokens, self.begin.expand(-1, len(tokens), -1).contiguous())[0])
        return tokens + self.out(self.rnn(tokens)[0])


class FilledIn(TokenBlock):
    """Places that a fixed mask hides hold a learnt vector instead (MAE)."""

    hidden: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.entry = nn.Linear(shape[1], draw.choice(WIDTHS))
        self.mask_token = nn.Parameter(torch.zeros(self.entry.out_features))
        self.register_buffer("hidden", (torch.arange(shape[0]) % 3 == 1)[None, :, None])

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.where(self.hidden, self.mask_token, self.entry(tokens))


class Windows(TokenBlock):
    """Attention inside windows of the tokens, whose last is filled up with zeros."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.size, inner = draw.choice((2, 3)), draw.choice((2, 4))
        self.q, self.k, self.v = (nn.Linear(shape[1], inner) for _ in range(3))
        self.out = nn.Linear(inner, shape[1])

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, c = tokens.shape
        padded = F.pad(tokens, (0, 0, 0, -t % self.size))
        windows = padded.reshape(b * padded.shape[1] // self.size, self.size, c)
        q, k, v = self.q(windows), self.k(windows), self.v(windows)
        found = torch.softmax(q @ k.transpose(1, 2), dim=-1) @ v
        return tokens + self.out(found).reshape(b, -1, c)[:, :t]
