"""Walking through a cut network product by product, each seeing what the mended ones before it give.

One pass of the dense network notes what every product with a parameter should give at some places. Then one pass of the
cut network stops before each, mends the parameter, and goes on with what it gives then: nothing is computed twice.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from pruning.model.layer_types import NORMS, TRANSPOSED, has_channels, is_a
from pruning.model.parameter_sharing import shared_parameters
from pruning.model.patching import evaluating, hooked
from pruning.repair.products import Key, Product, memory, watched
from pruning.repair.repair import Cut
from pruning.sliced_work import rest

ROWS = 30_000
"""Places of an output that are looked at, over all samples."""
BATCH = 128
"""Samples in a pass of whoever needs no more at a time."""
TWICE = "it computes several times in one pass: it stays as it is"
NEVER = "nobody calls it, or its weight is made of others: it stays as it is"
OTHERS = "it reads other inputs than before the cut, or fewer: it stays as it is"
FROZEN = "it is frozen: it stays as it is"
SHARED = "it shares its weight with another layer: it stays as it is"


@dataclass(frozen=True, eq=False)
class Sight:
    """A product with a parameter in the cut network, and what it gave in the dense one, at the same places.

    Attributes:
        name: The layer, or the parameter where that is not a layer's `weight`.
        product: The product in the cut network, whose weight and bias may be changed in place.
        live: Which values of the weight stay, bool [groups, out / groups, in / groups x kernel].
        inputs: float32 [groups, rows, in / groups x kernel], one group where it is no convolution in groups.
        outputs: In the dense network, float32 [groups, rows, out / groups].
        before: What it read in the dense network, if that was asked for.
        dense: The product in the dense network, without what it read.
    """

    name: str
    product: Product
    live: Tensor
    inputs: Tensor
    outputs: Tensor
    before: Tensor | None
    dense: Product

    @property
    def weight(self) -> Tensor:
        """A copy of the weight as it is, [groups, out / groups, in / groups x kernel]."""
        return self.product.matrices(self.product.weight.detach()).clone()

    @property
    def bias(self) -> Tensor | None:
        """A view of the bias, [groups, out / groups]; None where there is none that may be changed."""
        bias = self.product.bias
        return None if bias is None else bias.detach().view(self.product.groups, -1)


@torch.no_grad()
def walk(cut: Cut, inputs: Tensor, seed: int, mend: Callable[[Sight], str], and_before: bool = False) -> dict[str, str]:
    """Call `mend` for each product with a parameter, in the order in which they compute; it changes it in place.

    What computes before anything differs from the dense network gives what it gave: it is not looked at.
    `and_before` says whether `mend` also wants to see what was read in the dense network.

    Returns:
        Layer name -> why it was left as it is, as `mend` or this walk says.
    """
    noted = _Noted(seed, and_before)
    with evaluating(cut.dense), watched(cut.dense, noted):
        cut.dense(inputs)
    found = {param for param, _, _ in noted.seen}
    mending = _Mending(cut, noted, mend)
    differing = memory(tensor for name, tensor in _tensors(cut.model).items() if _differs(cut.dense, name, tensor))
    with evaluating(cut.model), watched(cut.model, mending, differing) as products:
        mending.differs = lambda: products.differs
        cut.model(inputs)
    return {_shown(param): NEVER for param in sorted(_looked_for(cut) - found)} | mending.left


@dataclass(eq=False)
class _Seen:
    """What a product gave in the dense network, at the `chosen` of its `rows`, and in how many calls."""

    product: Product
    places: tuple[int, ...]
    rows: int
    chosen: Tensor
    outputs: Tensor
    inputs: Tensor | None
    calls: int = 1


@dataclass(eq=False)
class _Noted:
    """Watches the dense network."""

    seed: int
    and_before: bool
    seen: dict[Key, _Seen] = field(default_factory=dict[Key, _Seen])

    def before(self, product: Product) -> None:
        rest()

    def after(self, product: Product, output: Tensor) -> None:
        if product.key in self.seen:
            self.seen[product.key].calls += 1
            return
        places = tuple(output.shape[2:])
        rows = output.numel() // output.shape[1]
        lots = torch.Generator().manual_seed(self.seed + zlib.crc32(str(product.key).encode()))
        chosen = torch.randperm(rows, generator=lots)[:ROWS].sort().values.to(output.device)
        read = product.read(chosen, places) if self.and_before else None
        light = replace(product, inputs=product.inputs[:0].clone())  # or all activations of the network would be kept
        self.seen[product.key] = _Seen(light, places, rows, chosen, product.given(output, chosen), read)


class _Mending:
    """Watches the cut network, and mends each product before it is computed."""

    def __init__(self, cut: Cut, noted: _Noted, mend: Callable[[Sight], str]) -> None:
        self.left: dict[str, str] = {}
        self.differs: Callable[[], bool] = lambda: True
        self._noted, self._mend = noted, mend
        self._params = dict(cut.model.named_parameters())
        self._masks, self._shared = cut.masks, shared_parameters(cut.model)

    def before(self, product: Product) -> None:
        rest()
        if not self.differs():
            return
        name, seen = _shown(product.param), self._noted.seen.pop(product.key, None)
        why_not = self._why_not(product, seen)
        if not why_not and seen is not None:
            read = product.read(seen.chosen, seen.places)
            sight = Sight(name, product, self._live(product), read, seen.outputs, seen.inputs, seen.product)
            why_not = self._mend(sight)
        if why_not:
            self.left[name] = why_not

    def after(self, product: Product, output: Tensor) -> None:
        pass

    def _why_not(self, product: Product, seen: _Seen | None) -> str:
        if not self._params[product.param].requires_grad:
            return FROZEN
        if product.param in self._shared:
            return SHARED
        if seen is None or seen.calls > 1:
            return self.left.get(_shown(product.param), TWICE if seen is not None else OTHERS)
        return "" if len(product.inputs) * math.prod(seen.places) == seen.rows else OTHERS

    def _live(self, product: Product) -> Tensor:
        mask, whole = self._masks.get(product.param), self._params[product.param]
        if mask is None:
            return torch.ones_like(product.matrices(product.weight), dtype=torch.bool)
        laid = torch.empty_strided(whole.shape, whole.stride(), dtype=torch.bool, device=whole.device).copy_(mask)
        return product.matrices(product.part_of(laid))


def _shown(param: str) -> str:
    """The layer whose weight it is, else the parameter itself."""
    return param.removesuffix(".weight")


def _looked_for(cut: Cut) -> set[str]:
    """Parameters that a person expects to be mended: layers' weights, and whatever matrix has been cut."""
    layers = {
        f"{name}.weight"
        for name, module in cut.model.named_modules()
        if has_channels(module) or is_a(module, TRANSPOSED)
    }
    params = dict(cut.model.named_parameters())
    not_products = {
        f"{name}.weight"
        for name, module in cut.model.named_modules()
        if is_a(module, (*NORMS, "Embedding", "EmbeddingBag"))
    }
    return {name for name in layers | set(cut.masks) if name in params and params[name].dim() > 1} - not_products


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _differs(dense: nn.Module, name: str, tensor: Tensor) -> bool:
    path, _, own = name.rpartition(".")
    return not torch.equal(tensor, getattr(dense.get_submodule(path), own))


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


def precise(values: Tensor) -> Tensor:
    """The values in float64; on the CPU where the device has no float64 (Apple's)."""
    return values.cpu().double() if values.device.type == "mps" else values.double()


def chunks(total: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` that cover `total`."""
    for start in range(0, total, max(1, size)):
        yield slice(start, min(total, start + max(1, size)))
