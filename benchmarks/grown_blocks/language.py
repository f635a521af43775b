"""Blocks of tokens from other language models: decoders, token shift, retention, latent keys, experts in one."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import WIDTHS, RMSNorm, Shape, TokenBlock


class TorchDecoder(TokenBlock):
    """torch's own decoder layer: learnt queries look at themselves and at the tokens."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        heads = draw.choice([n for n in (1, 2) if shape[1] % n == 0])
        self.queries = nn.Parameter(torch.randn(2, shape[1]))
        self.layer = nn.TransformerDecoderLayer(
            shape[1], heads, draw.choice(WIDTHS), 0.1, batch_first=True, norm_first=draw.random() < 0.5
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.layer(self.queries.expand(tokens.shape[0], -1, -1), tokens)


class OwnLSTM(TokenBlock):
    """An LSTM written by hand: four gates from two linear layers, taken apart by chunk."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.hidden_size = draw.choice((3, 4))
        self.x2h = nn.Linear(shape[1], 4 * self.hidden_size)
        self.h2h = nn.Linear(self.hidden_size, 4 * self.hidden_size)

    def forward(self, tokens: Tensor) -> Tensor:
        h = c = tokens.new_zeros(len(tokens), self.hidden_size)
        states: list[Tensor] = []
        for place in range(tokens.shape[1]):
            i, f, g, o = (self.x2h(tokens[:, place]) + self.h2h(h)).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        return torch.stack(states, dim=1)


class TokenShift(TokenBlock):
    """RWKV: every channel mixes a token with the one before; then a gated MLP of squared ReLUs."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, inner = shape[1], draw.choice(WIDTHS)
        self.mix_k, self.mix_r = nn.Parameter(torch.ones(1, 1, width)), nn.Parameter(torch.ones(1, 1, width))
        self.time_shift = nn.ZeroPad2d((0, 0, 1, -1))
        self.key, self.value = nn.Linear(width, inner, bias=False), nn.Linear(inner, width, bias=False)
        self.receptance = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        before = self.time_shift(tokens)
        keys = tokens * self.mix_k + before * (1 - self.mix_k)
        gate = torch.sigmoid(self.receptance(tokens * self.mix_r + before * (1 - self.mix_r)))
        return tokens + gate * self.value(torch.square(torch.relu(self.key(keys))))


class Retention(TokenBlock):
    """RetNet: no softmax; what lies further back counts less, by a number of each head."""

    decay: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.num_heads, self.key_dim = draw.choice((2, 3)), draw.choice((2, 3))
        inner = self.num_heads * self.key_dim
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(shape[1], inner, bias=False) for _ in range(3))
        self.g_proj, self.out_proj = nn.Linear(shape[1], inner, bias=False), nn.Linear(inner, shape[1], bias=False)
        places = torch.arange(shape[0])
        rates = 1 - 2.0 ** (-1 - torch.arange(self.num_heads))
        back = (places[:, None] - places).clamp(min=0)
        self.register_buffer("decay", (rates[:, None, None] ** back).tril(), persistent=draw.random() < 0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, _ = tokens.shape
        q, k, v = (
            layer(tokens).view(b, t, self.num_heads, self.key_dim).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        found = ((q @ k.transpose(-1, -2)) * self.decay) @ v
        return tokens + self.out_proj(F.silu(self.g_proj(tokens)) * found.transpose(1, 2).reshape(b, t, -1))


class LatentKeys(TokenBlock):
    """DeepSeek: keys and values of all heads from one narrow vector, split within each head."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.n_heads, self.key_dim, self.value_dim = draw.choice((1, 2)), 2, draw.choice((2, 3))
        latent, both = draw.choice((3, 4)), self.key_dim + self.value_dim
        self.norm, self.wq = nn.LayerNorm(shape[1]), nn.Linear(shape[1], self.n_heads * self.key_dim)
        self.kv_down, self.kv_norm = nn.Linear(shape[1], latent, bias=False), RMSNorm(latent)
        self.kv_up = nn.Linear(latent, self.n_heads * both, bias=False)
        self.wo, self.split = nn.Linear(self.n_heads * self.value_dim, shape[1]), [self.key_dim, self.value_dim]

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, _ = tokens.shape
        inner = self.norm(tokens)
        q = self.wq(inner).view(b, t, self.n_heads, self.key_dim)
        k, v = self.kv_up(self.kv_norm(self.kv_down(inner))).view(b, t, self.n_heads, -1).split(self.split, dim=-1)
        weights = torch.einsum("bqhd,bkhd->bhqk", q, k).mul(0.7).softmax(dim=-1)
        return tokens + self.wo(torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2))


class Slopes(TokenBlock):
    """ALiBi: the further away, the less a head sees, by a slope of its own."""

    slopes: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.heads = draw.choice((2, 3))
        inner = self.heads * draw.choice((2, 4))
        self.query_key_value, self.dense = nn.Linear(shape[1], 3 * inner), nn.Linear(inner, shape[1])
        self.register_buffer("slopes", 2.0 ** -torch.arange(1, self.heads + 1).view(-1, 1, 1))

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, _ = tokens.shape
        places = torch.arange(t, device=tokens.device)
        bias = -(places[None, :] - places[:, None]).abs() * self.slopes
        # heads lie outside, queries, keys and values within each
        q, k, v = self.query_key_value(tokens).view(b, t, self.heads, 3, -1).permute(3, 0, 2, 1, 4)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype).expand(b, -1, -1, -1), scale=0.5)
        return tokens + self.dense(found.transpose(1, 2).reshape(b, t, -1))


class ExpertsInOne(TokenBlock):
    """All experts' weights in two parameters, multiplied by einsum; a router weighs what they give."""

    reading: ClassVar[Mapping[str, int]] = {"w_in": 1, "w_out": 1}

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width, inner = shape[1], draw.choice((3, 4, 6))
        self.router = nn.Linear(width, 2)
        self.w_in = nn.Parameter(torch.randn(2, width, inner) * 0.4)
        self.w_out = nn.Parameter(torch.randn(2, inner, width) * 0.4)

    def forward(self, tokens: Tensor) -> Tensor:
        inner = F.gelu(torch.einsum("btc,ecd->bted", tokens, self.w_in))
        given = torch.einsum("bted,edc->btec", inner, self.w_out)
        return tokens + (given * self.router(tokens).softmax(-1).unsqueeze(-1)).sum(dim=2)


class BlockDiagonal(TokenBlock):
    """Monarch: channels in groups, each with a matrix of its own, exchanged in between."""

    reading: ClassVar[Mapping[str, int]] = {"first": 1, "second": 1}

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.groups, size = draw.choice((2, 3)), draw.choice((2, 3))
        self.entry, self.exit = nn.Linear(shape[1], self.groups * size), nn.Linear(self.groups * size, shape[1])
        self.first = nn.Parameter(torch.randn(self.groups, size, size) * 0.5)
        self.second = nn.Parameter(torch.randn(size, self.groups, self.groups) * 0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        grouped = self.entry(tokens).unflatten(-1, (self.groups, -1))
        mixed = torch.einsum("btgi,gio->btgo", grouped, self.first).transpose(2, 3)
        return tokens + self.exit(torch.einsum("btgi,gio->btgo", mixed, self.second).flatten(2))


class ClassAttention(TokenBlock):
    """CaiT: one token asks, all answer; it takes the first place."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.num_heads = draw.choice((1, 2))
        inner = self.num_heads * draw.choice((2, 4))
        self.cls_token, self.norm = nn.Parameter(torch.zeros(1, 1, shape[1])), nn.LayerNorm(shape[1])
        self.q, self.k, self.v = (nn.Linear(shape[1], inner, bias=draw.random() < 0.5) for _ in range(3))
        self.proj = nn.Linear(inner, shape[1])

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, _ = tokens.shape
        asked = self.norm(torch.cat((self.cls_token.repeat(b, 1, 1), tokens), dim=1))
        q = self.q(asked[:, 0]).unsqueeze(1).reshape(b, 1, self.num_heads, -1).permute(0, 2, 1, 3)
        k = self.k(asked).reshape(b, t + 1, self.num_heads, -1).permute(0, 2, 1, 3)
        v = self.v(asked).reshape(b, t + 1, self.num_heads, -1).permute(0, 2, 1, 3)
        found = ((q * 0.6) @ k.transpose(-2, -1)).softmax(dim=-1) @ v
        answer = self.proj(found.transpose(1, 2).reshape(b, 1, -1))
        return torch.cat([self.cls_token + answer, tokens], dim=1)
