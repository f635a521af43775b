"""Blocks of tokens that look at each other: attention in the ways that people write it."""

from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.grown_blocks.parts import DropPath, Shape, TokenBlock, linear, token_norm

HEAD_WIDTHS = (2, 4)


class FusedAttention(TokenBlock):
    """Queries, keys and values from one layer, taken apart by a view, by chunk or by split."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.num_heads, self.head_dim = draw.choice((1, 2, 3)), draw.choice(HEAD_WIDTHS)
        inner = self.num_heads * self.head_dim
        self.way, self.scale = draw.choice(("view", "chunk", "split", "unflatten")), self.head_dim**-0.5
        self.norm = token_norm(draw, shape[1])
        self.qkv, self.proj = nn.Linear(shape[1], 3 * inner, bias=draw.random() < 0.5), nn.Linear(inner, shape[1])
        self.by_hand, self.drop_path = draw.random() < 0.5, DropPath()

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.heads_of(self.qkv(self.norm(tokens)))
        if self.by_hand:
            found = ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1) @ v
        else:
            found = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        return tokens + self.drop_path(self.proj(found.transpose(1, 2).flatten(2)))

    def heads_of(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b, t, _ = qkv.shape
        if self.way == "view":
            q, k, v = qkv.reshape(b, t, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
            return q, k, v
        if self.way == "unflatten":
            parts = qkv.unflatten(-1, (3, self.num_heads, -1)).movedim(2, 0).transpose(2, 3)
            return parts[0], parts[1], parts[2]
        parts = qkv.chunk(3, dim=-1) if self.way == "chunk" else qkv.split(self.num_heads * self.head_dim, dim=2)
        q, k, v = (part.view(b, t, self.num_heads, self.head_dim).transpose(1, 2) for part in parts)
        return q, k, v


class SeparateAttention(TokenBlock):
    """Three layers; now and then the scale is taken from the queries, a mask hides what comes later, or q, k are
    normalised.
    """

    mask: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.n_head = draw.choice((1, 2, 3))
        inner = self.n_head * draw.choice(HEAD_WIDTHS)
        self.norm = token_norm(draw, shape[1])
        self.q_proj, self.k_proj, self.v_proj = (linear(draw, shape[1], inner) for _ in range(3))
        self.out_proj, self.causal, self.unit = linear(draw, inner, shape[1]), draw.random() < 0.5, draw.random() < 0.2
        self.register_buffer("mask", torch.ones(shape[0], shape[0]).tril().bool())
        self.sees_all = self.unit

    def forward(self, tokens: Tensor) -> Tensor:
        inner = self.norm(tokens)
        q, k, v = (self.split_heads(layer(inner)) for layer in (self.q_proj, self.k_proj, self.v_proj))
        if self.unit:
            q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        scores = torch.matmul(q, k.transpose(-1, -2))
        if self.causal:
            scores = scores.masked_fill(~self.mask, float("-inf"))
        found = torch.matmul(scores.softmax(-1), v).permute(0, 2, 1, 3).contiguous()
        return tokens + self.out_proj(found.view(*found.shape[:2], -1))

    def split_heads(self, values: Tensor) -> Tensor:
        return values.view(values.size(0), values.size(1), self.n_head, -1).transpose(1, 2)


class SharedKeys(TokenBlock):
    """Grouped-query attention, of one key for all heads (multi-query) or one for every second head."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.n_heads, self.head_dim = draw.choice((2, 4)), draw.choice(HEAD_WIDTHS)
        self.n_kv_heads, self.by_expand = draw.choice((1, self.n_heads // 2)), draw.random() < 0.5
        self.norm, inner = token_norm(draw, shape[1]), self.n_heads * self.head_dim
        self.wq, self.wo = nn.Linear(shape[1], inner, bias=False), nn.Linear(inner, shape[1], bias=False)
        self.wk, self.wv = (nn.Linear(shape[1], self.n_kv_heads * self.head_dim, bias=False) for _ in range(2))

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, _ = tokens.shape
        inner = self.norm(tokens)
        q = self.wq(inner).view(b, t, self.n_heads, self.head_dim).transpose(1, 2)
        k = self.repeated(self.wk(inner).view(b, t, self.n_kv_heads, self.head_dim))
        v = self.repeated(self.wv(inner).view(b, t, self.n_kv_heads, self.head_dim))
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.5)
        return tokens + self.wo(found.transpose(1, 2).contiguous().view(b, t, -1))

    def repeated(self, keys: Tensor) -> Tensor:
        times = self.n_heads // self.n_kv_heads
        if not self.by_expand:
            return torch.repeat_interleave(keys, times, dim=2).transpose(1, 2)
        b, t, heads, width = keys.shape
        keys = keys[:, :, :, None, :].expand(b, t, heads, times, width)
        return keys.reshape(b, t, heads * times, width).transpose(1, 2)


class TorchAttention(TokenBlock):
    """torch's own attention."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        heads = draw.choice([n for n in (1, 2, 3, 4) if shape[1] % n == 0])
        self.norm = token_norm(draw, shape[1])
        self.attn = nn.MultiheadAttention(shape[1], heads, batch_first=True, bias=draw.random() < 0.7)

    def forward(self, tokens: Tensor) -> Tensor:
        inner = self.norm(tokens)
        return tokens + self.attn(inner, inner, inner, need_weights=False)[0]


class TorchEncoder(TokenBlock):
    """torch's own transformer layers."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        heads = draw.choice([n for n in (1, 2, 3) if shape[1] % n == 0])
        layer = nn.TransformerEncoderLayer(
            shape[1], heads, 2 * shape[1], 0.1, draw.choice(("relu", "gelu")), batch_first=True,
            norm_first=draw.random() < 0.5,
        )  # fmt: skip
        self.encoder = nn.TransformerEncoder(layer, draw.choice((1, 2)), enable_nested_tensor=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.encoder(tokens)


class LinearAttention(TokenBlock):
    """Attention without softmax, by einsum."""

    moves_zero = sees_all = True  # elu(0) + 1 is 1

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.heads, width = draw.choice((1, 2)), draw.choice(HEAD_WIDTHS)
        self.to_q, self.to_k, self.to_v = (nn.Linear(shape[1], self.heads * width, bias=False) for _ in range(3))
        self.to_out = nn.Linear(self.heads * width, shape[1])

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = (to(tokens).unflatten(2, (self.heads, -1)) for to in (self.to_q, self.to_k, self.to_v))
        q, k = F.elu(q) + 1, F.elu(k) + 1
        total = 1 / torch.einsum("bthd,bhd->bth", q, k.sum(dim=1))
        found = torch.einsum("bthd,bhde,bth->bthe", q, torch.einsum("bshd,bshe->bhde", k, v), total)
        return tokens + self.to_out(found.flatten(2))


class RotaryAttention(TokenBlock):
    """Queries and keys are turned pair by pair, by an angle that grows with the place."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.num_heads, self.head_dim = draw.choice((1, 2)), 4
        inner = self.num_heads * self.head_dim
        self.norm, self.o_proj = token_norm(draw, shape[1]), nn.Linear(inner, shape[1], bias=False)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(shape[1], inner, bias=False) for _ in range(3))
        angles = torch.arange(shape[0])[:, None] * torch.tensor([1.0, 0.1]).repeat(2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        inner, (b, t, _) = self.norm(tokens), tokens.shape
        q, k, v = (
            layer(inner).view(b, t, self.num_heads, self.head_dim).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        found = F.scaled_dot_product_attention(self.turned(q), self.turned(k), v, scale=0.5)
        return tokens + self.o_proj(found.transpose(1, 2).reshape(b, t, -1))

    def turned(self, values: Tensor) -> Tensor:
        first, second = values.chunk(2, dim=-1)
        return values * self.cos + torch.cat((-second, first), dim=-1) * self.sin


class LatentCross(TokenBlock):
    """Perceiver: learnt tokens look at those that come; the answers go on alone."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        width = shape[1]
        self.latents, self.scale = nn.Parameter(torch.randn(3, width)), width**-0.5
        self.to_q, self.to_kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.to_out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        latents = self.latents.unsqueeze(0).expand(len(tokens), -1, -1)
        k, v = self.to_kv(tokens).chunk(2, dim=-1)
        weights = torch.einsum("bld,btd->blt", self.to_q(latents), k) * self.scale
        return latents + self.to_out(weights.softmax(dim=-1) @ v)


class BiasedAttention(TokenBlock):
    """A learnt number for each head and pair of places is added to the scores (T5, Swin)."""

    def __init__(self, shape: Shape, draw: Random) -> None:
        super().__init__(shape, draw)
        self.num_heads, head_dim = 2, draw.choice(HEAD_WIDTHS)
        self.relative_position_bias = nn.Parameter(torch.zeros(2, shape[0], shape[0]))
        self.norm, self.scale = nn.LayerNorm(shape[1]), head_dim**-0.5
        self.qkv, self.proj = nn.Linear(shape[1], 6 * head_dim), nn.Linear(2 * head_dim, shape[1])

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, _ = tokens.shape
        qkv = self.qkv(self.norm(tokens)).reshape(b, t, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0] * self.scale, qkv[1], qkv[2]
        weights = (q @ k.transpose(-2, -1) + self.relative_position_bias.unsqueeze(0)).softmax(dim=-1)
        return tokens + self.proj((weights @ v).transpose(1, 2).reshape(b, t, -1))
