"""What the granularities of recurrent layers share."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from pruning.model.layer_table import prunable_weights
from pruning.model.parameter_sharing import why_kept_whole

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}
"""How many gates lie one below the other in each weight matrix, by nn.RNNBase.mode. GRU: r, z, n; LSTM: i, f, g, o."""


class Direction(NamedTuple):
    """One direction of one layer of a recurrent module: the names of its tensors, and of those that read its states.

    Index h of the hidden state is column `offset` + h of every reader (the next layer's weights on the input).
    """

    module: nn.RNNBase
    weights: tuple[str, str]
    biases: tuple[str, ...]
    readers: tuple[str, ...]
    offset: int

    @property
    def gates(self) -> int:
        return GATES[self.module.mode]


def directions(model: nn.Module) -> Iterator[Direction]:
    """Every layer and direction of every recurrent module, once."""
    for name, module in model.named_modules():
        if not isinstance(module, nn.RNNBase):
            continue
        prefix = f"{name}." if name else ""
        suffixes = ("", "_reverse") if module.bidirectional else ("",)
        for layer in range(module.num_layers):
            for number, suffix in enumerate(suffixes):
                end = f"l{layer}{suffix}"
                readers = [f"{prefix}weight_ih_l{layer + 1}{s}" for s in suffixes if layer + 1 < module.num_layers]
                yield Direction(
                    module,
                    (f"{prefix}weight_ih_{end}", f"{prefix}weight_hh_{end}"),
                    (f"{prefix}bias_ih_{end}", f"{prefix}bias_hh_{end}") if module.bias else (),
                    tuple(readers),
                    number * module.hidden_size,
                )


def recurrent_rows(model: nn.Module) -> tuple[dict[str, str], list[Direction], dict[str, str]]:
    """Full name -> row of every prunable weight; the directions whose weights may be pruned; for all other rows why
    not.
    """
    rows = {param: name for name, param, _ in prunable_weights(model)}
    reasons = {
        name: f"{type(module).__name__} has no recurrent units: choose another granularity"
        for name, _, module in prunable_weights(model)
        if not isinstance(module, nn.RNNBase)
    }
    free: list[Direction] = []
    for direction in directions(model):
        if why_not := why_kept_whole(model, direction.module, direction.weights, direction.biases):
            reasons |= {rows[param]: why_not for param in direction.weights if param in rows}
        else:
            free.append(direction)
    return rows, free, reasons
