"""Blocks of tokens that mix them or their channels without attention: MLPs, mixers, recurrence, convolutions."""

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import (
    OWN_LINEAR,
    WIDTHS,
    DropPath,
    RMSNorm,
    Shape,
    TokenBlock,
    activation,
    linear,
    token_norm,
)


class FeedForward(TokenBlock):
    """Norm, two linear layers, added; the norm may come last."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, inner = shape[1], draw.choice(WIDTHS)
        self.norm, self.after, self.act = token_norm(draw, width), draw.random() < 0.3, activation(draw)
        self.fc1, self.fc2, self.drop = linear(draw, width, inner), linear(draw, inner, width), nn.Dropout(0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        if self.after:
            return self.norm(tokens + self.drop(self.fc2(self.act(self.fc1(tokens)))))
        return tokens + self.drop(self.fc2(self.act(self.fc1(self.norm(tokens)))))


class SwiGLU(TokenBlock):
    """Llama: a gated MLP behind an RMSNorm of one's own, its two inner layers apart or in one."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, inner = shape[1], draw.choice(WIDTHS)
        self.norm, self.packed = RMSNorm(width), draw.random() < 0.5
        self.w2 = nn.Linear(inner, width, bias=False)
        if self.packed:
            self.w12 = nn.Linear(width, 2 * inner, bias=False)
        else:
            self.w1, self.w3 = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        inner = self.norm(tokens)
        gate, up = self.w12(inner).chunk(2, dim=-1) if self.packed else (self.w1(inner), self.w3(inner))
        return tokens + self.w2(F.silu(gate) * up)


class OwnLinear(TokenBlock):
    """Two linear layers of one's own, weights [in, out] among them."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        inner = draw.choice(WIDTHS)
        self.c_fc, self.c_proj = draw.choice(OWN_LINEAR)(shape[1], inner), draw.choice(OWN_LINEAR)(inner, shape[1])

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.c_proj(F.gelu(self.c_fc(tokens)))


class LayerScaled(TokenBlock):
    """A branch that is scaled channel by channel before it is added, and left out at random in training."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = shape[1]
        self.norm, self.mlp = nn.LayerNorm(width), nn.Sequential(nn.Linear(width, 8), nn.GELU(), nn.Linear(8, width))
        self.gamma, self.drop_path = nn.Parameter(torch.ones(width)), DropPath()

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.drop_path(self.gamma * self.mlp(self.norm(tokens)))


class Widened(TokenBlock):
    """Another number of channels: no shortcut."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.proj, self.act = linear(draw, shape[1], draw.choice(WIDTHS)), activation(draw)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.act(self.proj(tokens))


class Mixer(TokenBlock):
    """MLP-Mixer: a network over the places of every channel."""

    moves_zero = True  # its biases belong to places

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        inner = draw.choice(WIDTHS)
        self.norm = token_norm(draw, shape[1])
        self.tokens1, self.tokens2 = nn.Linear(shape[0], inner), nn.Linear(inner, shape[0])

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.tokens2(F.gelu(self.tokens1(self.norm(tokens).transpose(1, 2)))).transpose(1, 2)


class SpatialGating(TokenBlock):
    """gMLP: half of the channels, mixed over the places, gates the other half."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        half = draw.choice((2, 4))
        self.entry, self.exit = nn.Linear(shape[1], 2 * half), nn.Linear(half, shape[1])
        self.norm, self.places = nn.LayerNorm(half), nn.Conv1d(shape[0], shape[0], 1)

    def forward(self, tokens: Tensor) -> Tensor:
        first, second = F.gelu(self.entry(tokens)).chunk(2, dim=-1)
        return tokens + self.exit(first * self.places(self.norm(second)))


class TokenConv(TokenBlock):
    """Conformer: a gated, depthwise convolution along the places."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = draw.choice(WIDTHS)
        self.pointwise1, self.pointwise2 = nn.Conv1d(shape[1], 2 * width, 1), nn.Conv1d(width, shape[1], 1)
        self.depthwise = nn.Conv1d(width, width, 3, padding=1, groups=width)
        self.norm, self.gated = nn.BatchNorm1d(width), draw.random() < 0.5

    def forward(self, tokens: Tensor) -> Tensor:
        maps = self.pointwise1(tokens.transpose(1, 2))
        maps = F.glu(maps, dim=1) if self.gated else maps[:, : maps.shape[1] // 2]
        return tokens + self.pointwise2(F.silu(self.norm(self.depthwise(maps)))).transpose(1, 2)


class Recurrent(TokenBlock):
    """torch's LSTM, GRU or RNN, stacked or in both directions, beside the tokens or instead of them."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        hidden, both = draw.choice((3, 4, 6)), draw.random() < 0.5
        self.rnn = draw.choice((nn.LSTM, nn.GRU, nn.RNN))(
            shape[1], hidden, draw.choice((1, 2)), batch_first=True, bidirectional=both, bias=draw.random() < 0.8
        )
        self.proj = nn.Linear(hidden * (2 if both else 1), shape[1]) if draw.random() < 0.6 else None

    def forward(self, tokens: Tensor) -> Tensor:
        states, _ = self.rnn(tokens)
        return states if self.proj is None else tokens + self.proj(states)


class CellLoop(TokenBlock):
    """A loop over the tokens with one of torch's cells."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.hidden, self.long = draw.choice((3, 4, 6)), draw.random() < 0.5
        self.cell = (nn.LSTMCell if self.long else draw.choice((nn.GRUCell, nn.RNNCell)))(shape[1], self.hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        state = memory = tokens.new_zeros(tokens.shape[0], self.hidden)
        states: list[Tensor] = []
        for token in tokens.unbind(1):
            if self.long:
                state, memory = self.cell(token, (state, memory))
            else:
                state = self.cell(token, state)
            states.append(state)
        return torch.stack(states, dim=1)


class OwnLoop(TokenBlock):
    """A recurrent layer written by hand with two linear layers."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.hidden = draw.choice((3, 4, 6))
        self.i2h, self.h2h = nn.Linear(shape[1], self.hidden), nn.Linear(self.hidden, self.hidden, bias=False)
        self.out = nn.Linear(self.hidden, shape[1])

    def forward(self, tokens: Tensor) -> Tensor:
        state = torch.zeros(tokens.size(0), self.hidden, dtype=tokens.dtype, device=tokens.device)
        states: list[Tensor] = []
        for place in range(tokens.size(1)):
            state = torch.tanh(self.i2h(tokens[:, place]) + self.h2h(state))
            states.append(state.unsqueeze(1))
        return tokens + self.out(torch.cat(states, dim=1))


class StateSpace(TokenBlock):
    """Mamba, made small: a causal convolution, a state of each channel that fades, a gate."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.inner = draw.choice((4, 6))
        self.in_proj, self.out_proj = nn.Linear(shape[1], 2 * self.inner), nn.Linear(self.inner, shape[1])
        self.conv1d = nn.Conv1d(self.inner, self.inner, 3, padding=2, groups=self.inner)
        self.A_log, self.D = nn.Parameter(torch.zeros(self.inner)), nn.Parameter(torch.ones(self.inner))

    def forward(self, tokens: Tensor) -> Tensor:
        x, z = self.in_proj(tokens).split(self.inner, dim=-1)
        x = F.silu(self.conv1d(x.transpose(1, 2))[..., : tokens.shape[1]].transpose(1, 2))
        state, states = torch.zeros_like(x[:, 0]), list[Tensor]()
        for place in range(x.shape[1]):
            state = torch.exp(-torch.exp(self.A_log)) * state + x[:, place]
            states.append(state)
        return tokens + self.out_proj((torch.stack(states, 1) + x * self.D) * F.silu(z))


class Experts(TokenBlock):
    """A softly gated mixture of experts."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = shape[1]
        self.router = nn.Linear(width, 2)
        self.experts = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, 6), nn.ReLU(), nn.Linear(6, width)) for _ in range(2)]
        )

    def forward(self, tokens: Tensor) -> Tensor:
        weights = self.router(tokens).softmax(dim=-1)
        given = torch.stack([expert(tokens) for expert in self.experts], dim=-1)
        return tokens + torch.einsum("btce,bte->btc", given, weights)


class Positions(TokenBlock):
    """A learnt or a fixed vector for every place is added, and a learnt token goes first."""

    fixed: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.with_token, self.learnt = draw.random() < 0.5, draw.random() < 0.7
        self.moves_zero = not self.learnt
        length, width = shape[0] + self.with_token, shape[1]
        if self.with_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        if self.learnt:
            self.pos_embed = nn.Parameter(torch.zeros(1, length, width))
        else:
            self.register_buffer("fixed", torch.sin(torch.arange(length * width).view(length, width) / 3))

    def forward(self, tokens: Tensor) -> Tensor:
        if self.with_token:
            tokens = torch.cat([self.cls_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return tokens + (self.pos_embed if self.learnt else self.fixed)


class Merged(TokenBlock):
    """Swin: neighbouring tokens are laid beside each other and reduced."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.norm = token_norm(draw, 2 * shape[1])
        self.reduction = nn.Linear(2 * shape[1], draw.choice(WIDTHS), bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        if tokens.shape[1] % 2:
            tokens = F.pad(tokens, (0, 0, 0, 1))
        return self.reduction(self.norm(torch.cat([tokens[:, 0::2], tokens[:, 1::2]], dim=-1)))


class Highway(TokenBlock):
    """A gate says how much of the new and how much of the old passes."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.new, self.gate = nn.Linear(shape[1], shape[1]), nn.Linear(shape[1], shape[1])

    def forward(self, tokens: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(tokens))
        return gate * torch.relu(self.new(tokens)) + (1 - gate) * tokens
