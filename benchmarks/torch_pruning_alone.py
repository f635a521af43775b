"""What torch-pruning leaves of a network by its own means, as its documentation uses it."""

import copy
import signal
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

PATIENCE_S = 60
QUERIES = ("query", "key", "value", "q_proj", "k_proj", "v_proj", "qkv", "q_lin", "k_lin", "v_lin")
HEADS = ("num_attention_heads", "num_heads", "n_heads")


class TooSlow(BaseException):
    """No Exception: torch-pruning catches those."""


def parameters_left(model: nn.Module, example: Tensor, share: float) -> int | str:
    """How many parameters are left without this share of the channels of every layer.

    Args:
        model: It stays as it is.
        example: One input [1, *input]; the output is [1, classes].
        share: In [0, 1].

    Returns:
        Their number; the name of the error where cutting or the network afterwards fails.
    """
    copied = copy.deepcopy(model).eval()
    with torch.no_grad():
        shape = model(example).shape
    try:
        with _patience(PATIENCE_S), torch.enable_grad():
            _prune(copied, example, share, shape[-1])
        with torch.no_grad():
            after = copied(example).shape
    except TooSlow:
        return f"more than {PATIENCE_S} s"
    except Exception as error:  # whatever a library raises on a stranger's network
        return type(error).__name__
    return sum(parameter.numel() for parameter in copied.parameters()) if after == shape else "another output"


def _prune(model: nn.Module, example: Tensor, share: float, classes: int) -> None:
    """Magnitudes of groups, each layer loses the share, the last layer stays; heads lose the same share of each."""
    torch_pruning: Any = import_module("torch_pruning")
    outputs = [
        layer
        for layer in model.modules()
        if classes in (getattr(layer, "out_features", 0), getattr(layer, "out_channels", 0))
    ]
    heads = {
        layer: count
        for module in model.modules()
        if (count := _heads(module))
        for name, layer in module.named_children()
        if name in QUERIES and isinstance(layer, nn.Linear)
    }
    torch_pruning.pruner.BasePruner(
        model,
        example,
        importance=torch_pruning.importance.GroupMagnitudeImportance(),
        pruning_ratio=share,
        ignored_layers=outputs[-1:],
        num_heads=heads,
        # its defaults are objects that all calls share
        **{name: {} for name in ("in_channel_groups", "out_channel_groups", "channel_groups")},
    ).step()


def _heads(module: nn.Module) -> int:
    return next((count for name in HEADS if type(count := getattr(module, name, None)) is int), 0)


@contextmanager
def _patience(seconds: int) -> Generator[None]:
    def stop(*_: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
