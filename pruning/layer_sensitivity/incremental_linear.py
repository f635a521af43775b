"""Wide linear layers cut to many levels: computed with sparse kernels, each level from the next deeper one.

What a deeper cut leaves is part of what a shallower one leaves. So a layer's outputs are computed for the deepest cut,
and for each shallower one by adding what the weights between the two make of the same inputs.
"""

import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from pruning.model.patching import replaced_forwards
from pruning.model.units import Masks

WIDE = 2**16  # weights: smaller layers take less time than it takes to call a sparse kernel
PAYS_BELOW = 0.2
"""Share of a layer's weights. Of 300 x 784 a sparse kernel takes 0.7 of the dense time at 0.2, 0.37 at 0.1, 0.06 at
0.01."""


@dataclass(eq=False)
class IncrementalLinear:
    """The cuts of one layer, the shallowest first: how many units were pruned -> which weights [out, in] are gone
    (bool).

    Remembers the outputs for the latest inputs, and of which cut they are, until it is told to forget them.
    """

    layer: nn.Linear
    gone: Mapping[int, Tensor]
    _weight: Tensor = field(init=False)
    _cuts: list[int] = field(init=False)
    _left: list[int] = field(init=False)
    _differences: dict[int, Tensor] = field(init=False, default_factory=dict[int, Tensor])
    _inputs: tuple[Tensor, int] | None = field(init=False, default=None)
    _columns: Tensor = field(init=False)
    _outputs: Tensor = field(init=False)
    _at: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._weight = self.layer.weight.detach().clone()
        self._cuts = list(self.gone)
        self._left = [gone.numel() - int(gone.sum()) for gone in self.gone.values()] + [0]
        self.forget()

    def forget(self) -> None:
        """Let go of the latest inputs and outputs."""
        self._inputs, self._columns, self._outputs = None, self._weight[:0], self._weight[:0]

    def output(self, pruned: int, inputs: Tensor) -> Tensor:
        """What the layer with its weights cut makes of the inputs [..., in], but for rounding."""
        cut = self._cuts.index(pruned)
        if self._inputs is None or inputs is not self._inputs[0] or inputs._version != self._inputs[1]:
            self._inputs, self._at = (inputs, inputs._version), len(self._cuts)
            # the kernel is slow on any other layout
            self._columns = inputs.reshape(-1, inputs.shape[-1]).t().contiguous()
            self._outputs = inputs.new_zeros(len(self._weight), self._columns.shape[1])
        if self._at < cut or self._left[cut] - self._left[self._at] > PAYS_BELOW * self._weight.numel():
            self._outputs = torch.mm(self._weight.masked_fill(self.gone[pruned], 0.0), self._columns)
        else:
            for step in range(self._at - 1, cut - 1, -1):
                self._outputs.addmm_(self._difference(step), self._columns)
        self._at = cut
        bias = self.layer.bias if self.layer.bias is not None else 0.0  # type: ignore[redundant-expr]
        # a sum of its own: what follows the layer may overwrite it
        return (self._outputs.t() + bias).reshape(*inputs.shape[:-1], len(self._weight))

    def _difference(self, cut: int) -> Tensor:
        """The weights that this cut leaves and the next deeper one does not, in compressed rows."""
        if cut not in self._differences:
            absent = self.gone[self._cuts[cut]]
            if cut + 1 < len(self._cuts):
                absent = absent | ~self.gone[self._cuts[cut + 1]]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
                self._differences[cut] = self._weight.masked_fill(absent, 0.0).to_sparse_csr()
        return self._differences[cut]


def incremental_linears(model: nn.Module, gone: Mapping[int, Masks]) -> dict[str, IncrementalLinear]:
    """Path of a layer -> its cuts computed incrementally, for those of the cuts' weights that it pays for; CPU only.

    `gone` is how many units were pruned -> (parameter -> bool) what the cut sets to zero, the shallowest cut first.
    That the network uses the weights by calling the layer, and in no other way, is the caller's to find out.
    """
    found: dict[str, IncrementalLinear] = {}
    for name in next(iter(gone.values())):
        path, _, kind = name.rpartition(".")
        layer = model.get_submodule(path)
        if type(layer) is not nn.Linear or kind != "weight" or layer.weight.numel() < WIDE:
            continue
        if layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32:
            cuts = {pruned: cut[name] for pruned, cut in gone.items()}
            if all(bool((shallower <= deeper).all()) for shallower, deeper in pairwise(cuts.values())):
                found[path] = IncrementalLinear(layer, cuts)
    return found


@contextmanager
def computing_incrementally(
    model: nn.Module, incremental_linears: Mapping[str, IncrementalLinear], pruned: int
) -> Generator[None]:
    """The layers compute what the cut leaves of them incrementally while the block runs."""
    outputs = {model.get_submodule(path): partial(each.output, pruned) for path, each in incremental_linears.items()}
    with replaced_forwards(outputs):
        yield
