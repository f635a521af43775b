"""Layers that torch cannot make as small as pruning makes them. This file needs only torch: an export carries it.

Each is its torch class with the same tensors by the same names, and computes from their shapes; an embedding has a
table of its rows besides. A block that is gone has no tensors.
"""

# pyright: reportIncompatibleMethodOverride=false, reportPrivateUsage=false
# torch's own recurrent classes differ from one another in what their forward is said to give; only a module's private
# tables let go of all that it holds

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class NarrowAttention(nn.MultiheadAttention):
    """Attention whose heads are as many as its tensors hold, whatever the width of what goes in and out."""

    @property
    def _qkv_same_embed_dim(self) -> bool:
        """Keeps torch's transformer layers off their fast path, which knows one width only.

        A property, for deepcopy and pickle put a value of torch's into the module.
        """
        return False

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        batched = query.dim() == 3
        if not batched:
            query, key, value = (each.unsqueeze(0 if self.batch_first else 1) for each in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        if not self.batch_first:
            query, key, value = (each.transpose(0, 1) for each in (query, key, value))
        width = self.out_proj.weight.shape[1]
        heads = width // self.head_dim
        if self._parameters["in_proj_weight"] is not None:
            parts = self.in_proj_weight.split(width)
        else:
            parts = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        bias = self._parameters["in_proj_bias"]
        biases = (None, None, None) if bias is None else bias.split(width)
        q, k, v = (F.linear(x, w, b) for x, w, b in zip((query, key, value), parts, biases, strict=True))
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(len(k), 1, width)], dim=1)
            v = torch.cat([v, self.bias_v.expand(len(v), 1, width)], dim=1)
        if self.add_zero_attn:
            k, v = (torch.cat([each, each.new_zeros(len(each), 1, width)], dim=1) for each in (k, v))
        q, k, v = (each.unflatten(-1, (heads, self.head_dim)).transpose(1, 2) for each in (q, k, v))
        mask = self._added_mask(key_padding_mask, attn_mask, q, k)
        if mask is None and is_causal:
            mask = q.new_full((q.shape[2], k.shape[2]), float("-inf")).triu(1)
        scores = q @ k.transpose(-1, -2) / self.head_dim**0.5
        weights = (scores if mask is None else scores + mask).softmax(dim=-1)
        found = F.dropout(weights, self.dropout, self.training) @ v
        output = self.out_proj(found.transpose(1, 2).flatten(2))
        output = output if self.batch_first else output.transpose(0, 1)
        output = output if batched else output.squeeze(0 if self.batch_first else 1)
        if not need_weights:
            return output, None
        weights = weights.mean(dim=1) if average_attn_weights else weights
        return output, weights if batched else weights.squeeze(0)

    def _added_mask(self, padding: Tensor | None, masked: Tensor | None, q: Tensor, k: Tensor) -> Tensor | None:
        """Both masks as numbers to be added to the scores [n, heads, queries, keys]; its own keys are never masked."""
        total: Tensor | None = None
        for mask in (masked, None if padding is None else padding[:, None, None, :]):
            if mask is None:
                continue
            if mask.dtype == torch.bool:
                mask = q.new_zeros(mask.shape).masked_fill(mask, float("-inf"))
            if mask.dim() == 3:  # [n x heads as they were, queries, keys]: the first of each, for all are alike or none
                mask = mask.unflatten(0, (len(q), -1))[:, : q.shape[1]]
            mask = F.pad(mask, (0, k.shape[2] - mask.shape[-1]))
            total = mask if total is None else total + mask
        return total


class _NarrowRecurrent(nn.RNNBase):
    """A recurrent layer each of whose layers and directions has as many hidden units as its tensors hold.

    Where these differ the last states come as a tuple, a tensor [n, units] for each layer and direction.
    """

    def forward(self, input: Any, hx: Any = None) -> Any:
        if isinstance(input, nn.utils.rnn.PackedSequence):
            raise TypeError("packed sequences are not supported once layers differ in their hidden units: pad instead")
        batched = input.dim() == 3
        steps = input if batched else input.unsqueeze(0 if self.batch_first else 1)
        steps = steps.transpose(0, 1) if self.batch_first else steps
        states: list[tuple[Tensor, ...]] = []
        suffixes = ("", "_reverse") if self.bidirectional else ("",)
        for layer in range(self.num_layers):
            found: list[Tensor] = []
            for suffix in suffixes:
                end = f"l{layer}{suffix}"
                begun = self._begun(hx, len(states), steps, end)
                output, last = self._direction(steps.flip(0) if suffix else steps, begun, end)
                found.append(output.flip(0) if suffix else output)
                states.append(last)
            steps = torch.cat(found, dim=-1)
            if layer + 1 < self.num_layers:
                steps = F.dropout(steps, self.dropout, self.training)
        output = steps.transpose(0, 1) if self.batch_first else steps
        output = output if batched else output.squeeze(0 if self.batch_first else 1)
        return output, self._last(states, batched)

    def _begun(self, hx: Any, number: int, steps: Tensor, end: str) -> tuple[Tensor, ...]:
        """The first states of one layer and direction, each [1, n, units]."""
        count = 2 if self.mode == "LSTM" else 1
        if hx is None:
            units = getattr(self, f"weight_hh_{end}").shape[1]
            return tuple(steps.new_zeros(1, steps.shape[1], units) for _ in range(count))
        given = hx if self.mode == "LSTM" else (hx,)
        return tuple(each[number].reshape(1, steps.shape[1], -1) for each in given)

    def _direction(self, steps: Tensor, begun: tuple[Tensor, ...], end: str) -> tuple[Tensor, tuple[Tensor, ...]]:
        names = ["weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if self.bias else ())]
        tensors = [getattr(self, f"{name}_{end}") for name in names]
        functions: dict[str, Any] = {
            "LSTM": torch.lstm,
            "GRU": torch.gru,
            "RNN_TANH": torch.rnn_tanh,
            "RNN_RELU": torch.rnn_relu,
        }
        state = begun if self.mode == "LSTM" else begun[0]
        output, *last = functions[self.mode](steps, state, tensors, self.bias, 1, 0.0, self.training, False, False)
        return output, tuple(last)

    def _last(self, states: list[tuple[Tensor, ...]], batched: bool) -> Any:
        found: list[Any] = []
        for each in zip(*states, strict=True):
            alike = len({state.shape for state in each}) == 1
            of_all = torch.cat(each) if alike else tuple(state.squeeze(0) for state in each)
            found.append(of_all.squeeze(1) if isinstance(of_all, Tensor) and not batched else of_all)
        return tuple(found) if self.mode == "LSTM" else found[0]

    def extra_repr(self) -> str:
        ends = [
            f"l{layer}{end}" for layer in range(self.num_layers) for end in ("", "_reverse")[: 1 + self.bidirectional]
        ]
        units = [str(getattr(self, f"weight_hh_{end}").shape[1]) for end in ends]
        return f"{self.input_size}, units={', '.join(units)}"

    def flatten_parameters(self) -> None:
        """There is no one block of memory for layers that differ."""


class NarrowLSTM(_NarrowRecurrent, nn.LSTM):
    """An LSTM whose layers and directions may differ in their hidden units."""


class NarrowGRU(_NarrowRecurrent, nn.GRU):
    """A GRU whose layers and directions may differ in their hidden units."""


class NarrowRNN(_NarrowRecurrent, nn.RNN):
    """An Elman network whose layers and directions may differ in their hidden units."""


class NarrowEmbedding(nn.Embedding):
    """An embedding without the vectors of some words, which are zero. Words keep their numbers.

    `row_of` is int32 [words]: the row of the weight that holds a word's vector, -1 where it has none.
    """

    row_of: Tensor

    def forward(self, input: Tensor) -> Tensor:
        # not row_of[input]: a negative number of a word would count from the end
        rows = self.row_of.index_select(0, input.reshape(-1)).reshape(input.shape)
        vectors = F.embedding(rows.clamp(min=0), self.weight, sparse=self.sparse)
        vectors = vectors.masked_fill((rows < 0).unsqueeze(-1), 0.0)
        if self.padding_idx is None:
            return vectors
        return torch.where((input == self.padding_idx).unsqueeze(-1), vectors.detach(), vectors)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, rows={len(self.weight)}"


class Skipped(nn.Module):
    """A block that was taken out: it gives the first tensor that goes in."""

    outputs: ClassVar[int] = 0
    """How many outputs the block gave in a tuple, of which the others are None now. 0: the tensor alone."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        stream = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        return (stream, *[None] * (self.outputs - 1)) if self.outputs else stream


class SkippedOfOne(Skipped):
    """A block that was taken out, and that gave its output in a tuple."""

    outputs = 1


class SkippedOfTwo(Skipped):
    """A block that was taken out, and that gave another output besides."""

    outputs = 2


class SkippedOfThree(Skipped):
    """A block that was taken out, and that gave two other outputs besides."""

    outputs = 3


SKIPPED: tuple[type[Skipped], ...] = (Skipped, SkippedOfOne, SkippedOfTwo, SkippedOfThree)

NARROW: dict[type[nn.Module], type[nn.Module]] = {
    nn.MultiheadAttention: NarrowAttention,
    nn.LSTM: NarrowLSTM,
    nn.GRU: NarrowGRU,
    nn.RNN: NarrowRNN,
}
"""torch's class -> the class that its modules become once they are narrower than it can be."""

CLASSES: dict[str, type[nn.Module]] = {each.__name__: each for each in (*NARROW.values(), NarrowEmbedding, *SKIPPED)}
"""All classes of this file, by the names that a file of tensors calls them by."""


def become(module: nn.Module, name: str) -> None:
    """Make the module one of that class, in place: whoever holds it goes on holding it.

    An embedding has the table of all its rows then. A block that is taken out loses its modules, parameters and
    buffers; what else it says of itself stays, for a network may ask it.
    """
    module.__class__ = CLASSES[name]
    if isinstance(module, NarrowEmbedding):
        rows = torch.arange(module.num_embeddings, dtype=torch.int32, device=module.weight.device)
        module.register_buffer("row_of", rows)
    elif isinstance(module, Skipped):
        for held in (module._modules, module._parameters, module._buffers):
            held.clear()
