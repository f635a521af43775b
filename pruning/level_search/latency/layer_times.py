"""How long the layers of a network take, measured in turns with its whole pass and with the dense network's.

A turn is one pass of each, and what counts is the median over the turns of what they took as shares of the dense
network's pass: a machine whose clock drifts, or that is busy for a moment, slows all three alike. On a machine that was
shared with others, what the layers of a network took together was 4 to 10 % away from its whole pass in the worst of
25 networks (20 turns); 9 to 24 % where the fastest passes of the same turns were compared, and 30 to 41 % where all
passes of one kind came before those of the next.
"""

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pruning.evaluation.accuracy import passed_ms
from pruning.model.devices import full_precision, one_thread
from pruning.model.patching import PreHook, evaluating, hooked

WARM_UP, FEWEST, MOST, LONG_S = 3, 20, 100, 0.5
"""Turns before those that count, and how many of these: more than the fewest while there is time."""


@dataclass(frozen=True)
class LayerTimes:
    """Shares of the dense network's pass.

    Attributes:
        layers: Layer -> from its begin to that of the next; "" is what comes before the first.
        whole: A pass without anything that looks on.
        dense_ms: Milliseconds of the dense network's fastest pass.
    """

    layers: dict[str, float]
    whole: float
    dense_ms: float


@torch.no_grad()
def layer_times(model: nn.Module, dense: nn.Module, example: Tensor, layers: Sequence[str]) -> LayerTimes:
    """Time a network beside the dense one.

    Args:
        model: A network that is smaller than the dense one, or as large.
        dense: The dense network.
        example: Inputs [batch, *input] of a pass.
        layers: Names of layers; one that the network has not is left out.
    """
    there = [name for name in layers if name in dict(model.named_modules())]
    turns: list[list[float]] = []
    with evaluating(model), evaluating(dense), full_precision(), one_thread():
        begun = time.perf_counter()
        while len(turns) < WARM_UP + FEWEST or (time.perf_counter() - begun < LONG_S and len(turns) < WARM_UP + MOST):
            plain = [passed_ms(dense, example), passed_ms(model, example)]
            turns.append([*plain, *_layers_ms(model, example, there)])
    took = np.array(turns[WARM_UP:])
    _, whole, *parts = np.median(took / took[:, :1], axis=0).tolist()
    return LayerTimes(dict(zip(["", *there], parts, strict=True)), whole, float(took[:, 0].min()))


def _layers_ms(model: nn.Module, example: Tensor, layers: Sequence[str]) -> list[float]:
    """Milliseconds of a pass before the first layer, then of each one."""
    begun: list[tuple[str, float]] = []

    def note(name: str) -> PreHook:
        def hook(_module: nn.Module, _args: tuple[object, ...], _named: Mapping[str, object]) -> None:
            _wait(example.device)
            begun.append((name, time.perf_counter()))

        return hook

    with hooked([(model.get_submodule(name), note(name)) for name in layers]):
        begun.append(("", time.perf_counter()))
        model(example)
        _wait(example.device)
    begun.append(("", time.perf_counter()))
    took = dict.fromkeys(["", *layers], 0.0)
    for (name, start), (_, end) in itertools.pairwise(begun):
        took[name] += 1000 * (end - start)
    return list(took.values())


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
