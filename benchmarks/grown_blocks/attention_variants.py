"""Attention with more in it: biases put together, heads mixed, learnt keys, tables of places, complex numbers, LoRA."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import Shape, TokenBlock, token_norm

HEAD_WIDTHS = (2, 4)


class BiasInParts(TokenBlock):
    """BEiT: the keys have no bias; what the layer adds is put together at each call, and its weight is called bare."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.num_heads = draw.choice((1, 2))
        inner = self.num_heads * draw.choice(HEAD_WIDTHS)
        self.qkv, self.proj = nn.Linear(shape[1], 3 * inner, bias=False), nn.Linear(inner, shape[1])
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(inner)), nn.Parameter(torch.zeros(inner))

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, _ = tokens.shape
        bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias, requires_grad=False), self.v_bias))
        qkv = F.linear(tokens, self.qkv.weight, bias).reshape(b, t, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], scale=0.5)
        return tokens + self.proj(found.transpose(1, 2).reshape(b, t, -1))


class TalkingHeads(TokenBlock):
    """The heads' scores are mixed before and after the softmax."""

    moves_zero = True  # of a head without queries the softmax still gives weights

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.heads, head_dim = 2, draw.choice(HEAD_WIDTHS)
        self.qkv, self.proj = nn.Linear(shape[1], 6 * head_dim), nn.Linear(2 * head_dim, shape[1])
        self.proj_l, self.proj_w, self.scale = nn.Linear(2, 2), nn.Linear(2, 2), head_dim**-0.5

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, _ = tokens.shape
        q, k, v = self.qkv(tokens).reshape(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        scores = self.proj_l((q * self.scale @ k.transpose(-2, -1)).permute(0, 2, 3, 1))
        weights = self.proj_w(scores.permute(0, 3, 1, 2).softmax(dim=-1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return tokens + self.proj((weights @ v).transpose(1, 2).reshape(b, t, -1))


class LearntKeys(TokenBlock):
    """Prefix tuning: keys and values that no token made stand beside the others."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.num_heads, self.head_dim = draw.choice((1, 2)), draw.choice(HEAD_WIDTHS)
        inner = self.num_heads * self.head_dim
        self.q = nn.Linear(shape[1], inner)
        self.kv = nn.Linear(shape[1], 2 * inner)
        self.out = nn.Linear(inner, shape[1])
        self.key = nn.Parameter(torch.randn(1, self.num_heads, 2, self.head_dim))
        self.value = nn.Parameter(torch.randn(1, self.num_heads, 2, self.head_dim))

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, _ = tokens.shape
        q = self.q(tokens).view(b, t, self.num_heads, self.head_dim).transpose(1, 2)
        k, v = self.kv(tokens).view(b, t, 2, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        k, v = torch.cat([self.key.expand(b, -1, -1, -1), k], 2), torch.cat([self.value.expand(b, -1, -1, -1), v], 2)
        return tokens + self.out(F.scaled_dot_product_attention(q, k, v, scale=0.5).transpose(1, 2).flatten(2))


class PlaceTable(TokenBlock):
    """Swin: a table with a number for each head and distance, looked up for every pair of places."""

    relative_position_index: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.num_heads, head_dim, length = draw.choice((2, 3)), draw.choice(HEAD_WIDTHS), shape[0]
        inner = self.num_heads * head_dim
        self.norm = nn.LayerNorm(shape[1])
        self.qkv = nn.Linear(shape[1], 3 * inner)
        self.proj = nn.Linear(inner, shape[1])
        self.table = nn.Parameter(torch.zeros(2 * length - 1, self.num_heads))
        places = torch.arange(length)
        self.register_buffer("relative_position_index", places[:, None] - places[None, :] + length - 1)

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, _ = tokens.shape
        q, k, v = self.qkv(self.norm(tokens)).reshape(b, t, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.table[self.relative_position_index.view(-1)].view(t, t, -1).permute(2, 0, 1).contiguous()
        weights = (q * 0.5 @ k.transpose(-2, -1) + bias.unsqueeze(0)).softmax(dim=-1)
        return tokens + self.proj((weights @ v).transpose(1, 2).reshape(b, t, -1))


class ComplexRotary(TokenBlock):
    """Llama: pairs of numbers as complex ones, turned by multiplying."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.n_heads, self.head_dim = draw.choice((1, 2)), 4
        inner = self.n_heads * self.head_dim
        self.norm = token_norm(draw, shape[1])
        self.wq, self.wk, self.wv = (nn.Linear(shape[1], inner, bias=False) for _ in range(3))
        self.wo = nn.Linear(inner, shape[1], bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, _ = tokens.shape
        inner = self.norm(tokens)
        q, k, v = (layer(inner).view(b, t, self.n_heads, self.head_dim) for layer in (self.wq, self.wk, self.wv))
        angles = torch.arange(t, device=tokens.device)[:, None] * torch.tensor([1.0, 0.1], dtype=tokens.dtype)
        turns = torch.polar(torch.ones_like(angles), angles)[None, :, None]
        q, k = (torch.view_as_real(self.paired(part) * turns).flatten(3) for part in (q, k))
        found = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), scale=0.5)
        return tokens + self.wo(found.transpose(1, 2).reshape(b, t, -1))

    def paired(self, values: Tensor) -> Tensor:
        return torch.view_as_complex(values.float().to(values.dtype).reshape(*values.shape[:-1], -1, 2))


class SlicedWeights(TokenBlock):
    """One parameter holds the weights of queries, keys and values, and is taken apart at each call."""

    reading: ClassVar[Mapping[str, int]] = {"in_proj_weight": 1}

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = shape[1]
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) * width**-0.5)
        self.in_proj_bias, self.out = nn.Parameter(torch.zeros(3 * width)), nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (F.linear(tokens, weight, bias) for weight, bias in zip(weights, biases, strict=True))
        return tokens + self.out((q @ k.mT * 0.3).softmax(-1) @ v)


class LowRank(TokenBlock):
    """LoRA: beside a frozen layer a narrow one, as modules or as bare parameters."""

    reading: ClassVar[Mapping[str, int]] = {"lora_A": 1, "lora_B": 1}

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        inner, rank, self.bare = draw.choice((6, 8)), draw.choice((2, 3)), draw.random() < 0.5
        self.base, self.out = nn.Linear(shape[1], inner), nn.Linear(inner, shape[1])
        if draw.random() < 0.5:
            self.base.requires_grad_(False)
        if self.bare:
            self.lora_A = nn.Parameter(torch.randn(rank, shape[1]) * 0.3)
            self.lora_B = nn.Parameter(torch.randn(inner, rank) * 0.3)
        else:
            self.down, self.up = nn.Linear(shape[1], rank, bias=False), nn.Linear(rank, inner, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        low = (tokens @ self.lora_A.T) @ self.lora_B.T if self.bare else self.up(self.down(tokens))
        return tokens + self.out(F.gelu(self.base(tokens) + 2.0 * low))
