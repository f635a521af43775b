"""Attention layers, torch's own and those that follow common habits: where their heads lie in the weights."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pruning.granularities.probing import RecordedCall, calls_of, output_with
from pruning.model.units import Slice, UnitGroup

# how modules of one's own name what attention is made of; a new habit is a new word here
HEADS = ("num_heads", "n_heads", "n_head", "heads", "nhead", "num_attention_heads")
FUSED = ("qkv", "to_qkv", "qkv_proj", "proj_qkv", "in_proj", "c_attn", "Wqkv")
SEPARATE = (
    *(("q", "k", "v"), ("query", "key", "value"), ("queries", "keys", "values")),
    *(("q_proj", "k_proj", "v_proj"), ("query_proj", "key_proj", "value_proj"), ("proj_q", "proj_k", "proj_v")),
    *(("to_q", "to_k", "to_v"), ("wq", "wk", "wv"), ("w_q", "w_k", "w_v"), ("W_q", "W_k", "W_v")),
    *(("q_lin", "k_lin", "v_lin"), ("q_linear", "k_linear", "v_linear"), ("linear_q", "linear_k", "linear_v")),
)
OUTPUT = (
    "out_proj",
    "proj",
    "o_proj",
    "to_out",
    "out",
    "c_proj",
    "wo",
    "w_o",
    "W_o",
    "out_lin",
    "linear_out",
    "output",
)


class Attention(NamedTuple):
    """Where the heads of one attention layer lie: each slice has the indices of every head [heads, width].

    `rows` make the heads' queries, keys and values, `columns` read what the heads found; `biases` go with the rows.
    """

    heads: int
    rows: tuple[Slice, ...]
    biases: tuple[Slice, ...]
    columns: tuple[Slice, ...]

    @property
    def weights(self) -> tuple[Slice, ...]:
        return self.rows + self.columns

    def group(self, rows: dict[str, str]) -> UnitGroup:
        """Named after the first of its weights in the model's order; `rows` are all prunable weights' names."""
        params = {piece.param for piece in self.weights}
        members = tuple(name for param, name in rows.items() if param in params)
        return UnitGroup(members[0], members, (self.heads,), self.weights, self.biases)


def attention_of(name: str, module: nn.Module) -> tuple[Attention | str, list[str]]:
    """The attention layer that a module is, or a sentence why its heads cannot be pruned; and the weights it is made
    of.

    There are none where the module is no attention.
    """
    prefix = f"{name}." if name else ""
    if isinstance(module, nn.MultiheadAttention):
        return _of_torch(prefix, module)
    heads = next((value for word in HEADS if type(value := getattr(module, word, None)) is int), 0)
    linear = {child: _linear(child, part) for child, part in module.named_children()}
    fused = next((word for word in FUSED if linear.get(word)), "")
    separate = next((words for words in SEPARATE if all(linear.get(word) for word in words)), ())
    output = next((word for word in OUTPUT if linear.get(word)), "")
    inputs = (fused,) if fused else separate
    if heads < 1 or not inputs:
        return "", []
    parts = [found for word in (*inputs, output) if (found := linear.get(word))]
    involved = [f"{prefix}{path}.weight" for path, _ in parts]
    if not output:
        known = ", ".join(OUTPUT[:4])
        return f"{name} has no output projection by a name that is known ({known} ...): choose weights", involved
    inner = parts[-1][1].in_features
    wanted = 3 * inner if fused else inner
    if inner % heads or any(part.out_features != wanted for _, part in parts[:-1]):
        return (
            f"the {heads} heads of {name} do not divide its weights evenly, as where heads share keys "
            "(grouped-query attention): choose weights",
            involved,
        )
    index = _indices(heads, inner, 3 if fused else 1)
    made = [(f"{prefix}{path}", part) for path, part in parts]
    return (
        Attention(
            heads,
            tuple(Slice(f"{path}.weight", 0, index) for path, _ in made[:-1]),
            tuple(
                Slice(f"{path}.bias", 0, index) for path, part in made[:-1] if "bias" in dict(part.named_parameters())
            ),
            (Slice(f"{made[-1][0]}.weight", 1, _indices(heads, inner)),),
        ),
        involved,
    )


def _of_torch(prefix: str, module: nn.MultiheadAttention) -> tuple[Attention, list[str]]:
    width, heads = module.embed_dim, module.num_heads
    fused, single = _indices(heads, width, 3), _indices(heads, width)
    own = {name for name, _ in module.named_parameters(recurse=False)}
    rows = [("in_proj_weight", fused), *((f"{part}_proj_weight", single) for part in "qkv")]
    made = Attention(
        heads,
        tuple(Slice(prefix + name, 0, index) for name, index in rows if name in own),
        (
            *(Slice(f"{prefix}in_proj_bias", 0, fused) for _ in own & {"in_proj_bias"}),
            *(Slice(prefix + name, 2, single) for name in ("bias_k", "bias_v") if name in own),
        ),
        (Slice(f"{prefix}out_proj.weight", 1, single),),
    )
    return made, [piece.param for piece in made.weights]


def _indices(heads: int, width: int, parts: int = 1) -> Tensor:
    """What each head owns of `parts` times `width` numbers, each part cut into heads: int64 [heads, width]."""
    return torch.arange(parts * width).reshape(parts, heads, -1).transpose(0, 1).reshape(heads, -1)


def _linear(name: str, module: nn.Module) -> tuple[str, nn.Linear] | None:
    """The Linear that a child is, or that stands first in it (before a Dropout), with its path."""
    if isinstance(module, nn.Sequential) and len(module):
        inner = _linear("0", module[0])
        return inner and (f"{name}.{inner[0]}", inner[1])
    return (name, module) if isinstance(module, nn.Linear) else None


def belong_together(model: nn.Module, example: Tensor, name: str, attention: Attention) -> bool:
    """Whether a head without its rows is a head without its columns, tried on what the module sees of the example.

    Only then are its rows and columns those of one head, and no other head looks at them.
    """
    module, prefix = model.get_submodule(name), f"{name}." if name else ""
    calls = calls_of(model, example, [name])[name]

    def change(pieces: Sequence[Slice], head: int, call: RecordedCall) -> Tensor | None:
        tensors: dict[str, Tensor] = {}
        for piece in pieces:
            parameter = model.get_parameter(piece.param).detach()
            pruned = piece.owners(parameter.shape).to(parameter.device) == head
            tensors[piece.param.removeprefix(prefix)] = parameter.masked_fill(pruned, 0.0)
        output = output_with(module, tensors, call)
        return None if output is None or call.output is None else output - call.output

    def same(rows: Tensor | None, columns: Tensor | None, call: RecordedCall) -> bool:
        if rows is None or columns is None or call.output is None:
            return False
        rounding = 8 * torch.finfo(call.output.dtype).eps * call.output.abs().max()
        return bool((rows - columns).abs().max() <= 0.01 * columns.abs().max() + rounding)

    return bool(calls) and all(
        same(change(attention.rows + attention.biases, head, call), change(attention.columns, head, call), call)
        for call in calls
        for head in range(attention.heads)
    )
