from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pruning.model.passes import Passes
from pruning.options.constraints import Between, check

if TYPE_CHECKING:
    from torch import Tensor

    from pruning.repair.repair import Cut


@dataclass(frozen=True)
class LeastSquares:
    """The weights that are left of each layer are solved anew, so that it gives what it gave before the cut.

    (He et al. 2017, arXiv 1707.06168; Luo et al. 2017, arXiv 1707.06342; Hubara et al. 2021, arXiv 2102.08124.) Layer
    after layer in the order in which they compute: X is what the layer reads in the cut network, whose layers before it
    are mended already, Y what it gave in the dense one. Ridge regression towards the weights as they are, a row at a
    time on its live columns, and the bias with them; exact, in float64. Every product of what is read with a
    parameter, whatever class makes it: Linear, convolutions of any stride, groups and dilation, transposed ones, the
    projections of attention.
    """

    samples: Annotated[int, Between(8, 65536)] = 1024
    """Training inputs looked at, without their labels; fewer where they would not fit into a gigabyte."""
    ridge: Annotated[float, Between(1e-6, 1.0)] = 0.001
    """How strongly the old weights hold, as a share of the mean square of what the layer reads."""

    formula: ClassVar[str] = "min ‖X w − Y‖² + λ ‖w − w₀‖²"
    source: ClassVar[str] = "He 2017, Luo 2017, Hubara 2021"
    cost: ClassVar[str] = "a pass of each network, and a system of equations for each row"

    def __post_init__(self) -> None:
        check(self, "repair")

    def passes(self, train_samples: int) -> Passes:
        return Passes(2 * min(self.samples, train_samples))

    def mend(self, cut: Cut, inputs: Tensor, seed: int) -> Mapping[str, str]:
        import torch

        from pruning.repair.layer_by_layer import Sight, precise, walk
        from pruning.repair.solving import solved

        def mend(sight: Sight) -> str:
            new, bias = sight.weight, sight.bias
            for group in range(len(new)):
                read, given = precise(sight.inputs[group]), precise(sight.outputs[group])
                before, alive = precise(new[group]), sight.live[group].to(read.device)
                rows = alive.any(dim=1)
                if bias is not None:
                    read = torch.cat([read, torch.ones_like(read[:, :1])], dim=1)
                    before = torch.cat([before, precise(bias[group])[:, None]], dim=1)
                    alive = torch.cat([alive, rows[:, None]], dim=1)
                found = before.clone()
                gram, cross = read.T @ read / len(read), read.T @ given[:, rows] / len(read)
                found[rows] = solved(gram, cross, before[rows], alive[rows], self.ridge)
                if bias is not None:
                    bias[group].copy_(found[:, -1])
                    found = found[:, :-1]
                new[group].copy_(found)
            sight.product.write(new)
            return ""

        return walk(cut, inputs, seed, mend)
