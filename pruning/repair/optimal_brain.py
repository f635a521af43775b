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
class OptimalBrain:
    """The weights before the cut are set to zero column by column, and the columns after each make up for it.

    (Hassibi and Stork 1993; Frantar and Alistarh 2022, arXiv 2208.11580, and 2023, arXiv 2301.00774, SparseGPT.) H =
    XᵀX of what the layer reads in the cut network: what a pruned weight gave is added to the weights behind it, by the
    inverse of H. One inverse serves all rows, where least squares solves a system for each.
    """

    samples: Annotated[int, Between(8, 65536)] = 1024
    """Training inputs looked at, without their labels; fewer where they would not fit into a gigabyte."""
    damping: Annotated[float, Between(1e-6, 1.0)] = 0.01
    """Added to the diagonal of H, as a share of its mean."""

    formula: ClassVar[str] = "w ← w − wⱼ / [H⁻¹]ⱼⱼ · [H⁻¹]ⱼ"
    source: ClassVar[str] = "Hassibi 1993, Frantar 2022 and 2023"
    cost: ClassVar[str] = "a pass of each network, and an inverse of [in, in] for each layer"

    def __post_init__(self) -> None:
        check(self, "repair")

    def passes(self, train_samples: int) -> Passes:
        return Passes(2 * min(self.samples, train_samples))

    def mend(self, cut: Cut, inputs: Tensor, seed: int) -> Mapping[str, str]:
        import torch

        from pruning.repair.columns import compensated
        from pruning.repair.layer_by_layer import Sight, precise, walk

        def mend(sight: Sight) -> str:
            if bool(sight.live.all()):
                return ""
            assert sight.before is not None
            new, bias = sight.weight, sight.bias
            old = sight.dense.matrices(sight.dense.weight.detach())
            old_bias = None if sight.dense.bias is None else sight.dense.bias.detach().view(len(new), -1)
            for group in range(len(new)):
                before = precise(old[group])
                alive = sight.live[group].to(before.device)
                rows = alive.any(dim=1)
                # what units that are gone gave is seen in the dense network alone
                read = precise(torch.where(sight.live[group].any(dim=0), sight.inputs[group], sight.before[group]))
                if bias is not None and old_bias is not None:  # it stays, and makes up for all that is pruned before it
                    read = torch.cat([read, torch.ones_like(read[:, :1])], dim=1)
                    before = torch.cat([before, precise(old_bias[group])[:, None]], dim=1)
                    alive = torch.cat([alive, rows[:, None]], dim=1)
                found = compensated(read.T @ read / len(read), before, alive, self.damping)
                found[~rows] = 0
                if bias is not None and old_bias is not None:
                    bias[group][rows.to(new.device)] = found[rows, -1].to(new)
                    found = found[:, :-1]
                new[group].copy_(found)
            sight.product.write(new)
            return ""

        return walk(cut, inputs, seed, mend, and_before=True)
