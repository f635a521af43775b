"""Walking through a cut network layer by layer, each seeing what the mended layers before it give.

One pass of the dense network notes what every layer should give at some places. Then one pass of the cut network stops
before each layer, mends it, and goes on with what it gives then: no layer is computed twice.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning.model.layer_types import has_channels, is_convolution
from pruning.model.parameter_sharing import shared_parameters
from pruning.model.patching import Hook, PreHook, evaluating, hooked
from pruning.repair.patches import patches_at
from pruning.repair.repair import Cut

ROWS = 30_000
"""Places of a layer's output that are looked at, over all samples."""
BATCH = 128
"""Samples in a pass of the dense network."""
TWICE = "it is called several times in one pass: it stays as it is"
NEVER = "the network never calls it, but reads its weight by itself: it stays as it is"
FROZEN = "it is frozen: it stays as it is"
SHARED = "it shares its weight with another layer: it stays as it is"
PADDED = "only padding with zeros is known: it stays as it is"


@dataclass(frozen=True, eq=False)
class Sight:
    """What a layer reads in the cut network, and what it gave in the dense one, at the same places.

    Attributes:
        name: The layer.
        inputs: float32 [groups, rows, in / groups x kernel], one group where it is no convolution in groups.
        before: The same in the dense network, if it was asked for.
        outputs: float32 [groups, rows, out / groups].
    """

    name: str
    inputs: Tensor
    before: Tensor | None
    outputs: Tensor


@torch.no_grad()
def walk(cut: Cut, inputs: Tensor, seed: int, mend: Callable[[Sight], str], and_before: bool = False) -> dict[str, str]:
    """Call `mend` for each Linear and convolution in the order in which they compute; it changes the layer in place.

    Layers that compute before anything differs from the dense network give what they gave: they are not looked at.
    `and_before` says whether `mend` also wants to see what layers read in the dense network.

    Returns:
        Layer name -> why it was left as it is, as `mend` or this walk says.
    """
    layers = {name: module for name, module in cut.model.named_modules() if has_channels(module)}
    places = {name: _Places(name, seed, len(inputs)) for name in layers}
    left = {name: PADDED for name, layer in layers.items() if getattr(layer, "padding_mode", "zeros") != "zeros"}
    shared = shared_parameters(cut.model)
    left |= {name: SHARED for name in layers if f"{name}.weight" in shared}
    left |= {name: FROZEN for name, layer in layers.items() if not layer.weight.requires_grad}
    targets = _targets(cut.dense, {name: places[name] for name in layers if name not in left}, inputs, and_before)
    left = {name: TWICE if found == 2 else NEVER for name, found in targets.calls.items() if found != 1} | left
    cuts = _Difference(cut, inputs)

    def before(name: str) -> PreHook:
        def hook(module: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
            if not cuts.reached:
                return
            values = args[0] if args else next(iter(named.values()))
            seen = places[name].read(module, values, 0)
            if why_not := mend(Sight(name, seen, targets.inputs.pop(name, None), targets.outputs.pop(name))):
                left[name] = why_not

        return hook

    # the first cut layer is mended too: what says that it is reached comes first
    hooks = [*cuts.hooks(), *((layers[name], before(name)) for name in layers if name not in left)]
    with evaluating(cut.model), hooked(hooks):
        cut.model(inputs)
    return left


class _Difference:
    """Where in a pass the cut network begins to differ from the dense one: at the first module with other values."""

    def __init__(self, cut: Cut, inputs: Tensor) -> None:
        self._modules = [module for name, module in cut.model.named_modules() if _differs(cut, name, module)]
        called = set[nn.Module]()

        def note(module: nn.Module, _args: tuple[Tensor, ...], _named: dict[str, Tensor]) -> None:
            called.add(module)

        with evaluating(cut.model), hooked([(module, note) for module in self._modules]):
            cut.model(inputs[:1])
        # a module that is not called has its values read by another, nobody knows by which
        self.reached = len(called) < len(self._modules)

    def hooks(self) -> list[tuple[nn.Module, PreHook]]:
        def reach(_module: nn.Module, _args: tuple[Tensor, ...], _named: dict[str, Tensor]) -> None:
            self.reached = True

        return [(module, reach) for module in self._modules]


def _differs(cut: Cut, name: str, module: nn.Module) -> bool:
    """Whether the module holds other values than the dense network's."""
    dense = cut.dense.get_submodule(name)
    own = [each for each, _ in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))]
    if has_channels(module):
        own.append("weight")  # which may be made of parameters of another module
    return any(not torch.equal(getattr(module, each), getattr(dense, each)) for each in own)


class _Places:
    """Where a layer's outputs are looked at: some positions of every sample, by lot, the same in both networks."""

    def __init__(self, name: str, seed: int, samples: int) -> None:
        self._lots = torch.Generator().manual_seed(seed + zlib.crc32(name.encode()))
        self._samples = samples
        self._chosen: Tensor | None = None

    def chosen(self, positions: int) -> Tensor:
        """Positions of each sample [samples, few], numbered as the output's positions are."""
        if self._chosen is None:
            few = max(1, min(positions, ROWS // self._samples))
            if few == positions:
                self._chosen = torch.arange(positions).expand(self._samples, -1)
            else:
                self._chosen = torch.rand(self._samples, positions, generator=self._lots).topk(few, dim=1).indices
        return self._chosen

    def written(self, layer: nn.Module, output: Tensor, first: int) -> Tensor:
        """Of an output of samples from `first` on: [samples, few, out]."""
        last = output.flatten(2).transpose(1, 2) if is_convolution(layer) else output
        flat = last.reshape(len(last), -1, last.shape[-1])
        chosen = self.chosen(flat.shape[1])[first : first + len(output)].to(output.device)
        return flat.gather(1, chosen[:, :, None].expand(-1, -1, flat.shape[2]))

    def read(self, layer: nn.Module, values: Tensor, first: int) -> Tensor:
        """What the layer reads there, of inputs of samples from `first` on: [groups, rows, in / groups x kernel]."""
        assert self._chosen is not None  # what a layer gave in the dense network is looked at before
        chosen = self._chosen[first : first + len(values)].to(values.device)
        if is_convolution(layer):
            return patches_at(layer, values, chosen)
        flat = values.reshape(len(values), -1, values.shape[-1])
        return flat.gather(1, chosen[:, :, None].expand(-1, -1, flat.shape[2])).flatten(0, 1)[None]


@dataclass(eq=False)
class _Targets:
    """Layer -> what it gave [groups, rows, out / groups], and in how many calls a pass (2: several)."""

    outputs: dict[str, Tensor]
    inputs: dict[str, Tensor]
    calls: dict[str, int]


def _targets(dense: nn.Module, places: dict[str, _Places], inputs: Tensor, and_before: bool) -> _Targets:
    modules = {name: dense.get_submodule(name) for name in places}
    found: dict[str, list[Tensor]] = {name: [] for name in places}
    reads: dict[str, list[Tensor]] = {name: [] for name in places}
    calls = dict.fromkeys(places, 0)
    first = 0

    def after(name: str) -> Hook:
        def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            calls[name] += 1
            if calls[name] == 1:
                found[name].append(places[name].written(module, output, first))
                if and_before and args:
                    reads[name].append(places[name].read(module, args[0], first))

        return hook

    several = set[str]()
    with evaluating(dense), hooked(after=[(modules[name], after(name)) for name in modules]):
        for batch in inputs.split(BATCH):
            for name in calls:
                calls[name] = 0
            dense(batch)
            several |= {name for name, count in calls.items() if count > 1}
            first += len(batch)
    outputs: dict[str, Tensor] = {}
    for name, parts in found.items():
        if parts:
            groups: int = getattr(modules[name], "groups", 1)
            rows = torch.cat(parts).flatten(0, 1)
            outputs[name] = rows.reshape(len(rows), groups, -1).transpose(0, 1)
    seen = {name: torch.cat(parts, dim=1) for name, parts in reads.items() if parts}
    return _Targets(outputs, seen, {name: 2 if name in several else int(name in outputs) for name in places})


def samples_that_fit(model: nn.Module, example: Tensor, most: int, memory: int = 2**30) -> int:
    """How many samples at a time leave a pass, and what is kept of it, within so many bytes."""
    largest = 0

    def look(_module: nn.Module, _args: tuple[object, ...], output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel() * output.element_size())

    with torch.no_grad(), evaluating(model), hooked(after=[(module, look) for module in model.modules()]):
        model(example)
    return max(1, min(most, memory // max(1, 8 * largest)))


def matrices(layer: Any, values: Tensor) -> Tensor:
    """A weight as [groups, out / groups, in / groups x kernel]."""
    groups: int = getattr(layer, "groups", 1)
    return values.reshape(groups, len(values) // groups, math.prod(values.shape[1:]))


def precise(values: Tensor) -> Tensor:
    """The values in float64; on the CPU where the device has no float64 (Apple's)."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


def biases(layer: Any, values: Tensor) -> Tensor:
    """A bias as [groups, out / groups]."""
    return values.reshape(getattr(layer, "groups", 1), -1)


def chunks(total: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `total`."""
    for start in range(0, total, max(1, size)):
        yield slice(start, min(total, start + max(1, size)))
