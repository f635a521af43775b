"""Networks as people write them, each in small: which groups there are, and that removed computes what masked does."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.granularities import Channels, Heads, RNNUnits
from tests.architectures import ARCHITECTURES, inputs_of, made
from tests.granularities.owned import normal, owned, smaller_as_masked
from tests.junk import check_junk_is_never_read
from tests.networks import seeded

WIDTH = 8


class OwnLinear(nn.Module):
    """A linear layer of one's own: a Parameter and a product."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(outputs, inputs)), nn.Parameter(torch.randn(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.t() + self.bias


class Bert(nn.Module):
    """Query, key and value apart, folded into heads by numbers that the module keeps; a norm after the addition."""

    def __init__(self, linear: type[nn.Module] = nn.Linear) -> None:
        super().__init__()
        self.heads, self.size, self.all_size = 4, 2, 8
        self.query, self.key, self.value = (linear(WIDTH, 8) for _ in range(3))
        self.output, self.norm = linear(8, WIDTH), nn.LayerNorm(WIDTH)
        self.up, self.down, self.head = linear(WIDTH, 6), linear(6, WIDTH), nn.Linear(WIDTH, 2)

    def folded(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, self.size).permute(0, 2, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.folded(self.query(x)), self.folded(self.key(x)), self.folded(self.value(x))
        found = (q @ k.transpose(-1, -2) / self.size**0.5).softmax(-1) @ v
        x = self.norm(x + self.output(found.permute(0, 2, 1, 3).reshape(*x.shape[:2], self.all_size)))
        return self.head((x + self.down(F.gelu(self.up(x)))).mean(1))


class RMS(nn.Module):
    """Root mean square, of one's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


def turned(x: Tensor) -> Tensor:
    """Rotary positions: both halves of a head are turned by an angle that grows with the place."""
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] / torch.arange(1, x.shape[-1] // 2 + 1)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()], dim=-1)


class Llama(nn.Module):
    """Queries of four heads, keys of `keys`, rotary, SwiGLU, words that are tied to the output."""

    def __init__(self, norm: type[nn.Module] = RMS, keys: int = 2, tied: bool = True) -> None:
        super().__init__()
        self.size, self.shared = 2, 4 // keys
        self.words, self.norm = nn.Embedding(5, WIDTH), norm(WIDTH)
        self.q, self.k, self.v = (nn.Linear(WIDTH, 2 * heads, bias=False) for heads in (4, keys, keys))
        self.o, self.last = nn.Linear(8, WIDTH, bias=False), norm(WIDTH)
        self.gate, self.up = nn.Linear(WIDTH, 6, bias=False), nn.Linear(WIDTH, 6, bias=False)
        self.down, self.head = nn.Linear(6, WIDTH, bias=False), nn.Linear(WIDTH, 5, bias=False)
        if tied:
            self.head.weight = self.words.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        q, k, v = (
            make(self.norm(x)).unflatten(-1, (-1, self.size)).transpose(1, 2) for make in (self.q, self.k, self.v)
        )
        k, v = k.repeat_interleave(self.shared, 1), v.repeat_interleave(self.shared, 1)
        found = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True)
        x = x + self.o(found.transpose(1, 2).flatten(2))
        return self.head(self.last(x + self.down(F.silu(self.gate(x)) * self.up(x))))


class MultiQuery(nn.Module):
    """All heads read one key and one value."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.query = 4, nn.Linear(WIDTH, 8)
        self.key, self.value, self.output = nn.Linear(WIDTH, 2), nn.Linear(WIDTH, 2), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q = self.query(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2)
        scores = q @ self.key(x)[:, None].transpose(-1, -2)
        return self.output((scores.softmax(-1) @ self.value(x)[:, None]).transpose(1, 2).flatten(2)).mean(1)


class FusedAttention(nn.Module):
    """One layer for query, key and value."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.qkv, self.proj = 4, nn.Linear(WIDTH, 24), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)).mean(1)


class Auxiliary(nn.Module):
    """In training a second head reads the layer in the middle: GoogLeNet's way."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 5, 3), nn.Linear(5, 3)
        self.aux, self.aux_head = nn.Conv2d(4, 6, 1), nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        middle = self.first(images).relu()
        output = self.head(self.second(middle).relu().mean((2, 3)))
        if not self.training:
            return output
        return output, self.aux_head(self.aux(middle).relu().mean((2, 3)))


class UNet(nn.Module):
    """Down and up again by a transposed convolution, beside what was kept."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.low = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.up, self.both = nn.ConvTranspose2d(6, 5, 2, stride=2), nn.Conv2d(9, 4, 3, padding=1)
        self.out = nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        kept = self.down(images).relu()
        up = self.up(self.low(F.max_pool2d(kept, 2)).relu())
        return self.out(self.both(torch.cat([kept, up], 1)).relu())


class LayerNorm2d(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    """Filters of one channel, a norm and an MLP with the channels last, a learnt scale, an addition."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.first = nn.Conv2d(2, 4, 2, stride=2), LayerNorm2d(4)
        self.filter, self.norm = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.LayerNorm(4)
        self.up, self.down, self.head = nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.randn(4, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(self.stem(images))
        inner = self.down(F.gelu(self.up(self.norm(self.filter(x).permute(0, 2, 3, 1)))))
        return self.head((x + self.scale * inner.permute(0, 3, 1, 2)).mean((2, 3)))


class C2f(nn.Module):
    """YOLO's block: one half goes on through a shortcut, both and the result are read together."""

    def __init__(self, split: bool) -> None:
        super().__init__()
        self.split, self.half = split, 3
        self.entry, self.norm = nn.Conv2d(2, 6, 1), nn.BatchNorm2d(6)
        self.inner, self.last, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(9, 4, 1), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm(self.entry(images)).relu()
        one, other = x.split((self.half, self.half), 1) if self.split else x.chunk(2, 1)
        return self.head(self.last(torch.cat([one, other, other + self.inner(other)], 1)).relu().mean((2, 3)))


class Synchronised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 6, 3), nn.SyncBatchNorm(6), nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(images)).relu().mean((2, 3)))


TOKENS, IMAGES = normal(2, 5, WIDTH), normal(2, 2, 8, 8)
IDS = torch.tensor([[0, 3, 1, 4], [2, 2, 0, 1]])


def alone(**units: int) -> dict[str, tuple[tuple[str, ...], int]]:
    return {name: ((name,), count) for name, count in units.items()}


BERT = {"query": (("query", "key", "value"), 4), **alone(up=6)}
LLAMA = {"q": (("q", "k", "v"), 2), "o": (("o", "down"), 8), "gate": (("gate", "up"), 6)}
C2F = {"entry": (("entry", "inner"), 3), **alone(last=4)}
CASES = {
    "bert": (Bert, TOKENS, BERT),
    "own linear layers": (lambda: Bert(OwnLinear), TOKENS, BERT),
    "grouped query, tied": (Llama, IDS, LLAMA),
    "grouped query, torch's norm": (lambda: Llama(nn.RMSNorm, tied=False), IDS, LLAMA),
    "multi query": (MultiQuery, TOKENS, alone(value=2)),
    "fused query, key and value": (FusedAttention, TOKENS, alone(qkv=4)),
    "auxiliary head": (Auxiliary, IMAGES, alone(first=4, second=5, aux=6)),
    "unet": (UNet, IMAGES, alone(down=4, low=6, up=5, both=4)),
    "convnext": (ConvNext, IMAGES, {"stem": (("stem", "filter", "down"), 4), **alone(up=6)}),
    "c2f, chunk": (lambda: C2f(split=False), IMAGES, C2F),
    "c2f, split": (lambda: C2f(split=True), IMAGES, C2F),
    "synchronised norm": (Synchronised, IMAGES, alone(conv=6)),
}
"""A network, inputs for it, and its groups of channels: members and how many units."""


@pytest.mark.parametrize("make, inputs, expected", CASES.values(), ids=CASES)
def test_which_channels_there_are_and_that_removed_is_masked(make, inputs, expected):
    model = seeded(make)
    groups, _ = Channels().sorted_out(model, inputs[:1])
    assert {group.name: (group.members, group.units) for group in groups} == expected
    smaller = smaller_as_masked(model, inputs, Channels())
    assert smaller(inputs).shape == model(inputs).shape


@pytest.mark.parametrize("make, inputs, expected", CASES.values(), ids=CASES)
def test_junk_in_what_reads_pruned_channels_changes_nothing(make, inputs, expected):
    assert check_junk_is_never_read(seeded(make), inputs, Channels()) >= len(expected)


@pytest.mark.parametrize("granularity", [Channels(), Heads(), RNNUnits()], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_junk_in_what_reads_pruned_units_changes_nothing_in_any_architecture(name, granularity):
    check_junk_is_never_read(made(name), inputs_of(name, 4), granularity)


HEADS = {
    "bert": (Bert, TOKENS, "query", ("query", "key", "value", "output"), 4),
    "own linear layers": (lambda: Bert(OwnLinear), TOKENS, "query", ("query", "key", "value", "output"), 4),
    "grouped query, tied": (Llama, IDS, "q", ("q", "k", "v", "o"), 2),
    "fused query, key and value": (FusedAttention, TOKENS, "qkv", ("qkv", "proj"), 4),
}


@pytest.mark.parametrize("make, inputs, name, members, units", HEADS.values(), ids=HEADS)
def test_which_heads_there_are_and_that_removed_is_masked(make, inputs, name, members, units):
    model = seeded(make)
    (group,), _ = Heads().sorted_out(model, inputs[:1])
    assert (group.name, group.members, group.units) == (name, members, units)
    smaller_as_masked(model, inputs, Heads())


def test_the_numbers_that_a_network_keeps_of_its_sizes_go_down_with_its_units():
    # a third of the units goes: of four heads the second, of three channels too
    assert smaller_as_masked(seeded(FusedAttention), TOKENS, Channels()).heads == 3
    assert smaller_as_masked(seeded(lambda: C2f(split=True)), IMAGES, Channels()).half == 2
    bert = smaller_as_masked(seeded(Bert), TOKENS, Heads())
    assert (bert.heads, bert.size, bert.all_size) == (3, 2, 6)


def test_two_queries_are_pruned_with_the_key_that_they_read():
    found = owned(seeded(Llama), IDS[:1], Channels())["q"]
    assert found["q.weight", 0] == found["o.weight", 1] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert found["k.weight", 0] == found["v.weight", 0] == [[0, 1], [2, 3]]


def test_words_that_are_tied_to_the_output_lose_a_dimension_once():
    found = owned(seeded(Llama), IDS[:1], Channels())["o"]
    rows, columns = ("o", "down", "norm", "last"), ("words", "q", "k", "v", "gate", "up")
    assert set(found) == {*((f"{name}.weight", 0) for name in rows), *((f"{name}.weight", 1) for name in columns)}
    smaller = smaller_as_masked(seeded(Llama), IDS, Channels())
    assert smaller.head.weight is smaller.words.weight and smaller.words.weight.shape == (5, 5)  # 1, 4 and 7 are gone


def test_both_halves_of_a_layer_fall_with_the_shortcut_that_one_of_them_takes():
    for split in (False, True):
        found = owned(seeded(lambda split=split: C2f(split)), IMAGES[:1], Channels())["entry"]
        assert found["entry.weight", 0] == found["norm.weight", 0] == [[0, 3], [1, 4], [2, 5]]
        assert found["inner.weight", 0] == found["inner.weight", 1] == [[0], [1], [2]]
        assert found["last.weight", 1] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_what_a_transposed_convolution_makes_lies_along_its_second_dimension():
    found = owned(seeded(UNet), IMAGES[:1], Channels())
    assert found["low"]["up.weight", 0] == [[channel] for channel in range(6)]
    assert found["up"]["up.weight", 1] == [[channel] for channel in range(5)]
    assert found["up"]["both.weight", 1] == [[4 + channel] for channel in range(5)]


def test_a_learnt_scale_and_norms_with_the_channels_last_fall_with_the_channels():
    found = owned(seeded(ConvNext), IMAGES[:1], Channels())["stem"]
    assert found["scale", 0] == found["first.weight", 0] == found["norm.weight", 0] == [[0], [1], [2], [3]]
    assert found["up.weight", 1] == found["down.weight", 0] == found["head.weight", 1] == [[0], [1], [2], [3]]


def test_a_network_without_units_of_its_auxiliary_head_runs_in_training():
    smaller = smaller_as_masked(seeded(Auxiliary), IMAGES, Channels())
    assert smaller.aux.weight.shape == (4, 3, 1, 1)  # of six 1 and 4 are gone, of the four that they read 1
    output, auxiliary = copy.deepcopy(smaller).train()(IMAGES)
    assert output.shape == auxiliary.shape == (2, 3)


def test_the_values_that_all_heads_read_can_fall_and_queries_and_keys_say_why_not():
    model = seeded(MultiQuery)
    assert owned(model, TOKENS[:1], Channels())["value"]["output.weight", 1] == [[0, 2, 4, 6], [1, 3, 5, 7]]
    _, reasons = Channels().sorted_out(model, TOKENS[:1])
    said = "its units fall only all together, for they meet in bmm: they always stay"
    assert reasons["query"] == reasons["key"] == said
