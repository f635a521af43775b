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
class Rescale:
    """Each unit's mean and spread are put back to what they were before the cut, by its weights and its bias.

    (Per-channel rescaling, with the bias correction of Nagel et al. 2019, arXiv 1906.04721.) Layer after layer, each on
    what the mended layers before it give: Linear, convolutions and BatchNorm that have a bias. A unit's spread is
    multiplied by 5 at most.
    """

    samples: Annotated[int, Between(8, 65536)] = 1024
    """Training inputs looked at, without their labels; fewer where they would not fit into a gigabyte."""

    formula: ClassVar[str] = "w ← w · σ(y before the cut) / σ(y), and b as for bias"
    source: ClassVar[str] = "Nagel 2019"
    cost: ClassVar[str] = "a pass of each network"

    def __post_init__(self) -> None:
        check(self, "repair")

    def passes(self, train_samples: int) -> Passes:
        return Passes(2 * min(self.samples, train_samples))

    def mend(self, cut: Cut, inputs: Tensor, seed: int) -> Mapping[str, str]:
        from pruning.repair.outputs import put_back

        return put_back(cut, inputs, spread=True)
