import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning.granularities import Heads
from pruning.model.units import apply_masks, masks_of
from tests.networks import seeded

WIDTH, HEADS = 6, 3
TOKENS = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(0))


class Torch(nn.Module):
    """torch's attention inside a network; `options` are its own."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.attn, self.head = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **options), nn.Linear(WIDTH, 2)
        for parameter in self.attn.parameters():
            nn.init.normal_(parameter)  # its own biases start at zero

    def forward(self, tokens: Tensor) -> Tensor:
        width = self.attn.kdim
        return self.head(self.attn(tokens, tokens[..., :width], tokens[..., : self.attn.vdim])[0].mean(dim=1))


class Separate(nn.Module):
    """Query, key and value as in BERT, one head after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.num_attention_heads = HEADS
        self.query, self.key, self.value = (nn.Linear(WIDTH, 12) for _ in range(3))
        self.to_out = nn.Sequential(nn.Linear(12, WIDTH), nn.Dropout(0.5))

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> tuple[Tensor, None]:
        q, k, v = (
            layer(given).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer, given in ((self.query, tokens), (self.key, tokens), (self.value, tokens))
        )
        found = F.scaled_dot_product_attention(q, k, v)
        return self.to_out(found.transpose(1, 2).flatten(2)), None


class Fused(nn.Module):
    """One layer for all three: `order` says how its rows are read."""

    def __init__(self, order: str = "parts first") -> None:
        super().__init__()
        self.heads, self.order = HEADS, order
        self.to_qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        rows = self.to_qkv(tokens)
        if self.order == "parts first":
            q, k, v = rows.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        elif self.order == "heads first":
            q, k, v = rows.unflatten(-1, (HEADS, 3, -1)).permute(3, 0, 2, 1, 4)
        elif self.order == "values first":
            v, k, q = rows.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        else:  # the numbers of a head lie apart
            q, k, v = rows.unflatten(-1, (3, -1, HEADS)).permute(2, 0, 4, 1, 3)
        found = (q @ k.transpose(-2, -1) / math.sqrt(2)).softmax(dim=-1) @ v
        if self.order == "columns apart":  # rows and columns both: no head is a stretch of either
            return self.proj(found.permute(0, 2, 3, 1).flatten(2))
        return self.proj(found.transpose(1, 2).flatten(2))


class Shared(nn.Module):
    """Grouped-query attention: two key heads for four query heads."""

    def __init__(self) -> None:
        super().__init__()
        self.n_heads = 4
        self.q_proj, self.k_proj, self.v_proj = nn.Linear(WIDTH, 8), nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 4)
        self.o_proj = nn.Linear(8, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        q = self.q_proj(tokens).unflatten(-1, (4, 2)).transpose(1, 2)
        k, v = (
            part.unflatten(-1, (2, 2)).transpose(1, 2).repeat_interleave(2, 1)
            for part in (self.k_proj(tokens), self.v_proj(tokens))
        )
        return self.o_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def around(make) -> nn.Module:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn, self.head = make(), nn.Linear(WIDTH, 2)

        def forward(self, tokens: Tensor) -> Tensor:
            found = self.attn(tokens)
            return self.head((found[0] if isinstance(found, tuple) else found).mean(dim=1))

    return seeded(Around)


def masked(model: nn.Module, head: int) -> nn.Module:
    groups, _ = Heads().sorted_out(model, TOKENS[:1])
    copied = copy.deepcopy(model)
    apply_masks(copied, masks_of(groups, {groups[0].name: torch.arange(groups[0].units) != head}, copied))
    return copied


def by_hand(q: Tensor, k: Tensor, v: Tensor, output: nn.Linear, without: int) -> Tensor:
    """Attention over q, k, v [b, t, heads * width] with the sum over all heads but one, written out."""
    total = output.bias.expand(*q.shape[:2], -1)
    for head, columns in enumerate(output.weight.split(q.shape[-1] // HEADS, dim=1)):
        own = [part.split(q.shape[-1] // HEADS, dim=2)[head] for part in (q, k, v)]
        weights = (own[0] @ own[1].transpose(1, 2) / math.sqrt(columns.shape[1])).softmax(dim=-1)
        total = total + (weights @ own[2] @ columns.T if head != without else 0.0)
    return total


@pytest.mark.parametrize("head", range(HEADS))
@torch.no_grad()
def test_masking_a_head_of_torchs_attention_computes_attention_without_it(head):
    model = seeded(Torch)
    attn = model.attn
    q, k, v = F.linear(TOKENS, attn.in_proj_weight, attn.in_proj_bias).chunk(3, dim=-1)
    expected = by_hand(q, k, v, attn.out_proj, without=head)
    fewer = masked(model, head).attn
    assert torch.allclose(fewer(TOKENS, TOKENS, TOKENS)[0], expected, atol=1e-5)
    assert not torch.allclose(attn(TOKENS, TOKENS, TOKENS)[0], expected, atol=1e-2)


@pytest.mark.parametrize("make", [Separate, Fused], ids=["separate", "fused"])
@pytest.mark.parametrize("head", range(HEADS))
@torch.no_grad()
def test_masking_a_head_of_ones_own_attention_computes_attention_without_it(make, head):
    model = around(make)
    attn = model.attn
    parts = (attn.query(TOKENS), attn.key(TOKENS), attn.value(TOKENS)) if make is Separate else None
    q, k, v = parts or attn.to_qkv(TOKENS).chunk(3, dim=-1)
    output = attn.to_out[0] if make is Separate else attn.proj
    found = masked(model, head).attn(TOKENS)
    assert torch.allclose(found[0] if make is Separate else found, by_hand(q, k, v, output, without=head), atol=1e-5)


def test_what_a_head_owns_written_out():
    (group,), reasons = Heads().sorted_out(seeded(Torch), TOKENS[:1])
    assert (group.name, group.members) == ("attn.in_proj_weight", ("attn.in_proj_weight", "attn.out_proj"))
    assert group.layout == (HEADS,)
    # head 1 of three, two wide: numbers 2 and 3 of queries, keys (from 6) and values (from 12)
    assert {(piece.param, piece.dim): piece.index[1].tolist() for piece in group.pieces} == {
        ("attn.in_proj_weight", 0): [2, 3, 8, 9, 14, 15],
        ("attn.out_proj.weight", 1): [2, 3],
        ("attn.in_proj_bias", 0): [2, 3, 8, 9, 14, 15],
    }
    assert reasons == {"head": "Linear makes no heads of attention: choose another granularity"}


@pytest.mark.parametrize(
    "options",
    [{"kdim": 4, "vdim": 5}, {"add_bias_kv": True}, {"bias": False}, {"kdim": 4, "vdim": 4, "add_bias_kv": True}],
    ids=["other widths", "bias for keys", "bare", "both"],
)
@torch.no_grad()
def test_every_way_to_build_torchs_attention(options):
    model = seeded(lambda: Torch(**options))
    (group,), _ = Heads().sorted_out(model, TOKENS[:1])
    own = {f"attn.{name}" for name, _ in model.attn.named_parameters()} - {"attn.out_proj.bias"}
    assert {piece.param for piece in group.pieces} == own
    # the head adds nothing: without its rows its columns make no difference, and the other way round
    for dropped in (lambda piece: piece.dim == 1, lambda piece: piece.dim != 1):
        part, whole = copy.deepcopy(model), masked(model, 1)
        kept = [piece for piece in group.pieces if dropped(piece)]
        half = type(group)(group.name, group.members, group.layout, tuple(kept))
        apply_masks(part, masks_of([half], {group.name: torch.arange(HEADS) != 1}, part))
        assert torch.allclose(part(TOKENS), whole(TOKENS), atol=1e-6)
    assert not torch.allclose(model(TOKENS), masked(model, 1)(TOKENS), atol=1e-3)


@pytest.mark.parametrize(
    "order, rows, columns",
    [
        ("parts first", [2, 3, 8, 9, 14, 15], [2, 3]),
        ("heads first", [6, 7, 8, 9, 10, 11], [2, 3]),
        ("rows apart", [1, 4, 7, 10, 13, 16], [2, 3]),
        ("columns apart", [1, 4, 7, 10, 13, 16], [1, 4]),
    ],
)
@torch.no_grad()
def test_heads_are_found_however_they_lie(order, rows, columns):
    model = around(lambda: Fused(order))
    (group,), _ = Heads().sorted_out(model, TOKENS[:1])
    assert group.layout == (HEADS,) and group.attends == ("attn",)
    assert {(piece.param, piece.dim): piece.index[1].tolist() for piece in group.pieces} == {
        ("attn.to_qkv.weight", 0): rows,
        ("attn.to_qkv.bias", 0): rows,
        ("attn.proj.weight", 1): columns,
    }
    # without the head's rows its columns make no difference: they are all that it has
    part = copy.deepcopy(model)
    part.attn.to_qkv.weight[rows], part.attn.to_qkv.bias[rows] = 0.0, 0.0
    assert torch.allclose(part(TOKENS), masked(model, 1)(TOKENS), atol=1e-6)
    assert not torch.allclose(model(TOKENS), part(TOKENS), atol=1e-3)


def test_which_of_queries_keys_and_values_comes_first_makes_no_difference():
    model = around(lambda: Fused("values first"))
    with torch.no_grad():
        v, k, q = model.attn.to_qkv(TOKENS).chunk(3, dim=-1)
        expected = by_hand(q, k, v, model.attn.proj, without=1)
        assert torch.allclose(masked(model, 1).attn(TOKENS), expected, atol=1e-5)


def test_heads_that_share_a_key_are_pruned_with_it():
    (group,), _ = Heads().sorted_out(around(Shared), TOKENS[:1])
    assert group.members == tuple(f"attn.{name}_proj" for name in "qkvo") and group.units == 2
    # the second key is read by the third and the fourth head, two wide
    queries, keys = [4, 5, 6, 7], [2, 3]
    assert {(piece.param, piece.dim): piece.index[1].tolist() for piece in group.pieces} == {
        **dict.fromkeys([("attn.q_proj.weight", 0), ("attn.q_proj.bias", 0), ("attn.o_proj.weight", 1)], queries),
        **{(f"attn.{name}_proj.{tensor}", 0): keys for name in "kv" for tensor in ("weight", "bias")},
    }


def test_heads_whose_number_is_written_into_the_code_cannot_be_removed_and_say_why():
    (group,), _ = Heads().sorted_out(around(Shared), TOKENS[:1])
    assert group.fixed == (
        "the network does not run without some of its units (RuntimeError: unflatten: Provided sizes [4, 2] don't "
        "multiply up to the size of dim 2 (4) in the input tensor): they are set to zero"
    )


def test_layers_that_attend_to_nothing_have_no_heads():
    class NoQuestions(Separate):
        def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
            return self.to_out(self.value(tokens))

    groups, reasons = Heads().sorted_out(around(NoQuestions), TOKENS[:1])
    assert groups == []
    assert set(reasons.values()) == {"Linear makes no heads of attention: choose another granularity"}
    assert reasons.keys() == {"attn.query", "attn.key", "attn.value", "attn.to_out.0", "head"}


def test_a_frozen_output_loses_columns_that_it_does_not_rank_by_and_a_frozen_query_keeps_the_heads():
    model = seeded(Torch)
    model.attn.out_proj.weight.requires_grad_(False)
    (group,), _ = Heads().sorted_out(model, TOKENS[:1])
    assert group.params == ("attn.in_proj_weight",)
    assert [piece.param for piece in group.follows] == ["attn.in_proj_bias", "attn.out_proj.weight"]

    model = around(Separate)
    model.attn.query.weight.requires_grad_(False)
    groups, reasons = Heads().sorted_out(model, TOKENS[:1])
    assert groups == []
    assert reasons["attn.key"] == (
        "its units are pruned together with those of attn.query, which is frozen: set requires_grad to True there"
    )


def test_a_weight_that_is_query_and_key_at_once_is_one_tensor():
    model = around(Separate)
    model.attn.key.weight = model.attn.query.weight
    (group,), _ = Heads().sorted_out(model, TOKENS[:1])
    assert group.params == tuple(f"attn.{name}.weight" for name in ("query", "value", "to_out.0"))
    assert [piece.param for piece in group.follows] == [f"attn.{name}.bias" for name in ("query", "key", "value")]


class TwoSeparate(nn.Module):
    """Two attentions in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = Separate(), Separate(), nn.Linear(WIDTH, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.b(self.a(tokens)[0])[0].mean(dim=1))


SHARED = {
    "a module": lambda model: setattr(model.b, "value", model.a.value),
    "a bias": lambda model: setattr(model.b.query, "bias", model.a.query.bias),
}


@pytest.mark.parametrize("share", SHARED.values(), ids=SHARED)
@torch.no_grad()
def test_attentions_that_share_a_tensor_lose_the_same_head(share):
    model = seeded(TwoSeparate)
    assert len(Heads().sorted_out(model, TOKENS[:1])[0]) == 2
    share(model)
    (group,), _ = Heads().sorted_out(model, TOKENS[:1])
    assert {member[:2] for member in group.members} == {"a.", "b."} and group.units == HEADS
    fewer, tokens = masked(model, 1), TOKENS
    for attn in (model.a, model.b):
        tokens = by_hand(attn.query(tokens), attn.key(tokens), attn.value(tokens), attn.to_out[0], without=1)
    assert torch.allclose(fewer(TOKENS), model.head(tokens.mean(dim=1)), atol=1e-5)


@torch.no_grad()
def test_attention_that_is_called_in_two_places_loses_a_head_in_both():
    model = seeded(TwoSeparate)
    model.b = model.a
    (group,), _ = Heads().sorted_out(model, TOKENS[:1])
    assert group.name == "a.query"
    fewer = masked(model, 1)

    def attended(tokens: Tensor) -> Tensor:
        q, k, v = model.a.query(tokens), model.a.key(tokens), model.a.value(tokens)
        return by_hand(q, k, v, model.a.to_out[0], without=1)

    expected = model.head(attended(attended(TOKENS)).mean(dim=1))
    assert torch.allclose(fewer(TOKENS), expected, atol=1e-5)
